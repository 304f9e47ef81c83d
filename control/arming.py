"""Arming: what must be in place at the fill arm before water flows, and must stay in place while it does.

The hose (or arm) connected, the overfill probe well, start pressed: shared water notes 3.2 and 3.3 (permissives must
hold to keep the valve open). Start is a press, a rising edge seen while the fill waits for it; a button that is held
or stuck from before starts nothing. The driver may stop at any time.

The overfill probe is lost: the tank is full, and the valve closes as fast as is safe. A probe or hose switch that is
not read is tolerated as briefly as a lost poll takes, then the fill stops at the valve's normal speed.
"""

from dataclasses import dataclass, replace
from typing import Final

from config.sample import Sample
from control.cause import Cause, amount, reason_text
from control.code import Code
from control.instant import Instant
from control.timer import lasted, since

UNKNOWN_TOLERANCE_S: Final = 1.0
"""Two polls of a remote I/O may be lost before a permissive counts as not known."""


@dataclass(frozen=True, slots=True)
class ArmingState:
    """``start_up``: the start button was seen released since the fill waits; ``pressed``: start was given."""

    start_up: bool = False
    pressed: bool = False
    unknown_since: float | None = None
    unmet: Cause | None = None


AT_REST: Final = ArmingState()


@dataclass(frozen=True, slots=True)
class Arming:
    """Settings: image indices of bool signals (``None``: there is none), ``timeout`` in s.

    ``by_start``: a fill waits for start, by the button or by ``penstock start``.
    """

    tag: str
    hose: int | None
    hose_name: str
    overfill: int | None
    overfill_name: str
    start: int | None
    stop: int | None
    stop_name: str
    by_start: bool
    timeout: float

    def step(self, state: ArmingState, image: tuple[Sample, ...], waiting: bool, now: Instant) -> ArmingState:
        """Reads the permissives; ``waiting``: the fill is armed and has not begun."""
        unmet = self._unmet(state, image)
        unknown_since = since(state.unknown_since, unmet is not None and unmet.code is Code.PERMISSIVE_UNKNOWN, now)
        start_up, pressed = state.start_up, state.pressed
        if waiting and self.start is not None:
            button = image[self.start]
            pressed = pressed or (start_up and button.good and button.value is True)
            start_up = start_up or (button.good and button.value is False)
        new = ArmingState(start_up, pressed, unknown_since, unmet)
        return state if new == state else new

    def waits_for(self, state: ArmingState) -> Cause | None:
        """Why an armed fill does not begin, or ``None``."""
        if state.unmet is not None:
            return state.unmet
        return Cause(Code.WAITS_FOR_START, self.tag) if self.by_start and not state.pressed else None

    def timed_out(self, armed_at: float, now: Instant) -> Cause | None:
        """Why an armed fill waits no longer, or ``None``."""
        if now.mono - armed_at < self.timeout:
            return None
        return Cause(Code.ARM_TIMEOUT, self.tag, (amount(self.timeout, "s"),))

    def must_stop(self, state: ArmingState, image: tuple[Sample, ...], dispensing: bool, now: Instant) -> Cause | None:
        """Why the fill must stop, or ``None``: the driver says so, or a permissive is lost while water flows."""
        if self.stop is not None:
            button = image[self.stop]
            if button.good and button.value is True:
                return Cause(Code.STOPPED_BY_DRIVER, self.tag, (self.stop_name,))
        if not dispensing or state.unmet is None:
            return None
        unknown = state.unmet.code is Code.PERMISSIVE_UNKNOWN
        if unknown and not lasted(state.unknown_since, UNKNOWN_TOLERANCE_S, now):
            return None
        return state.unmet

    def _unmet(self, state: ArmingState, image: tuple[Sample, ...]) -> Cause | None:
        """The permissive that is not met, the overfill probe first; the cause before if it is the same."""
        found: Cause | None = None
        for index, name, code in (
            (self.overfill, self.overfill_name, Code.OVERFILL),
            (self.hose, self.hose_name, Code.HOSE_NOT_CONNECTED),
        ):
            if index is None:
                continue
            sample = image[index]
            if not sample.good:
                found = found or self._kept(state, Code.PERMISSIVE_UNKNOWN, name, (reason_text(sample),))
            elif sample.value is not True:
                return self._kept(state, code, name, ())
        return found

    def _kept(self, state: ArmingState, code: Code, name: str, values: tuple[str, ...]) -> Cause:
        before = state.unmet
        if before is not None and before.code is code and before.subject == name and before.values == values:
            return before
        return Cause(code, name, values)


def pressed(state: ArmingState) -> ArmingState:
    """The state after start was given by a command."""
    return replace(state, pressed=True)
