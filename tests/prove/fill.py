"""The station that is walked: a fast guard, a batch dispenser, a motor valve, and all that people may ask."""

from itertools import product
from pathlib import Path
from typing import Final

from config.load import load_site
from config.sample import NOT_YET_READ, Quality, Reason, Sample, bad
from control.command import Command, Op
from control.compiler import compile_site
from control.fill import BatchState
from control.instant import Instant
from control.state import ScanState
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
}
VALVE: Final[dict[str, tuple[bool, bool] | None]] = {
    "closed": (False, True),
    "between": (False, False),
    "open": (True, False),
    "unread": None,
}
METER: Final = ("still", "moved", "unread")
ASKED: Final = ("nothing", "order", "cancel", "reset")


def station(
    turbidity: tuple[str, ...] = tuple(TURBIDITY),
    valve: tuple[str, ...] = tuple(VALVE),
    meter: tuple[str, ...] = METER,
    asked: tuple[str, ...] = ASKED,
) -> Station:
    """The station with the inputs that may happen."""
    program = compile_site(load_site(SITE))
    index = {name: i for i, name in enumerate(program.signal_names)}
    count = len(program.signal_names)

    def image_of(water: str, position: str, metered: str, state: ScanState, now: Instant) -> tuple[Sample, ...]:
        image = [NOT_YET_READ] * count
        value, reason = TURBIDITY[water]
        image[index["RIO.turbidity"]] = _sample(value, reason, now)
        switches = VALVE[position]
        lost = Reason.NO_COMMUNICATION
        for name, on in zip(("RIO.zso", "RIO.zsc"), switches or (False, False), strict=True):
            image[index[name]] = _sample(on, lost if switches is None else Reason.OK, now)
        fill = state.dispensers[0]
        assert isinstance(fill, BatchState)
        moved = 1.0 if metered == "moved" else 0.0
        good = lost if metered == "unread" else Reason.OK
        image[index["RIO.total"]] = _sample((fill.meter.total_m3 or 0.0) + moved, good, now)
        image[index["RIO.flow"]] = _sample(360.0 * moved, good, now)
        image[index["RIO.xv"]] = _sample(state.outputs[0].value is True, Reason.OK, now)
        return tuple(image)

    def input_of(water: str, position: str, metered: str, ask: str) -> Input:
        text = f"turbidity {water}, valve {position}, meter {metered}" + (f", {ask}" if ask != "nothing" else "")
        return Input(
            text,
            lambda state, now: image_of(water, position, metered, state, now),
            lambda state: _command(ask, state),
        )

    inputs = tuple(input_of(*choice) for choice in product(turbidity, valve, meter, asked))
    return Station(program, inputs, TICK_S, CAP_S)


def _sample(value: float | bool, reason: Reason, now: Instant) -> Sample:
    return Sample(value, Quality.GOOD, reason, now.mono) if reason is Reason.OK else bad(reason, now.mono)


def _command(ask: str, state: ScanState) -> Command | None:
    fill = state.dispensers[0]
    assert isinstance(fill, BatchState)
    match ask:
        case "order":
            return Command(
                "c", Op.ORDER, "FILL", "platform:x", order_id=f"o{min(len(fill.seen_orders), 1)}", volume_m3=1.0
            )
        case "water":
            # Whoever wants nothing but water: orders, and resets what is tripped.
            return _command("reset" if state.trips[0].latched else "order", state)
        case "cancel":
            return Command("c", Op.CANCEL, "FILL", "local:x")
        case "reset":
            return Command("c", Op.RESET, "FILL", "local:x")
        case _:
            return None
