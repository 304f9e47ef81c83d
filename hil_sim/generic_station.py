"""A model for any site that has none of its own: every signal holds a value, outputs echo their last write.

Used for benchmarks (a hundred devices of a hundred registers) and for trying a new profile. Nothing moves
unless it is set or written.
"""

from collections.abc import Mapping

from config.encoding import FLOATS
from config.load import LoadedSite
from config.profile import ModbusSignal, OpcUaSignal
from config.sample import Value
from config.signals import Signal
from hil_sim.base_station import Settings
from hil_sim.errors import SimulatorError
from hil_sim.station import Point


class GenericStation:
    """Holds values.

    Numbers start at 0 or, where the profile gives a range that excludes it, at its lower end.
    """

    def __init__(self, loaded: LoadedSite, settings: Settings) -> None:
        self._signals = {signal.name: signal for signal in loaded.signals.field}
        self._start_s = settings.start_s
        self.values: dict[str, Value] = {name: self._initial(signal) for name, signal in self._signals.items()}
        self._points = {name: self._point(signal) for name, signal in self._signals.items()}

    @property
    def points(self) -> Mapping[str, Point]:
        """Every signal of the site."""
        return self._points

    def step(self, dt_s: float) -> None:
        """Nothing moves by itself."""

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
        if name not in self.values:
            raise SimulatorError(f"no signal '{name}' on this site")
        self.values[name] = _fitting(self._signals[name], value)

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

        def put(value: Value) -> None:
            values[name] = value

        return Point(signal.unit, lambda: values[name], put if signal.writable else None)


def _fitting(signal: Signal, value: Value) -> Value:
    definition = signal.definition
    if signal.kind == "bool":
        if isinstance(value, bool):
            return value
    elif signal.kind == "text":
        words = definition.enum.values() if isinstance(definition, ModbusSignal) else ()
        if isinstance(value, str) and (not words or value in words):
            return value
    elif value is None:
        if not isinstance(definition, ModbusSignal) or definition.type in FLOATS or definition.invalid:
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise SimulatorError(f"{value!r} is no value for {signal.name}, a {signal.kind}")
