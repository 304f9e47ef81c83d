"""The meter of a dispenser: every litre its register moves by is accounted for once, under one name.

The register (``totaliser.py``) is read each scan. What it moved by belongs to the dispenser (``volume_m3`` of a step:
an order, a served account) or, while nobody may take water, is **idle** water, which is booked as **unattributed** once
it has stopped passing. What moved the register and was no water is booked as neither:

- counts while the meter says that its pipe is empty: an electromagnetic meter counts air (shared water notes 3.4);
- a step back that is no roll-over, and a step ahead of more than could have flowed: another register is being read.
  Counting goes on from there and the step is an event and an alarm. A register that then comes back to where it was
  (a gateway showed 0 for a moment) goes on from there, too;
- a meter that a person has replaced: the count is carried over to what the new register reads.

``counted_m3`` is what has passed this meter, over all roll-overs and replacements: it never decreases.
"""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Final, NamedTuple

from config.sample import Sample
from control.cause import Cause, amount, to_json
from control.code import Code
from control.event import Event, Kind
from control.instant import Instant
from control.timer import since
from control.totaliser import Step, advance

PLAUSIBLE_FACTOR: Final = 2.0
PLAUSIBLE_MARGIN_S: Final = 900.0
"""A register may move by this many times the full flow, for the time since it was last read and a quarter of an hour
more (registers that count in steps of several m3). What is more is another register."""
LONGEST_IDLE_S: Final = 3600.0
"""Water that never stops passing (a leak) is booked each hour."""
AGREES_M3: Final = 1.0
"""How far what a person reads off a new meter may be from what it sends: displays leave decimals out."""


@dataclass(frozen=True, slots=True)
class MeterState:
    """What is remembered of a meter. Volumes in m3, times monotonic seconds.

    ``total_m3``: the register as last counted from; ``read_at``: when it was last read, ``None`` after a start.
    ``left_m3``: what it read before it stepped back, until it moves again. ``idle_m3``: what passes without being
    allowed to since ``idle_since``, not yet booked. ``air_m3``: counts since the pipe became empty, ``None`` while it
    is full.
    """

    total_m3: float | None = None
    read_at: float | None = None
    counted_m3: float = 0.0
    unattributed_m3: float = 0.0
    idle_m3: float = 0.0
    idle_since: float = 0.0
    idle_changed_at: float = 0.0
    unknown_since: float | None = None
    air_m3: float | None = None
    left_m3: float | None = None


NEVER_READ: Final = MeterState()


class Counted(NamedTuple):
    """``volume_m3``: what passed in this step for the dispenser; what is to be recorded; what stands wrong."""

    state: MeterState
    volume_m3: float = 0.0
    events: tuple[Event, ...] = ()
    alarms: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class Meter:
    """Settings. ``tag``: the dispenser. ``max_flow_m3h``: its full flow. ``settle`` in s. Signals are image indices."""

    tag: str
    total: int
    total_name: str
    rollover_m3: float | None
    max_flow_m3h: float
    settle: float
    empty_pipe: int | None = None

    def step(self, state: MeterState, image: tuple[Sample, ...], *, taken: bool, now: Instant) -> Counted:
        """Counts once. ``taken``: what passes now belongs to the dispenser; else it is idle water."""
        sample = image[self.total]
        present = sample.number
        if present is None:
            start = since(state.unknown_since, True, now)
            return Counted(state if start == state.unknown_since else replace(state, unknown_since=start))
        state, emptied = self._emptied(state, image)
        air = (Cause(Code.PIPE_EMPTY, self.total_name),) if state.air_m3 is not None else ()
        if state.read_at == sample.received and state.unknown_since is None and present == state.total_m3:
            state, booked = self._book_idle(state, now)
            return Counted(state, 0.0, (*emptied, *booked), air)
        before, read_at = state.total_m3, state.read_at
        if before is None:
            first = replace(state, total_m3=present, read_at=sample.received, unknown_since=None)
            return Counted(first, 0.0, emptied, air)
        moved = advance(before, present, self.rollover_m3)
        if self._is_back(state, present, sample):
            assert state.left_m3 is not None
            body = {"meter": self.total_name, "showed_m3": before, "left_m3": state.left_m3, "total_m3": present}
            emptied = (*emptied, Event(Kind.EVENT, "totaliser-is-back", self.tag, body))
            moved, state = Step(present - state.left_m3, False), replace(state, total_m3=present, left_m3=None)
        state = replace(state, read_at=sample.received, unknown_since=None)
        wrong = self._wrong(before, present, moved.volume_m3, moved.backward, read_at, sample)
        if wrong is not None:
            event = Event(Kind.EVENT, str(wrong.code), self.tag, to_json(wrong))
            left_m3 = None if not moved.backward else before if state.left_m3 is None else state.left_m3
            return Counted(replace(state, total_m3=present, left_m3=left_m3), 0.0, (*emptied, event), (*air, wrong))
        if moved.volume_m3 == 0:
            state, booked = self._book_idle(state, now)
            return Counted(state, 0.0, (*emptied, *booked), air)
        if state.air_m3 is not None:
            air_m3 = state.air_m3 + moved.volume_m3
            return Counted(replace(state, total_m3=present, air_m3=air_m3, left_m3=None), 0.0, emptied, air)
        state = replace(state, total_m3=present, left_m3=None, counted_m3=state.counted_m3 + moved.volume_m3)
        if taken:
            return Counted(state, moved.volume_m3, emptied, air)
        idle_m3 = state.idle_m3 + moved.volume_m3
        began = now.mono if state.idle_m3 <= 0 else state.idle_since
        state = replace(state, idle_m3=idle_m3, idle_since=began, idle_changed_at=now.mono)
        state, booked = self._book_idle(state, now)
        return Counted(state, 0.0, (*emptied, *booked), air)

    def refusal(self, state: MeterState, reads_m3: float, image: tuple[Sample, ...]) -> Cause | None:
        """Why a replacement cannot be taken, or ``None``: the new register must read what the person says it reads.

        A meter that does not answer yet is taken at the person's word. That no order is open, nothing flows and the
        valve is closed is for the dispenser to know.
        """
        most = self.rollover_m3 if self.rollover_m3 is not None else float("inf")
        if not isfinite(reads_m3) or not 0 <= reads_m3 < most:
            return Cause(Code.READING_NOT_ALLOWED, self.total_name, (amount(reads_m3, "m3"), amount(most, "m3")))
        present = image[self.total].number
        if present is not None and abs(present - reads_m3) > AGREES_M3:
            return Cause(Code.READING_DIFFERS, self.total_name, (amount(reads_m3, "m3"), amount(present, "m3")))
        return None

    def replaced(
        self, state: MeterState, reads_m3: float, image: tuple[Sample, ...], by: str, reason: str, now: Instant
    ) -> tuple[MeterState, Event]:
        """Carries the count over to the register of a new meter, after ``refusal`` let it through.

        The difference between the registers is no water. Idle water of the old meter stays to be booked.
        """
        sample = image[self.total]
        present = sample.number
        register_m3 = reads_m3 if present is None else present
        body: dict[str, Any] = {
            "meter": self.total_name,
            "by": by,
            "reason": reason,
            "old_total_m3": state.total_m3,
            "new_total_m3": register_m3,
            "reads_m3": reads_m3,
            "counted_m3": round(state.counted_m3, 6),
        }
        read_at = now.mono if present is None else sample.received
        new = replace(state, total_m3=register_m3, read_at=read_at, air_m3=None, left_m3=None)
        return new, Event(Kind.EVENT, "meter-replaced", self.tag, body)

    def _is_back(self, state: MeterState, present: float, sample: Sample) -> bool:
        """True when a register that stepped back is where it was, sooner than it can have counted that."""
        if state.left_m3 is None or state.total_m3 is None or present < state.left_m3 or state.read_at is None:
            return False
        lapse_s = max(sample.received - state.read_at, 0.0)
        return present - state.total_m3 > PLAUSIBLE_FACTOR * self.max_flow_m3h * lapse_s / 3600

    def _wrong(
        self, before: float, present: float, volume_m3: float, backward: bool, read_at: float | None, sample: Sample
    ) -> Cause | None:
        """What shows that another register is read than before, or ``None``."""
        if backward:
            return Cause(Code.TOTALISER_BACKWARD, self.tag, (amount(before, "m3"), amount(present, "m3")))
        if read_at is None:
            # How long it was not read is not known: what passed meanwhile is counted.
            return None
        elapsed_s = max(sample.received - read_at, 0.0) + PLAUSIBLE_MARGIN_S
        most = PLAUSIBLE_FACTOR * self.max_flow_m3h * elapsed_s / 3600
        if volume_m3 <= most:
            return None
        values = (amount(before, "m3"), amount(present, "m3"), amount(most, "m3"))
        return Cause(Code.TOTALISER_JUMP, self.tag, values)

    def _emptied(self, state: MeterState, image: tuple[Sample, ...]) -> tuple[MeterState, tuple[Event, ...]]:
        """Notes when the pipe becomes empty and when it is full again. A flag that is not known is no flag."""
        if self.empty_pipe is None:
            return state, ()
        flag = image[self.empty_pipe]
        empty = flag.good and flag.value is True
        if empty is (state.air_m3 is not None):
            return state, ()
        if empty:
            return replace(state, air_m3=0.0), ()
        body = {"meter": self.total_name, "ignored_m3": round(state.air_m3 or 0.0, 6), "total_m3": state.total_m3}
        return replace(state, air_m3=None), (Event(Kind.EVENT, "pipe-was-empty", self.tag, body),)

    def _book_idle(self, state: MeterState, now: Instant) -> tuple[MeterState, tuple[Event, ...]]:
        """Books what passed without being allowed to, once it has stopped passing; and each hour while it has not."""
        passes = now.mono - state.idle_changed_at < self.settle and now.mono - state.idle_since < LONGEST_IDLE_S
        if state.idle_m3 <= 0 or passes:
            return state, ()
        body = {"volume_m3": round(state.idle_m3, 6), "total_m3": state.total_m3}
        booked = replace(state, idle_m3=0.0, unattributed_m3=state.unattributed_m3 + state.idle_m3)
        return booked, (Event(Kind.EVENT, "unattributed", self.tag, body),)


_SAVED: Final = ("total_m3", "counted_m3", "unattributed_m3", "idle_m3", "air_m3")


def to_saved(state: MeterState, now: Instant) -> dict[str, float | None]:
    """What of a meter survives a restart, as JSON."""
    read_utc = now.utc - (now.mono - state.read_at) if state.read_at is not None else None
    return {**{name: getattr(state, name) for name in _SAVED}, "left_m3": state.left_m3, "read_utc": read_utc}


def from_saved(saved: dict[str, float | None], now: Instant) -> MeterState:
    """The state after a restart. Raises ``KeyError`` or ``TypeError`` on other data.

    A clock that went back tells nothing of how long the controller was down.
    """
    state = MeterState(**{name: saved[name] for name in _SAVED}, left_m3=saved.get("left_m3"))  # type: ignore[arg-type]
    read_utc = saved.get("read_utc")
    if read_utc is None or read_utc > now.utc:
        return state
    return replace(state, read_at=now.mono - (now.utc - read_utc))
