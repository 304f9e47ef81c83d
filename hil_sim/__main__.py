"""``python -m hil_sim`` is ``penstock-sim``."""

from hil_sim.main import main

if __name__ == "__main__":
    raise SystemExit(main())
