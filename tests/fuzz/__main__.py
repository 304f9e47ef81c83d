"""``make fuzz``: mutated frames against the Modbus driver; ends with 1 and the command that repeats it on a finding."""

import argparse
import sys
import time

from tests.fuzz.case import Tally, play
from tests.fuzz.run import run

PROGRESS_S = 5.0


def main() -> int:
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000_000, help="how many mutated frames")
    parser.add_argument("--seed", type=int, default=None, help="the same seed is the same run; by default the time")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--case", type=int, default=None, help="play this case of the seed alone, and show what it raises"
    )
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int(time.time())
    if options.frames < 1 or options.jobs < 1:
        parser.error("--frames and --jobs must be 1 or more")
    if options.case is not None:
        if options.seed is None:
            parser.error("--case says nothing without the --seed of its run")
        tally = Tally()
        play(seed, options.case, tally)
        print(f"case {options.case} of seed {seed}: nothing found in {tally.frames} frames")
        return 0
    shown_at = 0.0

    def progress(tally: Tally, seconds: float) -> None:
        nonlocal shown_at
        if seconds - shown_at >= PROGRESS_S:
            shown_at = seconds
            print(f"{seconds:6.0f} s {tally.frames:12,} frames {tally.frames / seconds:9,.0f} a second", flush=True)

    print(f"seed {seed}, {options.frames:,} frames, {options.jobs} jobs", flush=True)
    begun = time.monotonic()
    tally = run(seed, options.frames, options.jobs, progress)
    show(tally, time.monotonic() - begun)
    for case, what in sorted(tally.failed.items()):
        print(f"FOUND {what}\n  python -m tests.fuzz --seed {seed} --case {case}")
    return 1 if tally.failed else 0


def show(tally: Tally, seconds: float) -> None:
    """Prints the figures of a run."""
    for title, counts in (("mutations", tally.mutations), ("outcomes", tally.outcomes)):
        print(f"\n{title}")
        for name, number in sorted(counts.items()):
            print(f"  {name:44}{number:12,}")
    rate = tally.frames / seconds
    print(f"\n{tally.frames:,} mutated frames in {tally.cases:,} cases, {seconds:.1f} s, {rate:,.0f} a second")
    print(f"{len(tally.failed)} cases failed")


if __name__ == "__main__":
    sys.exit(main())
