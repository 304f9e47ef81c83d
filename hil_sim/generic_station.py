"""A model for any site that has none of its own: every signal holds a value, outputs echo their last write.

Used for benchmarks (a hundred devices of a hundred registers) and for trying a new profile. Nothing moves unless it
is set or written, but for the feedback of a command: what its profile calls ``ack`` or ``confirm`` follows the command.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from config.command import Expected
from config.encoding import FLOATS, Encoding
from config.load import LoadedSite
from config.modbus_signal import ModbusSignal
from config.profile import ModbusProfile, OpcUaSignal
from config.sample import Reason, Value
from config.signals import Signal
from hil_sim.base_station import Settings
from hil_sim.errors import SimulatorError
from hil_sim.station import Point

FEEDBACK_S: Final = 0.1
"""How long a device takes to show that it has obeyed; less where its profile wants the feedback sooner."""


class _Feedback(NamedTuple):
    """A signal that follows a command, ``delay_s`` later; ``inverted``: true when the command is false."""

    name: str
    delay_s: float
    inverted: bool


class _Due(NamedTuple):
    at_s: float
    name: str
    value: Value


class GenericStation:
    """Holds values.

    At first every device is as its profile wants it: what ``identify``, the ``require`` of a command, a code of
    quality or of a unit asks for stands so. Other numbers start at 0 or, where the profile gives a range that excludes
    it, at its lower end; enums at their first word; times at the start.
    """

    def __init__(self, loaded: LoadedSite, settings: Settings) -> None:
        self._signals = {signal.name: signal for signal in loaded.signals.field}
        self._now_s = settings.start_s
        self._start_s = settings.start_s
        self._feedback = _feedback(loaded)
        self._loose: set[str] = set()
        self._due: list[_Due] = []
        self.values: dict[str, Value] = {name: self._initial(signal) for name, signal in self._signals.items()}
        for name, wanted in _wanted(loaded):
            self.values[name] = wanted
        self._points = {name: self._point(signal) for name, signal in self._signals.items()}

    @property
    def points(self) -> Mapping[str, Point]:
        """Every signal of the site."""
        return self._points

    def step(self, dt_s: float) -> None:
        """Lets ``dt_s`` pass: feedback arrives."""
        self._now_s += dt_s
        if not self._due:
            return
        arrived = [due for due in self._due if due.at_s <= self._now_s]
        self._due = [due for due in self._due if due.at_s > self._now_s]
        for due in arrived:
            if due.name not in self._loose:
                self.values[due.name] = due.value

    def truth(self) -> dict[str, object]:
        """There is no truth behind the values."""
        return {}

    def upset(self, parameter: str, value: float, ramp_s: float, for_s: float | None) -> None:
        """Refused: there is no water behind the signals."""
        raise self._no_model()

    def calm(self, parameter: str, ramp_s: float) -> None:
        """Refused: there is no water behind the signals."""
        raise self._no_model()

    def set(self, name: str, value: Value) -> None:
        """Puts a signal to ``value`` at once. ``None`` is "no value" (NaN or the profile's invalid value)."""
        self.values[name] = _fitting(self._of(name), value)

    def follow(self, name: str, on: bool) -> None:
        """Has a feedback follow its command, or stay as it is."""
        self._of(name)
        if all(feedback.name != name for followers in self._feedback.values() for feedback in followers):
            raise SimulatorError(f"'{name}' follows no command: it is neither ack nor confirm of one")
        (self._loose.discard if on else self._loose.add)(name)

    def stick_valve(self, tag: str, stuck: bool) -> None:
        """Refused: there is no valve behind the signals."""
        raise self._no_model()

    def trip_pump(self, tag: str, tripped: bool) -> None:
        """Refused: there is no pump behind the signals."""
        raise self._no_model()

    def analyzer(self, device: str, request: Mapping[str, float]) -> None:
        """Refused: set the analyzer's signals instead."""
        raise self._no_model()

    def set_level(self, level_m: float) -> None:
        """Refused: there is no tank behind the signals."""
        raise self._no_model()

    def speed(self, factor: float) -> None:
        """Refused: nothing here has a speed."""
        raise self._no_model()

    @staticmethod
    def _no_model() -> SimulatorError:
        return SimulatorError("this site has no station model; use 'set' with the name of a signal")

    def _of(self, name: str) -> Signal:
        signal = self._signals.get(name)
        if signal is None:
            raise SimulatorError(f"no signal '{name}' on this site")
        return signal

    def _initial(self, signal: Signal) -> Value:
        definition = signal.definition
        if signal.kind == "time":
            return self._start_s
        if signal.kind == "bool":
            return False
        if signal.kind == "text":
            return next(iter(getattr(definition, "enum", {}).values()), "")
        assert isinstance(definition, ModbusSignal | OpcUaSignal)
        low = definition.range[0] if definition.range is not None else 0.0
        high = definition.range[1] if definition.range is not None else 0.0
        declared = 0.0 if low <= 0.0 <= high else low
        return declared * signal.factor + signal.bias

    def _point(self, signal: Signal) -> Point:
        name, values = signal.name, self.values
        followers = self._feedback.get(name, ())

        def put(value: Value) -> None:
            values[name] = value
            for feedback in followers:
                shown = not value if feedback.inverted else value
                # A feedback on its way to an older value never arrives.
                self._due = [due for due in self._due if due.name != feedback.name]
                self._due.append(_Due(self._now_s + feedback.delay_s, feedback.name, shown))

        return Point(signal.unit, lambda: values[name], put if signal.writable else None)


def _feedback(loaded: LoadedSite) -> dict[str, list[_Feedback]]:
    """What follows each command, where both are of one kind."""
    found: dict[str, list[_Feedback]] = {}
    for signal in loaded.signals.field:
        command = signal.definition.command if isinstance(signal.definition, ModbusSignal) else None
        if command is None:
            continue
        wanted = []
        if command.ack is not None:
            wanted.append(_Feedback(f"{signal.device}.{command.ack}", min(FEEDBACK_S, command.within / 2), False))
        if command.confirm is not None:
            confirm = command.confirm
            delay_s = min(FEEDBACK_S, confirm.within / 2)
            wanted.append(_Feedback(f"{signal.device}.{confirm.signal}", delay_s, confirm.inverted))
        found[signal.name] = [
            feedback
            for feedback in wanted
            if loaded.signals[feedback.name].kind == signal.kind and loaded.signals[feedback.name].unit == signal.unit
        ]
    return found


def _wanted(loaded: LoadedSite) -> Iterator[tuple[str, Value]]:
    """What the profiles want to read, the strongest wish last."""
    for tag, profile in loaded.profiles.items():
        if not isinstance(profile, ModbusProfile):
            continue
        for definition in profile.signals.values():
            if definition.unit_from is not None:
                first = next(iter(definition.unit_from.codes), 0)
                yield _coded(loaded.signals[f"{tag}.{definition.unit_from.signal}"], first)
            for binding in definition.quality_from:
                fine = [code for code, reason in binding.codes.items() if reason is Reason.OK]
                if fine:
                    yield _coded(loaded.signals[f"{tag}.{binding.signal}"], fine[0])
        commands = [definition.command for definition in profile.signals.values() if definition.command is not None]
        for wishes in (*(command.require for command in commands), profile.identify):
            for field, expected in wishes.items():
                yield _expected(loaded.signals[f"{tag}.{field}"], expected)


def _coded(signal: Signal, code: int) -> tuple[str, Value]:
    """A signal and the value that its raw whole number means."""
    definition = signal.definition
    assert isinstance(definition, ModbusSignal)
    if definition.enum:
        return signal.name, definition.enum.get(code, next(iter(definition.enum.values())))
    if signal.kind == "bool":
        return signal.name, code in definition.switch.on if definition.switch is not None else bool(code)
    return signal.name, (code * definition.scale + definition.offset) * signal.factor + signal.bias


def _expected(signal: Signal, expected: Expected) -> tuple[str, Value]:
    """A signal and a value that a profile states in the signal's own unit."""
    if signal.kind == "number" and not isinstance(expected, str):
        return signal.name, float(expected) * signal.factor + signal.bias
    return signal.name, _fitting(signal, bool(expected) if signal.kind == "bool" else expected)


def _fitting(signal: Signal, value: Value) -> Value:
    """The value as the station holds it. Raises ``SimulatorError`` for one that the signal cannot show."""
    definition = signal.definition
    if value is None or (isinstance(value, float) and math.isnan(value)):
        if _has_no_value(signal):
            return None
    elif signal.kind == "bool":
        if isinstance(value, bool):
            return value
    elif signal.kind == "text":
        if isinstance(value, str) and _fits(value, definition):
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise SimulatorError(f"{value!r} is no value for {signal.name}, {_described(signal)}")


def _has_no_value(signal: Signal) -> bool:
    """True when the device can show that it has no value."""
    definition = signal.definition
    if not isinstance(definition, ModbusSignal):
        return True
    return signal.kind == "time" or definition.type in FLOATS or bool(definition.invalid)


def _fits(word: str, definition: object) -> bool:
    if not isinstance(definition, ModbusSignal):
        return True
    if definition.enum:
        return word in definition.enum.values()
    try:
        return len(word.encode(definition.charset)) <= 2 * definition.length
    except UnicodeEncodeError:
        return False


def _described(signal: Signal) -> str:
    definition = signal.definition
    if isinstance(definition, ModbusSignal) and definition.enum:
        return f"one of: {', '.join(dict.fromkeys(definition.enum.values()))}"
    if isinstance(definition, ModbusSignal) and definition.type is Encoding.STRING:
        return f"a text of at most {2 * definition.length} bytes in {definition.charset}"
    return f"a {signal.kind}"
