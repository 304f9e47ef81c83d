"""The station that is walked: a fast guard, a batch dispenser, a motor valve, and all that people may ask."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import control.batch
from config.load import load_site
from config.sample import NOT_YET_READ, Quality, Reason, Sample, bad
from control.command import Command, Op
from control.compiler import compile_site
from control.fill import BatchState
from control.instant import Instant
from control.state import ScanState
from tests.prove.abstraction import Scale
from tests.prove.explore import Input, Station

TICK_S: Final = 10.0
CAP_S: Final = 10.0
SITE: Final = Path(__file__).with_name("site.yaml")

TURBIDITY: Final[dict[str, tuple[float, Reason]]] = {
    "fit": (2.0, Reason.OK),
    "near": (7.9, Reason.OK),
    "beyond": (9.0, Reason.OK),
    "instant": (20.0, Reason.OK),
    "bad": (0.0, Reason.NO_COMMUNICATION),
    "marked": (0.0, Reason.MAINTENANCE),
    "silent": (2.0, Reason.STALE),
}
VALVE: Final[dict[str, tuple[bool, bool] | None]] = {
    "closed": (False, True),
    "between": (False, False),
    "open": (True, False),
    "unread": None,
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """What may happen in a tick: every combination of these."""

    turbidity: tuple[str, ...]
    valve: tuple[str, ...] = ("closed", "open")
    meter: tuple[str, ...] = ("still", "moved")
    asked: tuple[str, ...] = ("water",)


PRESETS: Final = {
    "calm": Inputs(("fit",), ("closed", "open", "unread"), asked=("water", "again")),
    "storm": Inputs(("fit", "beyond", "instant", "bad"), meter=("still",)),
    "marked": Inputs(("fit", "marked"), ("closed",), meter=("still",)),
    "leak": Inputs(("fit", "bad"), ("closed",)),
    "afar": Inputs(("fit", "instant"), meter=("still",), asked=("water", "reset from afar", "cancel")),
    "by hand": Inputs(("fit", "instant"), meter=("still",), asked=("water", "force")),
    "silent": Inputs(("fit", "near", "silent"), meter=("still",)),
    "meter": Inputs(("fit",), ("closed", "between", "open", "unread"), ("still", "moved", "unread")),
    "small": Inputs(("fit", "beyond", "bad")),
    "hands": Inputs(("fit", "instant", "bad"), meter=("still",), asked=("water", "force", "release", "bypass")),
    "full": Inputs(
        tuple(TURBIDITY),
        tuple(VALVE),
        ("still", "moved", "unread"),
        ("nothing", "water", "again", "cancel", "reset from afar", "force", "bypass"),
    ),
}
"""Sets of inputs, each walked to closure: what one leaves out another has; ``full`` has all of it at once."""


@contextmanager
def settled_in_a_tick() -> Iterator[None]:
    """While the context lasts, flow after a valve was closed counts as a leak after a tick."""
    kept = control.batch.SETTLE_LIMIT_S
    vars(control.batch)["SETTLE_LIMIT_S"] = TICK_S
    try:
        yield
    finally:
        vars(control.batch)["SETTLE_LIMIT_S"] = kept


def station(inputs: Inputs) -> Station:
    """The station with what may happen at it."""
    program = compile_site(load_site(SITE))
    index = {name: i for i, name in enumerate(program.signal_names)}
    count = len(program.signal_names)

    def image_of(water: str, position: str, metered: str, state: ScanState, now: Instant) -> tuple[Sample, ...]:
        image = [NOT_YET_READ] * count
        value, reason = TURBIDITY[water]
        image[index["RIO.turbidity"]] = sample_of(value, reason, now)
        switches = VALVE[position]
        lost = Reason.NO_COMMUNICATION
        for name, on in zip(("RIO.zso", "RIO.zsc"), switches or (False, False), strict=True):
            image[index[name]] = sample_of(on, lost if switches is None else Reason.OK, now)
        fill = state.dispensers[0]
        assert isinstance(fill, BatchState)
        moved = 1.0 if metered == "moved" else 0.0
        good = lost if metered == "unread" else Reason.OK
        image[index["RIO.total"]] = sample_of((fill.meter.total_m3 or 0.0) + moved, good, now)
        image[index["RIO.flow"]] = sample_of(360.0 * moved, good, now)
        image[index["RIO.xv"]] = sample_of(state.outputs[0].value is True, Reason.OK, now)
        return tuple(image)

    def input_of(water: str, position: str, metered: str, ask: str) -> Input:
        text = f"turbidity {water}, valve {position}, meter {metered}" + (f", {ask}" if ask != "nothing" else "")
        return Input(
            text,
            lambda state, now: image_of(water, position, metered, state, now),
            lambda state: command_of(ask, state),
        )

    choices = product(inputs.turbidity, inputs.valve, inputs.meter, inputs.asked)
    return Station(program, tuple(input_of(*choice) for choice in choices), TICK_S, Scale(CAP_S))


def sample_of(value: float | bool, reason: Reason, now: Instant) -> Sample:
    """A reading of now, or what stands in its place for a reason."""
    if reason is Reason.STALE:
        # Good, and not renewed since before it went stale: what says so is the scan's to find.
        return Sample(value, Quality.GOOD, Reason.OK, now.mono - TICK_S)
    return Sample(value, Quality.GOOD, reason, now.mono) if reason is Reason.OK else bad(reason, now.mono)


def command_of(ask: str, state: ScanState) -> Command | None:
    """What a person or the platform asks, by its name in a preset."""
    fill = state.dispensers[0]
    assert isinstance(fill, BatchState)
    match ask:
        case "order":
            return Command(
                "c", Op.ORDER, "FILL", "platform:x", order_id=f"o{min(len(fill.seen_orders), 1)}", volume_m3=1.0
            )
        case "water":
            # Whoever wants nothing but water: orders, and resets what is tripped.
            return command_of("reset" if state.trips[0].latched else "order", state)
        case "again":
            return Command("c", Op.ORDER, "FILL", "platform:x", order_id="o0", volume_m3=1.0)
        case "cancel":
            return Command("c", Op.CANCEL, "FILL", "local:x")
        case "reset from afar":
            return Command("c", Op.RESET, "FILL", "platform:x")
        case "force":
            return Command("c", Op.FORCE, "XV-1", "local:x", value=True, duration_s=TICK_S, reason="x")
        case "release":
            return Command("c", Op.RELEASE, "XV-1", "local:x")
        case "bypass":
            return Command("c", Op.BYPASS, "FILL.turbidity", "local:x", duration_s=TICK_S, reason="x")
        case "reset":
            return Command("c", Op.RESET, "FILL", "local:x")
        case _:
            return None
