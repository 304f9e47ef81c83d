"""The station of an analyzer: a guard on dated results, a batch dispenser, a motor valve, and a clock that is set.

The analyzer dates its results by the true time; the controller's clock may be set off it and back, in a tick or while
the controller is down. Results come late, twice, dated ahead, out of order, or not at all.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from config.load import load_site
from config.sample import NOT_YET_READ, Quality, Reason, Sample, bad
from control.compiler import compile_site
from control.fill import BatchState
from control.instant import Instant
from control.state import ScanState
from tests.prove.abstraction import Scale
from tests.prove.explore import Input, Station, true_utc
from tests.prove.fill import VALVE, command_of, sample_of

INTERVAL_S: Final = 600.0
TICK_S: Final = 300.0
SCALE: Final = Scale(cap=TICK_S, result_cap=3 * INTERVAL_S + TICK_S)
SITE: Final = Path(__file__).with_name("results.yaml")
FIT, BEYOND = 20.0, 60.0
PASSED_M3: Final = 0.4
"""What an open valve lets through in a tick: an order of 1 m3 outlasts the age at which no order is taken any more."""

DATES: Final = {"older": -1.0, "again": 0.0}
"""By how much a result is dated off the one in hand; a second, so that no other result has that date."""
OFFS: Final = {"new": 0.0, "ahead": 1200.0, "backlog": -2100.0}
"""By how much a result is dated off the true time."""
CLOCKS: Final = {"runs": None, "back": -1200.0, "on": 1200.0, "right": 0.0}
"""How far the clock is set off the true time."""


@dataclass(frozen=True, slots=True)
class Results:
    """What may happen in a tick: every combination of these. A result is its date and its value, or what is read.

    ``clocks``: what is done to the clock; ``restarts``: as what it is found after a restart, which may come in between.
    """

    results: tuple[str, ...]
    clocks: tuple[str, ...] = ("runs",)
    restarts: tuple[str, ...] = ()
    valve: tuple[str, ...] = ("closed", "open")
    asked: tuple[str, ...] = ("water",)


PRESETS: Final = {
    "results": Results(("new fit", "new beyond", "again fit", "bad")),
    "disorder": Results(
        ("new fit", "older fit", "older beyond", "ahead fit", "ahead beyond", "backlog fit"), valve=("closed",)
    ),
    "cabinet": Results(("new fit", "again fit", "again marked", "new marked"), valve=("closed",)),
    "aging": Results(("new fit", "again fit"), valve=("closed",)),
    "expiry": Results(("new fit", "again fit")),
    "restarts": Results(("new fit", "again fit"), restarts=("back", "on", "right")),
    "clock back": Results(("new fit", "again fit"), ("runs", "back", "right"), ("back", "right")),
    "clock on": Results(("new fit", "again fit"), ("runs", "on", "right"), ("on", "right")),
}
"""Sets of inputs; docs/testing.md says which have been walked to closure."""


def station(inputs: Results) -> Station:
    """The station with what may happen at it."""
    program = compile_site(load_site(SITE))
    index = {name: i for i, name in enumerate(program.signal_names)}

    def image_of(result: str, position: str, state: ScanState, now: Instant) -> tuple[Sample, ...]:
        image = [NOT_YET_READ] * len(index)
        image[index["RIO.cod"]] = _result(result, state.guards[0].result_time, now)
        for name, on in zip(("RIO.zso", "RIO.zsc"), VALVE[position] or (False, False), strict=True):
            image[index[name]] = sample_of(on, Reason.OK, now)
        fill = state.dispensers[0]
        assert isinstance(fill, BatchState)
        moved = PASSED_M3 if position == "open" else 0.0
        image[index["RIO.total"]] = sample_of((fill.meter.total_m3 or 0.0) + moved, Reason.OK, now)
        image[index["RIO.flow"]] = sample_of(moved * 3600 / TICK_S, Reason.OK, now)
        image[index["RIO.xv"]] = sample_of(state.outputs[0].value is True, Reason.OK, now)
        return tuple(image)

    def input_of(result: str, clock: str, position: str, ask: str) -> Input:
        text = f"result {result}, clock {clock}, valve {position}, {ask}"
        return Input(
            text,
            lambda state, now: image_of(result, position, state, now),
            lambda state: command_of(ask, state),
            CLOCKS[clock],
        )

    choices = product(inputs.results, inputs.clocks, inputs.valve, inputs.asked)
    offs = [off for name in inputs.restarts if (off := CLOCKS[name]) is not None]
    return Station(program, tuple(input_of(*choice) for choice in choices), TICK_S, SCALE, tuple(offs))


def _result(result: str, in_hand: float | None, now: Instant) -> Sample:
    date, _, what = result.partition(" ")
    if date == "bad":
        return bad(Reason.NO_COMMUNICATION, now.mono)
    true = true_utc(now)
    time = true + OFFS[date] if date in OFFS else (in_hand if in_hand is not None else true) + DATES[date]
    if what == "marked":
        return Sample(None, Quality.BAD, Reason.MAINTENANCE, now.mono, source_time=time)
    return Sample(BEYOND if what == "beyond" else FIT, Quality.GOOD, Reason.OK, now.mono, source_time=time)
