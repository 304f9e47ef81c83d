"""The little of an event loop that an exchange needs, in a time that is moved by hand."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, cast


@dataclass(slots=True, eq=False)
class _Timer:
    when: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """A time in seconds, and timers that go off when it is moved past them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[_Timer] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Itself, for who wants a whole loop."""
        return cast("asyncio.AbstractEventLoop", self)

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self.loop)

    def call_at(self, when: float, callback: Callable[[], None]) -> _Timer:
        self._timers = [timer for timer in self._timers if not timer.cancelled]
        self._timers.append(_Timer(when, callback))
        return self._timers[-1]

    def forward(self, seconds: float) -> None:
        """Moves the time on; what a timer raises is raised here."""
        until = self.now + seconds
        while self._timers:
            first = min(self._timers, key=attrgetter("when"))
            if first.when > until:
                break
            self._timers.remove(first)
            if not first.cancelled:
                self.now = max(self.now, first.when)
                first.callback()
        self.now = until
