"""Interlocks and permissives: what the conditions of the site file stop, and what they must allow first.

An interlock acts while its condition is true: it forbids what it stops and closes, and latches the trip of what it
trips (the trip stays until a person resets it, the interlock itself does not). A condition that cannot be judged counts
as true once that has lasted, because a bad reading must not hide what it watches; with ``ignores_unknown`` it changes
nothing. Before its condition was known for the first time an interlock forbids at once, but it does not trip.

A permissive refuses a start unless its condition is true. It stops nothing that runs, so what is not known refuses
at once.
"""

from dataclasses import dataclass

from control.alarm import Priority
from control.cause import Cause
from control.code import Code
from control.expression import Condition, Memory, Situation
from control.timer import lasted, since


@dataclass(frozen=True, slots=True)
class InterlockState:
    """``acts``: why it forbids now; ``trips``: it also trips now. ``unknown``: why it cannot be judged now."""

    memory: Memory
    acts: Cause | None = None
    trips: bool = False
    known: bool = False
    unknown: Cause | None = None
    unknown_since: float | None = None


@dataclass(frozen=True, slots=True)
class Interlock:
    """Settings. ``text`` and ``text_zh`` are what it is told by.

    ``dispensers`` it stops (also those whose pump or valve it stops or closes), ``tripped`` of them it trips too;
    ``actuators``: the outputs that it forces safe, by their place among all outputs.
    """

    name: str
    condition: Condition
    dispensers: tuple[int, ...]
    tripped: tuple[int, ...]
    actuators: tuple[int, ...]
    ignores_unknown: bool
    unknown_delay: float
    priority: Priority
    text: str
    text_zh: str

    def initial(self) -> InterlockState:
        """Nothing known yet."""
        return InterlockState(self.condition.initial())

    def step(self, state: InterlockState, situation: Situation) -> InterlockState:
        """Judges the condition; the same state where nothing of it changed."""
        truth, memory = self.condition.step(state.memory, situation)
        if truth is False:
            acts, trips, unknown = None, False, None
        elif truth is True:
            same = state.acts is not None and state.acts.code is Code.INTERLOCK_ACTS
            acts = state.acts if same else self._cause(Code.INTERLOCK_ACTS, memory, situation)
            trips, unknown = True, None
        else:
            unknown = state.unknown or self._cause(Code.INTERLOCK_UNKNOWN, memory, situation)
        unknown_since = since(state.unknown_since, truth is None, situation.now)
        if truth is None:
            # What acted goes on; beyond that only what may not be ignored acts.
            long = lasted(unknown_since, self.unknown_delay, situation.now)
            votes = not self.ignores_unknown and (long or not state.known)
            acts = state.acts or (unknown if votes else None)
            trips = state.trips or (long and not self.ignores_unknown)
        known = state.known or truth is not None
        if (
            memory is state.memory
            and acts is state.acts
            and trips is state.trips
            and known is state.known
            and unknown is state.unknown
            and unknown_since == state.unknown_since
        ):
            return state
        return InterlockState(memory, acts, trips, known, unknown, unknown_since)

    def not_clear(self, state: InterlockState) -> Cause | None:
        """Why what it tripped cannot be reset now."""
        return state.acts or (None if self.ignores_unknown else state.unknown)

    def _cause(self, code: Code, memory: Memory, situation: Situation) -> Cause:
        return Cause(code, self.name, (self.text, self.text_zh), self.condition.deciding(memory, situation))


@dataclass(frozen=True, slots=True)
class PermissiveState:
    """``refuses``: why nothing may start now."""

    memory: Memory
    refuses: Cause | None = None


@dataclass(frozen=True, slots=True)
class Permissive:
    """Settings: the ``dispensers`` that it lets start (also those whose pump it lets start), and the ``pumps``."""

    name: str
    condition: Condition
    dispensers: tuple[int, ...]
    pumps: tuple[int, ...]
    text: str
    text_zh: str

    def initial(self) -> PermissiveState:
        """Nothing known yet."""
        return PermissiveState(self.condition.initial())

    def step(self, state: PermissiveState, situation: Situation) -> PermissiveState:
        """Judges the condition; the same state where nothing of it changed."""
        truth, memory = self.condition.step(state.memory, situation)
        refuses = None
        if truth is not True:
            code = Code.START_NOT_PERMITTED if truth is False else Code.START_UNKNOWN
            refuses = state.refuses
            if refuses is None or refuses.code is not code:
                because = self.condition.deciding(memory, situation)
                refuses = Cause(code, self.name, (self.text, self.text_zh), because)
        if memory is state.memory and refuses is state.refuses:
            return state
        return PermissiveState(memory, refuses)
