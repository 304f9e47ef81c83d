"""Is a field device there? Silent for a while is an alarm of its own, whatever its signals are used for."""

from dataclasses import dataclass, replace

from config.sample import Reason, Sample
from control.cause import Cause, reason_text
from control.code import Code
from control.instant import Instant
from control.timer import lasted, since

SILENT_TOLERANCE_S = 5.0
"""A device may miss a few polls, or take this long to be found after a start, before it is an alarm."""


@dataclass(frozen=True, slots=True)
class DeviceState:
    """``offline`` is the alarm, once silence has lasted."""

    silent_since: float | None = None
    offline: Cause | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A device and the image indices of its signals; not of those read so seldom that they say nothing of now."""

    tag: str
    signals: tuple[int, ...]

    def step(self, state: DeviceState, image: tuple[Sample, ...], now: Instant) -> DeviceState:
        """A device is silent while none of its signals gets an answer."""
        answered = any(
            image[i].reason not in (Reason.NO_COMMUNICATION, Reason.NOT_YET_READ, Reason.STALE) for i in self.signals
        )
        silent_since = since(state.silent_since, not answered, now)
        if silent_since == state.silent_since and (state.offline is not None or silent_since is None):
            return state
        offline = None
        if lasted(silent_since, SILENT_TOLERANCE_S, now):
            offline = state.offline or Cause(Code.DEVICE_OFFLINE, self.tag, (reason_text(image[self.signals[0]]),))
        if silent_since == state.silent_since and offline is state.offline:
            return state
        return replace(state, silent_since=silent_since, offline=offline)
