"""The communication watchdog of a device: it drops its outputs when its master falls silent.

By default every good request is a sign of life. With a heartbeat only the write of its signal is, and where the
pattern asks for change only a value that differs from the last.
"""

from collections.abc import Mapping

from config.command import Heartbeat
from config.profile import ModbusProfile
from config.sample import Value
from config.signals import Signal
from config.units import CANONICAL
from hil_sim.station import Point


class Watchdog:
    """``tripped`` from the time-out to the next sign of life.

    The time is the profile's ``watchdog.timeout``, or what stands in the device's own parameter: a signal of
    ``on_connect`` that has ``watchdog`` in its name, a time (0: off) or a bool (false: off).
    """

    def __init__(self, profile: ModbusProfile, signals: list[Signal], points: Mapping[str, Point]) -> None:
        self.tripped = False
        self.heartbeat: Heartbeat | None = profile.watchdog.heartbeat if profile.watchdog is not None else None
        self._timeout_s = profile.watchdog.timeout if profile.watchdog is not None else None
        self._times = [
            signal for signal in signals if _is_parameter(signal, profile) and signal.unit == CANONICAL["time"]
        ]
        self._switches = [signal for signal in signals if _is_parameter(signal, profile) and signal.kind == "bool"]
        self._points = points
        self._heard_s: float | None = None

    @property
    def watched(self) -> bool:
        """True for a device that has a watchdog, set or not."""
        return self._timeout_s is not None

    def request(self, now_s: float) -> None:
        """A request was answered without exception."""
        if self.heartbeat is None:
            self.hear(now_s)

    def beat(self, before: Value, written: Value, now_s: float) -> None:
        """The heartbeat signal was written."""
        if self.heartbeat is not None and (self.heartbeat.pattern == "repeat" or written != before):
            self.hear(now_s)

    def hear(self, now_s: float) -> None:
        """The master lives."""
        self._heard_s = now_s
        self.tripped = False

    def look(self, now_s: float) -> bool:
        """True once, when the time has run out."""
        timeout_s = self._present_timeout_s()
        if timeout_s is None or self.tripped:
            return False
        if self._heard_s is None:
            self._heard_s = now_s
        self.tripped = now_s - self._heard_s > timeout_s
        return self.tripped

    def _present_timeout_s(self) -> float | None:
        if self._timeout_s is None or not all(self._points[signal.name].get() for signal in self._switches):
            return None
        for signal in self._times:
            value = self._points[signal.name].get()
            return float(value) if isinstance(value, int | float) and value > 0 else None
        return self._timeout_s


def _is_parameter(signal: Signal, profile: ModbusProfile) -> bool:
    return "watchdog" in signal.field and signal.field in profile.on_connect
