"""What expressions are judged on, in tests: a few signals and some equipment, as somebody set them."""

from collections.abc import Mapping

from config.expression import parse
from config.sample import Reason, Sample, Value, quality_of
from config.signals import Signal, SignalTable
from control.cause import Cause
from control.code import Code
from control.compiler.expressions import Names, compile_expression
from control.expression import Condition, Situation
from control.fill import BatchState
from control.fill_phase import Phase
from control.guard import GuardState, Verdict
from control.instant import Instant
from control.pump import PumpState
from control.trip import TripState
from control.valve import Position, ValveState

KINDS = {"LT-1.level": "m", "LT-2.level": "m", "PT-1.pressure": "bar", "X.on": "", "Y.on": "", "Z.mode": ""}
"""Name and unit of every signal."""


def _signal(index: int, name: str, unit: str) -> Signal:
    device, _, field = name.partition(".")
    kind = "number" if unit else "text" if field == "mode" else "bool"
    return Signal(
        index=index,
        name=name,
        device=device,
        field=field,
        link="io",
        kind=kind,  # type: ignore[arg-type]
        unit=unit,
        factor=1.0,
        bias=0.0,
        poll=1.0,
        stale_after=3.0,
        critical=False,
        priority="normal",
        deadband=0.0,
        rollover=None,
        writable=False,
        definition=None,  # type: ignore[arg-type]
    )


_SIGNALS = tuple(_signal(i, name, unit) for i, (name, unit) in enumerate(KINDS.items()))
TABLE = SignalTable(_SIGNALS, {one.name: one.index for one in _SIGNALS}, {}, len(_SIGNALS), len(_SIGNALS))
NAMES = Names(
    TABLE,
    valves={"XV-1": 0},
    pumps={"P-1": 0},
    guards={"FILL-1.turbidity": 0},
    dispensers={"FILL-1": 0},
    feedback={"XV-1": ("X.on",), "P-1": ("Y.on",), "FILL-1.turbidity": ("LT-1.level",)},
)


def compiled(text: str) -> Condition:
    return compile_expression(parse(text), NAMES)


def situation(
    values: Mapping[str, Value | Reason] | None = None,
    *,
    at: float = 1000.0,
    position: Position = Position.CLOSED,
    running: bool | None = False,
    verdict: Verdict = Verdict.FIT,
    tripped: bool = False,
    phase: Phase = Phase.IDLE,
) -> Situation:
    """A value is a good reading; a reason is what is wrong with one. What is not given has not been read yet."""
    given = values or {}
    image = tuple(_sample(given.get(name, Reason.NOT_YET_READ), at) for name in KINDS)
    trip = TripState(Cause(Code.TRIPPED, "FILL-1", ("then",))) if tripped else TripState()
    return Situation(
        image,
        (ValveState(position=position),),
        (PumpState(running=running),),
        (GuardState(verdict=verdict),),
        (trip,),
        (BatchState(phase=phase),),
        Instant(at, at),
    )


def _sample(shown: Value | Reason, at: float) -> Sample:
    if isinstance(shown, Reason):
        return Sample(None, quality_of(shown), shown, at)
    return Sample(shown, quality_of(Reason.OK), Reason.OK, at)
