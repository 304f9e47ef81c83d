"""Conditions over signals and equipment: what an expression of the site file says now.

Three-valued: a condition is true, false or not known (``None``), because a reading that is not good is never used as a
number. ``and``, ``or`` and ``not`` are those of Kleene: what is not known decides only where nothing known does.

``for`` is an on-delay (TON of IEC 61131-3) over such a condition: true once it has been true all the time, false when
it has been false within the time, else not known. So a lost poll does not start a protective delay anew: at its end the
condition is not known, which protects like a true one, and is true only once it has been seen for the whole time.
``until`` is a dead band: what held is kept while the reading is not known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from config.sample import Quality, Reason, Sample
from control.cause import Cause, amount, reason_text, seen
from control.code import Code
from control.continuous import ContinuousState
from control.fill import BatchState
from control.guard import GuardState, Verdict
from control.instant import Instant
from control.pump import PumpState
from control.timer import lasted, since
from control.trip import TripState
from control.valve import Position, ValveState

Truth = bool | None
"""``None``: not known."""
Memory = tuple[float | None, ...]
"""What an expression remembers: since when a condition holds (``for``, ``until``), on the monotonic clock."""

DISPENSING: Final = frozenset({"slow-start", "full-flow", "slow-finish", "ramping", "holding"})
"""The phases of dispensers in which water may flow."""
IDLE: Final = frozenset({"idle", "stopped"})
"""The phases in which nothing is in hand."""


class Situation(NamedTuple):
    """What expressions speak of, each in the order of the program's lists.

    Image, valves, pumps and guards are of this scan; trips and dispensers are as the scan before left them.
    """

    image: tuple[Sample, ...]
    valves: tuple[ValveState, ...]
    pumps: tuple[PumpState, ...]
    guards: tuple[GuardState, ...]
    trips: tuple[TripState, ...]
    dispensers: tuple[BatchState | ContinuousState, ...]
    now: Instant


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled expression: its canonical ``text``, and how many ``places`` of memory it has."""

    text: str
    root: "Node"
    places: int

    def initial(self) -> Memory:
        """Nothing has held yet."""
        return (None,) * self.places

    def step(self, memory: Memory, situation: Situation) -> tuple[Truth, Memory]:
        """What it says now, and what it remembers: the same memory where nothing of it changed."""
        after = list(memory)
        truth = self.root.truth(situation, after)
        remembered = tuple(after)
        return truth, memory if remembered == memory else remembered

    def deciding(self, memory: Memory, situation: Situation) -> Cause:
        """The single condition that decided, with the reading it rests on. ``memory`` is that after ``step``."""
        after = list(memory)
        leaf = _decided_by(self.root, situation, after)
        return leaf.told.cause(leaf.truth(situation, after), situation)


# What is compared: numbers.


@dataclass(frozen=True, slots=True)
class Number:
    """A quantity, in the unit in which its signals are computed."""

    number: float

    def read(self, image: tuple[Sample, ...]) -> float | None:
        return self.number


@dataclass(frozen=True, slots=True)
class Reading:
    """The number that a signal shows; none unless it is good."""

    signal: int

    def read(self, image: tuple[Sample, ...]) -> float | None:
        return image[self.signal].number


@dataclass(frozen=True, slots=True)
class Absolute:
    """The absolute value of a number."""

    of: "Operand"

    def read(self, image: tuple[Sample, ...]) -> float | None:
        number = self.of.read(image)
        return None if number is None else abs(number)


@dataclass(frozen=True, slots=True)
class Total:
    """Terms that are added or (``minus``) taken off; not known as soon as one of them is not."""

    terms: "tuple[tuple[bool, Operand], ...]"

    def read(self, image: tuple[Sample, ...]) -> float | None:
        total = 0.0
        for minus, term in self.terms:
            number = term.read(image)
            if number is None:
                return None
            total = total - number if minus else total + number
        return total


Operand = Number | Reading | Absolute | Total


# Single conditions.


@dataclass(frozen=True, slots=True)
class Told:
    """How a single condition is told: its text, and the signals it rests on, or the dispenser whose phase it tells."""

    text: str
    subject: str
    signals: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    dispenser: int | None = None

    def cause(self, truth: Truth, situation: Situation) -> Cause:
        """It rests on its first reading; where it is not known, on the first that is not good."""
        if self.dispenser is not None:
            phase = str(situation.dispensers[self.dispenser].phase)
            return Cause(_CODES[truth], self.subject, (self.text, f"{self.subject}: {phase}"))
        samples = [situation.image[signal] for signal in self.signals]
        told = ", ".join(
            _told(name, unit, sample) for name, unit, sample in zip(self.names, self.units, samples, strict=True)
        )
        place = next((i for i, sample in enumerate(samples) if not sample.good), 0) if truth is None else 0
        reading = seen(self.names[place], self.units[place], samples[place], situation.now.utc)
        return Cause(_CODES[truth], self.names[place], (self.text, told), None, reading)


@dataclass(frozen=True, slots=True)
class Compared:
    """``left`` compared with ``right``; with ``until`` it then holds as long as ``left`` is ``short`` of that limit."""

    left: Operand
    holds: Callable[[float, float], bool]
    right: Operand
    told: Told
    until: float | None = None
    short: Callable[[float, float], bool] | None = None
    place: int = -1

    def truth(self, situation: Situation, memory: list[float | None]) -> Truth:
        left, right = self.left.read(situation.image), self.right.read(situation.image)
        # A sum that no number can hold compares with nothing.
        if left is None or right is None or left != left or right != right:
            return None
        held = self.holds(left, right)
        if self.until is None or self.short is None:
            return held
        held = held or (memory[self.place] is not None and self.short(left, self.until))
        memory[self.place] = since(memory[self.place], held, situation.now)
        return held


@dataclass(frozen=True, slots=True)
class On:
    """A signal of on and off."""

    signal: int
    told: Told

    def truth(self, situation: Situation, memory: list[float | None]) -> Truth:
        sample = situation.image[self.signal]
        return sample.value if sample.good and isinstance(sample.value, bool) else None


@dataclass(frozen=True, slots=True)
class Says:
    """A signal of text has this value."""

    signal: int
    text: str
    told: Told

    def truth(self, situation: Situation, memory: list[float | None]) -> Truth:
        sample = situation.image[self.signal]
        return sample.value == self.text if sample.good and isinstance(sample.value, str) else None


@dataclass(frozen=True, slots=True)
class Is:
    """Equipment, a guard, a dispenser or the quality of a signal is as ``state`` judges it; ``index`` says which."""

    state: Callable[[Situation, int], Truth]
    index: int
    told: Told

    def truth(self, situation: Situation, memory: list[float | None]) -> Truth:
        return self.state(situation, self.index)


Leaf = Compared | On | Says | Is


# Conditions made of others.


@dataclass(frozen=True, slots=True)
class Not:
    """True when the other is false; not known when that is not."""

    of: "Node"

    def truth(self, situation: Situation, memory: list[float | None]) -> Truth:
        truth = self.of.truth(situation, memory)
        return None if truth is None else not truth


@dataclass(frozen=True, slots=True)
class And:
    """False when one is false, true when all are true, else not known. Each is evaluated, because timers run on."""

    of: "tuple[Node, ...]"

    def truth(self, situation: Situation, memory: list[float | None]) -> Truth:
        result: Truth = True
        for part in self.of:
            truth = part.truth(situation, memory)
            if truth is False or (truth is None and result is True):
                result = truth
        return result


@dataclass(frozen=True, slots=True)
class Or:
    """True when one is true, false when all are false, else not known. Each is evaluated, because timers run on."""

    of: "tuple[Node, ...]"

    def truth(self, situation: Situation, memory: list[float | None]) -> Truth:
        result: Truth = False
        for part in self.of:
            truth = part.truth(situation, memory)
            if truth is True or (truth is None and result is False):
                result = truth
        return result


@dataclass(frozen=True, slots=True)
class For:
    """An on-delay of ``delay_s``: ``place`` remembers since when it is true, the next since when it is not false."""

    of: "Node"
    delay_s: float
    place: int

    def truth(self, situation: Situation, memory: list[float | None]) -> Truth:
        truth, now = self.of.truth(situation, memory), situation.now
        memory[self.place] = since(memory[self.place], truth is True, now)
        memory[self.place + 1] = since(memory[self.place + 1], truth is not False, now)
        if lasted(memory[self.place], self.delay_s, now):
            return True
        return None if lasted(memory[self.place + 1], self.delay_s, now) else False


Node = Not | And | Or | For | Leaf


def _decided_by(node: Node, situation: Situation, memory: list[float | None]) -> Leaf:
    """Of ``and`` and ``or`` the first that is as the whole is; evaluating anew at the same instant changes nothing."""
    while True:
        match node:
            case And(parts) | Or(parts):
                whole = node.truth(situation, memory)
                node = next(part for part in parts if part.truth(situation, memory) is whole)
            case Not(part) | For(part):
                node = part
            case _:
                return node


# States that a word names.


def _breached(situation: Situation, index: int) -> Truth:
    verdict = situation.guards[index].verdict
    return verdict is Verdict.BREACH if verdict is Verdict.BREACH or verdict <= Verdict.AGING else None


def _position(situation: Situation, index: int, position: Position) -> Truth:
    found = situation.valves[index].position
    return None if found is Position.UNKNOWN else found is position


def _opposite(truth: Truth) -> Truth:
    return None if truth is None else not truth


STATES: Final[Mapping[tuple[str, str], Callable[[Situation, int], Truth]]] = {
    ("signal", "good"): lambda s, i: s.image[i].quality is Quality.GOOD,
    ("signal", "uncertain"): lambda s, i: s.image[i].quality is Quality.UNCERTAIN,
    ("signal", "bad"): lambda s, i: s.image[i].quality is Quality.BAD,
    ("signal", "stale"): lambda s, i: s.image[i].reason is Reason.STALE,
    ("valve", "open"): lambda s, i: _position(s, i, Position.OPEN),
    ("valve", "closed"): lambda s, i: _position(s, i, Position.CLOSED),
    ("pump", "running"): lambda s, i: s.pumps[i].running,
    ("pump", "stopped"): lambda s, i: _opposite(s.pumps[i].running),
    ("guard", "fit"): lambda s, i: _opposite(_breached(s, i)),
    ("guard", "breached"): _breached,
    ("dispenser", "tripped"): lambda s, i: s.trips[i].latched,
    ("dispenser", "dispensing"): lambda s, i: s.dispensers[i].phase in DISPENSING,
    ("dispenser", "idle"): lambda s, i: s.dispensers[i].phase in IDLE,
}
"""What a word says of a subject, by what the subject is. What was measured may be unknown; how well, never is."""

_CODES: Final[Mapping[Truth, Code]] = {
    True: Code.CONDITION_MET,
    False: Code.CONDITION_NOT_MET,
    None: Code.CONDITION_UNKNOWN,
}


def _told(name: str, unit: str, sample: Sample) -> str:
    """A reading for a person: ``LT-101.level = 0.42 m``, ``LT-101.level: no communication``."""
    value = sample.value
    if not sample.good or value is None:
        return f"{name}: {reason_text(sample)}"
    if isinstance(value, bool):
        return f"{name} = {'on' if value else 'off'}"
    return f"{name} = {value}" if isinstance(value, str) else f"{name} = {amount(value, '' if unit == '1' else unit)}"
