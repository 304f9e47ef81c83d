"""A fill station in virtual time whose scans go into a ring, and the file of them."""

from pathlib import Path
from typing import Any

from config.sample import Sample
from control.command import Command, Op
from control.saved import restored, to_saved
from control.scan import ScanResult
from edge.blackbox.box import Saved, save_file
from edge.blackbox.file import header
from edge.blackbox.ring import Ring
from tests.control.bench import FillStation


class Recorded(FillStation):
    """Every scan of it goes into ``ring``, and readings change only when they do, as a driver has them."""

    def __init__(self, seconds: float = 600.0, max_entries: int = 1_000_000) -> None:
        self.ring = Ring(seconds, max_entries)
        super().__init__()

    def refresh(self) -> None:
        before = list(self.image)
        super().refresh()
        for place, (old, new) in enumerate(zip(before, self.image, strict=True)):
            # A poll of a second: between two of them nothing is read.
            if (old.value, old.reason) == (new.value, new.reason) and new.received - old.received < 1.0:
                self.image[place] = old

    def scanned(self, image: tuple[Sample, ...], commands: tuple[Command, ...], result: ScanResult) -> None:
        self.ring.note(self.state, image, commands, self.now, result)

    def restart(self) -> None:
        """What a restart of the controller leaves of the state."""
        saved = to_saved(self.program, self.state, self.now)
        self.mono += 5.0
        self.ring = Ring(600.0, 1_000_000)
        self.state = restored(self.program, saved, self.now)

    def save(self, path: Path, **why: Any) -> Saved:
        head = {**header(self.loaded), "why": {"trip": "FILL-1", "utc": self.now.utc, **why}}
        return save_file(path, head, self.ring.spans(), keep=20)


def tripped() -> Recorded:
    """A station whose second fill was ended by turbid water: fills, a trip, alarms, a refused reset."""
    station = Recorded()
    station.ready()
    station.order(0.05, "o-1")
    station.until("idle")
    station.order(5.0, "o-2")
    station.until("full-flow")
    station.values["AIT-101.turbidity"] = 18.2
    station.run(3.0)
    station.ask(Op.RESET, "FILL-1")
    station.run(3.0)
    return station
