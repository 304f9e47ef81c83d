"""Books the outcome of every request to the unit it was meant for, and concludes what to do about unit and link."""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final

import structlog

from config.link import ModbusLink, ModbusTcpLink
from config.sample import Reason, bad
from drivers.modbus.exceptions import OF_THE_GATEWAY, exception_text
from drivers.modbus.procedure import outcome_text
from drivers.modbus.transaction import REPLY, Outcome, Result
from drivers.modbus.unit import DOWN_AFTER, DOWN_SHARE, Unit
from drivers.port import Sink

RECONNECT_AFTER: Final = 2
"""Unanswered requests in a row, of units that had not been down, after which a TCP connection counts as half-open."""
REOPEN_AFTER_S: Final = 60.0
"""A serial port on which nobody has answered for so long is closed and opened: USB adapters lose their way."""

log = structlog.get_logger(__name__)


class Health:
    """How the units of one link do.

    ``sink`` takes the readings of a unit that has gone down. ``online`` is called when a unit begins to answer, with
    true after it was down, ``reconnect`` with the reason when the connection is to be opened anew.
    """

    def __init__(
        self,
        name: str,
        link: ModbusLink,
        units: Collection[Unit],
        sink: Sink,
        online: Callable[[Unit, bool], None],
        reconnect: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._link = link
        self._units = units
        self._sink = sink
        self._online = online
        self._reconnect = reconnect
        self._silent_in_a_row = 0
        self._heard_at = self._heard = float("-inf")
        self._probes_until = self._hurry_from = float("-inf")

    def connected(self) -> None:
        """The link has been opened: what is held is tried at once."""
        self._silent_in_a_row = 0
        self._heard_at = self._loop.time()
        self._probe_all(self._loop.time())

    def disconnected(self) -> None:
        """The link is down, and with it every unit."""
        for unit in self._units:
            # What comes back may be another device.
            unit.parameters.forget()
            self._unit_bad(unit)

    def stopped(self) -> None:
        """The driver is stopped. If it runs again, every unit is begun with as if it had never been there."""
        for unit in self._units:
            unit.parameters.forget()
            unit.status.online = False

    def book(self, unit: Unit, result: Result, timeout: float) -> None:
        """Takes the outcome of a request that was awaited for ``timeout`` seconds at most."""
        if not unit.device:
            # Not of this site: a person asked for it.
            return
        status = unit.status
        if result.outcome is REPLY:
            status.replies += 1
            status.round_trips.append(result.took)
            self._answered(unit, result.at)
            return
        match result.outcome:
            case Outcome.EXCEPTION:
                status.exceptions += 1
                code = result.pdu[1]
                if code in OF_THE_GATEWAY:
                    # The gateway answers for a unit that does not: the unit is silent, the connection is in order.
                    self._silent_in_a_row = 0
                    self._heard = time.perf_counter()
                    self._missed(unit, result.at, result.took, telling=False)
                else:
                    self._answered(unit, result.at)
                status.last_error = exception_text(code)
            case Outcome.MALFORMED:
                status.malformed += 1
                status.last_error = outcome_text(result)
            case Outcome.TIMEOUT:
                status.timeouts += 1
                status.last_error = f"no reply within {timeout:.3g} s"
                # Of several requests under way one can be lost while those after it are answered.
                asked = time.perf_counter() - result.took
                if unit.answered_at <= asked:
                    self._missed(unit, result.at, timeout, telling=self._heard <= asked)
            case Outcome.REPLY | Outcome.LOST:
                return

    def _answered(self, unit: Unit, at: float) -> None:
        self._silent_in_a_row = 0
        self._heard_at = at
        # The loop's clock is too coarse to tell which of a reply and a request was first.
        self._heard = unit.answered_at = time.perf_counter()
        if not unit.silent and unit.status.online:
            return
        was_down = unit.down
        unit.answered()
        if unit.status.online:
            return
        unit.status.online = True
        unit.status.last_error = ""
        log.info("device answers", device=unit.device, link=self._name)
        if was_down and at >= self._hurry_from:
            # A cabinet whose power is back has more than one unit in it.
            self._probe_all(at)
            # A unit that comes and goes must not have the others probed each time.
            down = (other for other in self._units if other.down)
            self._hurry_from = at + sum(other.response_delay + self._link.timeout for other in down) / DOWN_SHARE
        self._online(unit, was_down)

    def _missed(self, unit: Unit, at: float, timeout: float, *, telling: bool) -> None:
        """Decides how long to leave the unit, or the connection, alone.

        ``telling``: nothing has been heard on the connection meanwhile.
        """
        others_down = all(other.down for other in self._units if other is not unit)
        # One unit known to be down says nothing of the connection, as long as another answers.
        telling = telling and (not unit.down or others_down)
        unit.silent += 1
        if not unit.down:
            # Left alone for once: its late reply would only disturb what others are asked.
            unit.held_until = at + timeout
        elif unit.probing or unit.silent == DOWN_AFTER:
            unit.probing = False
            unit.held_until = self._next_probe(unit, at, timeout, others_down)
        if unit.silent == DOWN_AFTER:
            log.warning("device does not answer", device=unit.device, link=self._name)
        if unit.down:
            unit.parameters.forget()
            self._unit_bad(unit)
        self._silent_in_a_row += telling
        if isinstance(self._link, ModbusTcpLink):
            if self._silent_in_a_row >= RECONNECT_AFTER:
                self._silent_in_a_row = 0
                self._loop.call_soon(self._reconnect, "no answer: the connection counts as half open")
        elif at - self._heard_at > max(REOPEN_AFTER_S, 2 * self._link.retry):
            self._heard_at = at
            self._loop.call_soon(self._reconnect, "no answer from anybody: the port is opened anew")

    def _probe_all(self, at: float) -> None:
        """Every unit that is held is tried at once."""
        self._probes_until = at
        for unit in self._units:
            unit.held_until = 0.0

    def _next_probe(self, unit: Unit, at: float, timeout: float, alone: bool) -> float:
        """When a unit that is down is probed again, after one in vain that was awaited for ``timeout`` seconds.

        While others answer the probes of all that are down stand in one row, so far from each other that they take
        no more than ``DOWN_SHARE`` of the time together, and never the time of two at once.
        """
        probe_at = at + self._link.retry
        if not alone:
            probe_at = max(probe_at, self._probes_until)
            longest = max(timeout, min(2.0 * timeout, unit.response_delay + self._link.timeout))
            self._probes_until = probe_at + longest / DOWN_SHARE
        return probe_at

    def _unit_bad(self, unit: Unit) -> None:
        unit.status.online = False
        at = self._loop.time()
        self._sink(unit.signals, [bad(Reason.NO_COMMUNICATION, at)] * len(unit.signals))
