"""What is done to a device, step by step: check, write, read back, confirm.

Each act is a generator that says what to ask and when to wait, and is told what came of it; the bus carries it out.
Steps without a ``Pause`` between them follow each other on the bus with nothing in between. A write is sent once: only
a device that says that it has not taken it (06, busy) is asked again.
"""

import math
import struct
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final

from config.command import Action, Command, Confirm, Expected
from config.errors import DeviceError
from config.profile import ModbusProfile
from config.sample import Sample, Value
from config.signals import Signal
from drivers.modbus.codec import is_written
from drivers.modbus.decoder import modbus
from drivers.modbus.exceptions import (
    ACKNOWLEDGE,
    BUSY,
    BUSY_TRIES,
    OF_THE_GATEWAY,
    exception_text,
)
from drivers.modbus.plan import DevicePlan, Read
from drivers.modbus.procedure import Ask, BrokenOff, Pause, Procedure, Step, outcome_text
from drivers.modbus.transaction import Outcome, Result
from drivers.modbus.write_request import (
    allowed_bits,
    bit_mask,
    check_allowed,
    register_pdu,
    value_pdu,
)
from drivers.port import WriteResult

BUSY_PAUSE_S: Final = 0.2
"""A device that is busy is asked again after this, then twice as long and so on, ``BUSY_TRIES`` times in all."""
ACKNOWLEDGED_PAUSE_S: Final = 0.5
ACKNOWLEDGED_TRIES: Final = 10
"""A write that a device has acknowledged (05) and carries out later is read back so often, at this pause."""
FEEDBACK_PAUSE_S: Final = 1.0
ACK_PAUSE_S: Final = 0.2
STANDING_PAUSE_S: Final = 1.0
"""A pulse whose off was not taken is left alone for so long before it is tried again."""
CLOCK_S: Final = 0.005
"""Less time than this is none: clocks tick in milliseconds."""
HEARTBEAT_RANGE: Final = 0x10000
ReadSink = Callable[[Read, list[Sample]], None]


_Part = Generator[Step, Result, str]
"""Returns what went wrong, "" when nothing did."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What was compiled for a writable signal."""

    signal: Signal
    command: Command
    read_back: Read | None
    require: tuple[tuple[Signal, Value, Read], ...]
    confirm: tuple[Signal, Read] | None
    ack: tuple[Signal, Read] | None


class DeviceCommands:
    """What may be done to one device.

    ``answers``: false for what can only be told (a broadcast): nothing is read back then. ``sink`` takes what is read
    on the way; ``unconfirmed`` is told what a signal was commanded and what its feedback said instead ("" when it
    followed). ``pulses``: the signals that are on for a moment only; ``standing``: those whose off was not taken yet.
    """

    def __init__(
        self,
        signals: Sequence[Signal],
        profile: ModbusProfile,
        plan: DevicePlan,
        sink: ReadSink,
        unconfirmed: Callable[[Signal, str], None],
        *,
        answers: bool = True,
    ) -> None:
        self._answers = answers
        self._profile = profile
        self._sink = sink
        self._unconfirmed = unconfirmed
        self._by_field = {signal.field: signal for signal in signals}
        self._name_of = {signal.index: signal.name for signal in signals}
        self._allowed = allowed_bits(profile)
        self._orders = {s.index: self._order(s, plan) for s in signals if s.writable}
        self._beat = 0
        self.pulses = tuple(
            index for index, order in self._orders.items() if order.command.kind in ("edge", "handshake")
        )
        # One left standing would do it again at the device's next start.
        self.standing: set[int] = set()
        # Pulses that an earlier run, or another program, may have left standing.
        self._unseen = {index for index in self.pulses if self._orders[index].read_back is not None}

    def write(self, signal: int, value: Value) -> Procedure:
        """Commands a signal. Raises ``DeviceError`` for a value that cannot be written."""
        order = self._orders.get(signal)
        if order is None:
            raise DeviceError(f"{self._name_of[signal]} cannot be written")
        first = value_pdu(self._profile, order.signal, value)
        match order.command.kind:
            case "level" | "latched":
                return self._stand(order, value, first)
            case "edge":
                return self._pulse(order, value, first)
            case "handshake":
                return self._handshake(order, value, first)

    def raw(self, pdu: bytes) -> Procedure:
        """Sends a write as it stands. Raises ``DeviceError`` for a register that the profile does not list."""
        check_allowed(pdu, self._allowed)
        return self._raw(pdu)

    def action(self, name: str) -> Procedure:
        """Carries out an action of the profile. Raises ``DeviceError`` for one that it has not."""
        action = self._profile.actions.get(name)
        if action is None:
            known = ", ".join(self._profile.actions) or "none"
            raise DeviceError(f"no action '{name}'; this profile has: {known}")
        return self._act(action)

    @property
    def has_start_up(self) -> bool:
        """True when something is to be done when the device begins to answer."""
        actions = self._profile.actions.values()
        return bool(self.standing or self._unseen or self._profile.on_connect) or any(
            a.run == "on-connect" for a in actions
        )

    def start_up(self) -> Procedure:
        """Takes back what was left on, sets what the profile wants set if it reads otherwise (registers wear), acts."""
        problems: list[str] = []
        for index in sorted(self._unseen):
            yield from self._look_for(index)
        for index in sorted(self.standing):
            problems.append((yield from self._taken_back(index)))
        for field, wanted in self._profile.on_connect.items():
            problems.append((yield from self._set_once(self._orders[self._by_field[field].index], wanted)))
        for name, action in self._profile.actions.items():
            if action.run == "on-connect":
                failure = yield from self._send(Ask(action.request_pdu, action.reply_start, action.reply_length))
                problems.append(f"{name}: {failure}" if failure else "")
        text = "; ".join(filter(None, problems))
        yield WriteResult(not text, None, text)

    def take_back(self, signal: int) -> Procedure:
        """Switches a pulse off that was left standing; nothing is asked for one that was not."""
        problem = (yield from self._taken_back(signal)) if signal in self.standing else ""
        yield WriteResult(not problem, None, problem)
        if problem:
            yield Pause(STANDING_PAUSE_S)

    @property
    def heartbeat_period(self) -> float | None:
        """Seconds between two heartbeats, ``None`` for a device that wants none."""
        watchdog = self._profile.watchdog
        return watchdog.heartbeat.period if watchdog is not None and watchdog.heartbeat is not None else None

    def heartbeat(self) -> Procedure:
        """Tells the device that its master lives."""
        assert self._profile.watchdog is not None
        heartbeat = self._profile.watchdog.heartbeat
        assert heartbeat is not None
        signal = self._by_field[heartbeat.signal]
        self._beat = (self._beat + 1) % HEARTBEAT_RANGE
        try:
            pdu = self._beat_pdu(signal, heartbeat.pattern)
        except DeviceError:
            # The count has outgrown its register.
            self._beat = 0
            pdu = self._beat_pdu(signal, heartbeat.pattern)
        failure = yield from self._send_value(signal, pdu, [])
        yield WriteResult(not failure, None, f"heartbeat: {failure}" if failure else "")

    # -- the kinds of command ----------------------------------------------------------------------------------------

    def _stand(self, order: _Order, value: Value, pdu: bytes) -> Procedure:
        """The register holds the demand, or takes it as a standing order."""
        failure = yield from self._prepared(order, value)
        if failure:
            yield WriteResult(False, None, failure)
            return
        heard: list[Result] = []
        failure = yield from self._send_value(order.signal, pdu, heard)
        if failure:
            yield WriteResult(False, None, failure)
            return
        if order.read_back is not None:
            result = yield from self._read_back(order, value, patient=_is_acknowledged(heard[-1]))
            yield result
            if not result.ok:
                return
        else:
            yield WriteResult(True, None, "taken; its feedback is awaited" if order.confirm else "sent; nobody answers")
        yield from self._confirmed(order, value, heard[-1].at)

    def _pulse(self, order: _Order, value: Value, pdu: bytes) -> Procedure:
        """On for a moment, then off again, whatever comes between."""
        heard: list[Result] = []
        try:
            failure = yield from self._prepared(order, value)
            failure = failure or (yield from self._switched(order, value, pdu, heard))
            if order.signal.index in self.standing and not failure:
                yield Pause(order.command.width)
        except BrokenOff:
            failure = _BROKEN_OFF
        if order.signal.index in self.standing:
            off = yield from self._take_back(order, [])
            failure = failure or off
        yield WriteResult(not failure, None, failure)
        if not failure:
            yield from self._confirmed(order, value, heard[0].at)

    def _handshake(self, order: _Order, value: Value, pdu: bytes) -> Procedure:
        """On until the device says that it has seen it, then off until it says so."""
        heard: list[Result] = []
        try:
            failure = yield from self._prepared(order, value)
            failure = failure or (yield from self._switched(order, value, pdu, heard))
            if order.signal.index in self.standing and not failure:
                failure = yield from self._acked(order, True, heard[-1].at)
        except BrokenOff:
            failure = _BROKEN_OFF
        if order.signal.index in self.standing:
            off = yield from self._take_back(order, heard)
            failure = failure or off or (yield from self._acked(order, False, heard[-1].at))
        yield WriteResult(not failure, None, failure)

    def _switched(self, order: _Order, value: Value, pdu: bytes, heard: list[Result]) -> _Part:
        """Writes the on or off of a pulse. It stands from when the on is sent, unless the device says otherwise."""
        index, before = order.signal.index, len(heard)
        stood = index in self.standing
        if value:
            self.standing.add(index)
        failure = yield from self._send_value(order.signal, pdu, heard)
        sent = len(heard) > before
        if (value and not stood and not (sent and _may_be_taken(heard[-1]))) or (not value and not failure):
            self.standing.discard(index)
        return failure

    def _take_back(self, order: _Order, heard: list[Result]) -> _Part:
        return (yield from self._switched(order, False, value_pdu(self._profile, order.signal, False), heard))

    def _taken_back(self, index: int) -> _Part:
        failure = yield from self._take_back(self._orders[index], [])
        return f"{self._name_of[index]} still stands: {failure}" if failure else ""

    def _look_for(self, index: int) -> Generator[Step, Result, None]:
        """Reads whether a pulse stands that nobody here remembers. Nothing is concluded from no reply."""
        order = self._orders[index]
        assert order.read_back is not None
        sample = (yield from self._seen(order.signal, order.read_back))[0]
        if sample is None:
            return
        self._unseen.discard(index)
        if sample.good and sample.value is True:
            self.standing.add(index)

    def _raw(self, pdu: bytes) -> Procedure:
        failure = yield from self._send(_write_ask(pdu))
        yield WriteResult(not failure, None, failure)

    def _act(self, action: Action) -> Procedure:
        failure = yield from self._send(Ask(action.request_pdu, action.reply_start, action.reply_length))
        yield WriteResult(not failure, None, failure)

    # -- the parts they are made of ----------------------------------------------------------------------------------

    def _prepared(self, order: _Order, value: Value) -> _Part:
        """What must hold and be written before."""
        safe = order.command.safe
        if safe is None or not _same(value, _canonical(order.signal, safe)):
            failure = yield from self._required(order)
            if failure:
                return failure
        unlock = self._profile.writing.unlock
        if unlock is not None:
            key = struct.pack(">H", unlock.value)
            failure = yield from self._send(_write_ask(register_pdu(self._profile, unlock.address, key)))
            if failure:
                return f"the write key: {failure}"
        if order.command.prepare is not None and value is True:
            data = struct.pack(">H", order.command.prepare)
            failure = yield from self._send(_write_ask(register_pdu(self._profile, modbus(order.signal).address, data)))
            if failure:
                return f"its first step: {failure}"
        return ""

    def _required(self, order: _Order) -> _Part:
        for signal, wanted, read in order.require:
            sample = (yield from self._seen(signal, read))[0]
            if sample is None or not sample.good:
                return f"{signal.name} could not be read, and must be {_shown(wanted)} first"
            if not _same(sample.value, wanted):
                return f"{signal.name} is {_shown(sample.value)}, and must be {_shown(wanted)} first"
        return ""

    def _send(self, ask: Ask, heard: list[Result] | None = None) -> _Part:
        """Sends until the device has taken it; one that is busy has not. ``heard``: takes what was said at last."""
        for attempt in range(BUSY_TRIES):
            if attempt:
                yield Pause(BUSY_PAUSE_S * 2 ** (attempt - 1))
            result = yield ask
            if not _is_busy(result):
                if heard is not None:
                    heard.append(result)
                return _taken(result)
        return _TOO_BUSY

    def _send_value(self, signal: Signal, pdu: bytes, heard: list[Result]) -> _Part:
        definition = modbus(signal)
        if definition.bit is None or self._profile.writing.bits == "mask":
            return (yield from self._send(_write_ask(pdu), heard))
        address, mask = definition.address - self._profile.base, bit_mask(definition)
        [wanted] = struct.unpack(">H", pdu)
        for attempt in range(BUSY_TRIES):
            # Read anew each time: the other bits may have changed in the pause.
            if attempt:
                yield Pause(BUSY_PAUSE_S * 2 ** (attempt - 1))
            before = yield Ask(struct.pack(">BHH", 3, address, 1), b"\x03\x02", 4)
            if _is_busy(before):
                continue
            failure = _failure(before)
            if failure:
                return f"its register could not be read before: {failure}"
            word = struct.unpack(">H", before.pdu[2:])[0] & ~mask | wanted & mask
            result = yield _write_ask(register_pdu(self._profile, definition.address, struct.pack(">H", word)))
            if not _is_busy(result):
                heard.append(result)
                return _taken(result)
        return _TOO_BUSY

    def _read_back(self, order: _Order, value: Value, *, patient: bool) -> Generator[Step, Result, WriteResult]:
        assert order.read_back is not None
        sample: Sample | None = None
        for attempt in range(ACKNOWLEDGED_TRIES if patient else 1):
            if attempt or patient:
                yield Pause(ACKNOWLEDGED_PAUSE_S)
            sample = (yield from self._seen(order.signal, order.read_back))[0]
            if sample is not None and is_written(order.signal, sample.value, value):
                return WriteResult(True, sample.value)
        if sample is None:
            return WriteResult(False, None, "written, but it could not be read back")
        detail = f"wrote {value!r}, read back {sample.value!r}"
        why = yield from self._required(order)
        return WriteResult(False, sample.value, f"{detail}; {why}" if why else detail)

    def _confirmed(self, order: _Order, value: Value, since: float) -> Procedure:
        """Looks for the feedback until it follows or its time, from ``since`` on, is up."""
        if order.confirm is None or order.command.confirm is None:
            return
        confirm, (signal, read) = order.command.confirm, order.confirm
        sample, passed = None, 0.0
        while (left := confirm.within - passed) > CLOCK_S:
            pause = min(FEEDBACK_PAUSE_S, left)
            yield Pause(pause)
            sample, at = yield from self._seen(signal, read)
            passed = max(passed + pause, at - since)
            if sample is not None and sample.good and _follows(confirm, signal, sample.value, value):
                self._unconfirmed(order.signal, "")
                return
        seen = "could not be read" if sample is None or not sample.good else f"is {_shown(sample.value)}"
        self._unconfirmed(
            order.signal, f"{_shown(value)} was commanded, {signal.name} {seen} after {confirm.within:g} s"
        )

    def _acked(self, order: _Order, wanted: bool, since: float) -> _Part:
        """Looks for the acknowledging signal until its time, from ``since`` on, is up; once at least."""
        assert order.ack is not None
        signal, read = order.ack
        paused = 0.0
        while True:
            sample, at = yield from self._seen(signal, read)
            if sample is not None and sample.good and sample.value is wanted:
                return ""
            left = order.command.within - max(paused, at - since)
            if left <= CLOCK_S:
                return f"{signal.name} did not become {_shown(wanted)} within {order.command.within:g} s"
            pause = min(ACK_PAUSE_S, left)
            yield Pause(pause)
            paused += pause

    def _set_once(self, order: _Order, wanted: Expected) -> _Part:
        signal = order.signal
        value = _canonical(signal, wanted)
        if order.read_back is None:
            return f"{signal.name} cannot be read"
        sample = (yield from self._seen(signal, order.read_back))[0]
        if sample is not None and sample.good and is_written(signal, sample.value, value):
            return ""
        failure = yield from self._prepared(order, value)
        failure = failure or (yield from self._send_value(signal, value_pdu(self._profile, signal, value), []))
        if failure:
            return f"{signal.name}: {failure}"
        result = yield from self._read_back(order, value, patient=False)
        return "" if result.ok else f"{signal.name}: {result.detail}"

    def _seen(self, signal: Signal, read: Read) -> Generator[Step, Result, tuple[Sample | None, float]]:
        """A fresh reading of a signal, and when it was heard; ``None`` when there was no reply to decode."""
        result = yield Ask(read.pdu, read.reply_start, read.reply_bytes)
        if result.outcome is not Outcome.REPLY:
            return None, result.at
        samples = read.decode(result.pdu[2:], result.at)
        self._sink(read, samples)
        return samples[read.signals.index(signal.index)], result.at

    # -- what is sent ------------------------------------------------------------------------------------------------

    def _order(self, signal: Signal, plan: DevicePlan) -> _Order:
        command = modbus(signal).command or Command()

        def seen(field: str) -> tuple[Signal, Read]:
            return self._by_field[field], plan.of([field])[0]

        return _Order(
            signal=signal,
            command=command,
            read_back=plan.of([signal.field])[0] if modbus(signal).readable and self._answers else None,
            require=tuple(
                (self._by_field[field], _canonical(self._by_field[field], wanted), seen(field)[1])
                for field, wanted in command.require.items()
            ),
            confirm=seen(command.confirm.signal) if command.confirm is not None and self._answers else None,
            ack=seen(command.ack) if command.ack is not None else None,
        )

    def _beat_pdu(self, signal: Signal, pattern: str) -> bytes:
        number = {"alternate": self._beat % 2, "count": self._beat, "repeat": 1}[pattern]
        beat = bool(number % 2) if signal.kind == "bool" else _canonical(signal, number)
        return value_pdu(self._profile, signal, beat)


def _write_ask(pdu: bytes) -> Ask:
    """A write, and its reply: the address and value, or count, that were sent; of a mask write all of it."""
    start = pdu if pdu[0] == 22 else pdu[:5]
    return Ask(pdu, start, len(start))


_BROKEN_OFF: Final = "broken off"
_TOO_BUSY: Final = f"refused {BUSY_TRIES} times with {exception_text(BUSY)}"


def _is_busy(result: Result) -> bool:
    return result.outcome is Outcome.EXCEPTION and result.pdu[1] == BUSY


def _is_acknowledged(result: Result) -> bool:
    return result.outcome is Outcome.EXCEPTION and result.pdu[1] == ACKNOWLEDGE


def _may_be_taken(result: Result) -> bool:
    """True unless the device has said that it refuses. A gateway that heard no reply does not know."""
    unsure = result.outcome is not Outcome.EXCEPTION or result.pdu[1] in OF_THE_GATEWAY
    return unsure or _is_acknowledged(result)


def _taken(result: Result) -> str:
    """What went wrong with a write. Acknowledged is taken: sending it again would be a second order."""
    return "" if _is_acknowledged(result) else _failure(result)


def _failure(result: Result) -> str:
    refused = "refused with " if result.outcome is Outcome.EXCEPTION else ""
    return refused + outcome_text(result)


def _follows(confirm: Confirm, signal: Signal, seen: Value, demanded: Value) -> bool:
    if isinstance(demanded, bool):
        return seen is (demanded is not confirm.inverted)
    if isinstance(seen, int | float) and isinstance(demanded, int | float):
        return abs(seen - demanded) <= confirm.tolerance * abs(signal.factor) + 1e-9
    return seen == demanded


def _canonical(signal: Signal, wanted: Expected) -> Value:
    """What a profile says in the unit of the instrument, as the signal's samples have it."""
    if signal.kind != "number" or isinstance(wanted, bool | str):
        return wanted
    return wanted * signal.factor + signal.bias


def _same(seen: Value, wanted: Value) -> bool:
    if isinstance(wanted, bool) or isinstance(seen, bool):
        return seen is wanted
    if isinstance(wanted, float | int) and isinstance(seen, float | int):
        return math.isclose(seen, wanted, rel_tol=1e-9, abs_tol=1e-12)
    return seen == wanted


def _shown(value: Value) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
