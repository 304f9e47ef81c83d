"""One fresh reading of a device for a person: the signals wanted, in as few requests as the polls would take.

Unlike a poll it may be told of every refusal, and nothing of it is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import tzinfo
from typing import Final, NamedTuple

from config.profile import ModbusProfile
from config.sample import Reason, Sample, bad
from config.signals import Signal
from drivers.modbus.block import TornTotals
from drivers.modbus.decoder import modbus
from drivers.modbus.exceptions import ACKNOWLEDGE, BUSY, BUSY_TRIES, OF_THE_MAP
from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan, Read
from drivers.modbus.procedure import Ask, outcome_text
from drivers.modbus.torn import Settling
from drivers.modbus.transaction import Outcome, Result

HAND_SETTLED_S: Final = 0.3
"""How long a total in parts is watched for a person: the display moves on, and a second look costs nothing."""
BUSY_PAUSE_S: Final = 0.2
"""A device that is busy is asked again after this."""

AskDevice = Callable[[Ask], Awaitable[Result]]


class Reading(NamedTuple):
    """A signal as just read. ``error``: what the device or the line said where there was no reply to decode."""

    signal: Signal
    sample: Sample
    error: str


class DeviceReader:
    """Reads signals of one device afresh. ``requests`` counts what was asked for so far."""

    def __init__(self, signals: list[Signal], profile: ModbusProfile, zone: tzinfo) -> None:
        self._signals = {signal.index: signal for signal in signals}
        self._by_field = {signal.field: signal for signal in signals}
        self._parameters = Parameters(lambda field, before, now: None)
        self._plan = DevicePlan(signals, profile, zone, self._parameters)
        self._answered = False
        self.requests = 0

    @property
    def reads(self) -> list[Read]:
        """The reads of the whole device."""
        return self._plan.reads

    async def read(self, ask: AskDevice, fields: Collection[str] | None = None) -> list[Reading]:
        """The wanted signals (all: ``None``) in the order of the profile."""
        wanted = [signal for field, signal in self._by_field.items() if fields is None or field in fields]
        found: dict[int, Reading] = {}
        for read in self._reads_for(wanted, whole=fields is None):
            await self._take(ask, read, found)
        now = asyncio.get_running_loop().time()
        not_read = bad(Reason.WRITE_ONLY, now)
        return [found.get(signal.index, Reading(signal, not_read, "cannot be read, only written")) for signal in wanted]

    async def take(self, ask: AskDevice, read: Read) -> list[Reading]:
        """What one of ``reads`` gives, taken apart if the device refuses it as a whole."""
        found: dict[int, Reading] = {}
        await self._take(ask, read, found)
        return list(found.values())

    def _reads_for(self, wanted: list[Signal], *, whole: bool) -> list[Read]:
        if whole:
            return self._plan.reads
        readable = [signal for signal in wanted if modbus(signal).readable]
        needed = [name for signal in readable for name in modbus(signal).parameters()]
        # What says how others are to be read is read first.
        return self._plan.of(dict.fromkeys([*needed, *(signal.field for signal in readable)]))

    async def _take(self, ask: AskDevice, read: Read, found: dict[int, Reading]) -> None:
        waiting = [read]
        while waiting:
            one = waiting.pop(0)
            result = await self._ask(ask, one)
            if result.outcome is Outcome.REPLY:
                self._answered = True
                data, torn = result.pdu[2:], one.torn
                if torn is not None:
                    data, settled = await self._settled(ask, one, torn, data)
                for index, sample in zip(one.signals, one.decode(data, result.at), strict=True):
                    found[index] = Reading(self._signals[index], sample, "")
                if torn is not None and not settled:
                    for index in torn.signals:
                        unsettled = bad(Reason.DEVICE_FAULT, result.at, found[index].sample.raw)
                        found[index] = Reading(self._signals[index], unsettled, "its parts do not fit each other")
                continue
            halves = self._plan.split(one) if self._worth_splitting(result) else None
            if halves is not None:
                waiting[:0] = halves
                continue
            error = outcome_text(result)
            reason = Reason.DEVICE_REFUSED if result.outcome is Outcome.EXCEPTION else Reason.NO_COMMUNICATION
            for index in one.signals:
                found[index] = Reading(self._signals[index], bad(reason, result.at), error)

    async def _ask(self, ask: AskDevice, read: Read) -> Result:
        for attempt in range(BUSY_TRIES):
            self.requests += 1
            result = await ask(Ask(read.pdu, read.reply_start, read.reply_bytes))
            if result.outcome is not Outcome.EXCEPTION or result.pdu[1] not in (BUSY, ACKNOWLEDGE):
                return result
            if attempt + 1 < BUSY_TRIES:
                await asyncio.sleep(BUSY_PAUSE_S)
        return result

    async def _settled(self, ask: AskDevice, read: Read, torn: TornTotals, data: bytes) -> tuple[bytes, bool]:
        """Reads a total in parts until no old part can stand beside a new one; false when they never fit."""
        settling, loop = Settling(torn.units, HAND_SETTLED_S), asyncio.get_running_loop()
        while (pause := settling.pause(torn.read(data), loop.time())) is not None:
            await asyncio.sleep(pause)
            result = await self._ask(ask, read)
            if result.outcome is not Outcome.REPLY or settling.never_whole(loop.time()):
                return data, False
            data = result.pdu[2:]
        return data, True

    def _worth_splitting(self, result: Result) -> bool:
        """Whether a part may be answered though the whole was not. Some devices say nothing to what they have not."""
        if result.outcome is Outcome.EXCEPTION:
            return result.pdu[1] in OF_THE_MAP
        return result.outcome is Outcome.TIMEOUT and self._answered
