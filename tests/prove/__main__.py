"""``make prove``: walks every reachable state of the small station, and shows that planted defects are found.

python -m tests.prove                  every preset to closure but the full one, then every mutant
python -m tests.prove --preset full    all inputs at once: hours
"""

import argparse
import sys
import time

from tests.prove.explore import Report, explore
from tests.prove.fill import PRESETS, settled_in_a_tick, station
from tests.prove.mutants import MUTANTS, planted

SHOWN_EVERY = 2000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, action="append", help="which inputs may happen")
    parser.add_argument("--most", type=int, default=5_000_000, help="give up after so many states")
    asked = parser.parse_args()
    failed = False
    with settled_in_a_tick():
        for name in asked.preset or [name for name in PRESETS if name != "full"]:
            failed |= not _walk(name, asked.most)
        if asked.preset is None:
            failed |= not _mutants()
    return 1 if failed else 0


def _walk(name: str, most: int) -> bool:
    began = time.monotonic()
    shown = [0]

    def progress(states: int, waiting: int) -> None:
        if states - shown[0] >= SHOWN_EVERY:
            shown[0] = states
            print(f"{name}: {states} states, {waiting} to look at", file=sys.stderr, flush=True)

    one = station(PRESETS[name])
    report = explore(one, most, progress)
    took = time.monotonic() - began
    end = "closed" if report.closed else "not closed"
    print(
        f"{name}: {len(one.inputs)} inputs a tick, {report.states} states, {report.steps} steps, depth {report.depth}, "
        f"{end}, {took:.0f} s"
    )
    return _told(report) and report.closed


def _told(report: Report) -> bool:
    if report.counterexample is not None:
        print(report.counterexample)
    return report.counterexample is None


def _mutants() -> bool:
    missed = 0
    for mutant in MUTANTS:
        with planted(mutant):
            report = explore(station(PRESETS[mutant.preset]), mutant.states)
        found = report.counterexample
        missed += found is None
        told = f"{found.invariant}, {len(found.story) - 1} steps" if found is not None else "NOT FOUND"
        print(f"  {mutant.name}: {told}")
    print(f"mutants: {len(MUTANTS) - missed} of {len(MUTANTS)} found")
    return missed == 0


if __name__ == "__main__":
    sys.exit(main())
