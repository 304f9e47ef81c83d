"""How a benchmark prints: ours beside the bare libraries, from the same run."""

from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of all lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def line(name: str, ours: float, bare: float, unit: str, *, higher_is_better: bool = False) -> None:
    """Prints one comparison; the ratio is ours to the bare libraries'."""
    ratio = ours / bare if bare else float("inf")
    better = " (higher is better)" if higher_is_better else ""
    print(f"  {name:<44} {ours:>10.3f} {unit:<8} bare {bare:>10.3f} {unit:<8} ratio {ratio:5.2f}{better}", flush=True)


def figure(name: str, value: float, unit: str) -> None:
    """Prints one figure that has no counterpart."""
    print(f"  {name:<44} {value:>10.3f} {unit}", flush=True)
