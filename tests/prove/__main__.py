"""``make prove``: walks every reachable state of two small stations, and shows that planted defects are found.

python -m tests.prove                  every preset to closure but the full one, then every mutant
python -m tests.prove --preset full    all inputs at once: hours
"""

import argparse
import sys
import time

from control.invariants import INVARIANTS
from tests.prove.explore import Report, explore
from tests.prove.fill import settled_in_a_tick
from tests.prove.mutants import MUTANTS, planted
from tests.prove.presets import PRESETS, station_of

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

    one = station_of(name)
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
    unbroken = {invariant.name for invariant in INVARIANTS}
    for mutant in MUTANTS:
        with planted(mutant):
            report = explore(station_of(mutant.preset), mutant.states, to_the_end=True)
        found = report.counterexample
        missed += found is None
        unbroken -= report.broken
        told = f"{found.invariant}, {len(found.story) - 1} steps" if found is not None else "NOT FOUND"
        more = sorted(report.broken - {found.invariant}) if found is not None else []
        print(f"  {mutant.name}: {told}" + (f"; later {', '.join(more)}" if more else ""))
    print(f"mutants: {len(MUTANTS) - missed} of {len(MUTANTS)} found")
    print(f"invariants that no mutant breaks here: {', '.join(sorted(unbroken))}")
    return missed == 0


if __name__ == "__main__":
    sys.exit(main())
