"""One Modbus unit: what it answers, out of its register images, after the rules of its profile.

Only registers that the profile maps exist; a request may cross holes of at most ``limits.gap`` of them, which read
as 0. How a reply gets to the wire, and what may become of it, is ``bus``' affair.
"""

import struct
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from config.encoding import BIT_TABLES, Table
from config.modbus_signal import ModbusSignal
from config.profile import ModbusProfile
from config.sample import Value
from config.signals import Signal
from hil_sim.faults import Faults
from hil_sim.image import Image, Slot
from hil_sim.pdu import (
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    MAX_READ_WRITE_REGISTERS,
    READ_TABLE,
    RETURN_QUERY_DATA,
    WRITE_TABLE,
    Answer,
    Block,
    RefusedError,
    written,
)
from hil_sim.registers import Field, Span, compile_field
from hil_sim.station import Point
from hil_sim.watchdog import Watchdog

MAX_PLANS: Final = 512
"""A driver asks for the same few blocks for ever; a scanner that tries all must not fill the memory."""


class _Read(NamedTuple):
    image: Image
    address: int
    length: int
    start: int
    end: int
    slots: tuple[Slot, ...]
    bound: tuple[Slot, ...]


class Unit:
    """A device on a Modbus link, served from the points of a station.

    ``answers_as``: the unit that its replies name, where that is not its own. ``broadcast``: it stands for every
    device of its bus. ``pulses``: how often each command of kind edge has gone from off to on; ``actions``: how often
    each action of the profile was asked for.
    """

    def __init__(
        self,
        device: str,
        number: int,
        profile: ModbusProfile,
        signals: Iterable[Signal],
        points: Mapping[str, Point],
        zone: ZoneInfo,
    ) -> None:
        signals = list(signals)
        self.device = device
        self.number = number
        self.answers_as = number
        self.broadcast = False
        self.faults = Faults("device")
        self.response_delay_s = profile.limits.response_delay
        self.watchdog = Watchdog(profile, signals, points)
        self.pulses: dict[str, int] = {}
        self.actions = dict.fromkeys(profile.actions, 0)
        self._limits = profile.limits
        self._writing = profile.writing
        self._areas = [(first - profile.base, last - profile.base) for first, last in profile.limits.areas]
        self._unlock = profile.writing.unlock.address - profile.base if profile.writing.unlock else None
        self._replies = {action.request_pdu: name for name, action in profile.actions.items()}
        self._action_replies = {
            name: action.reply_start.ljust(action.reply_length, b"\0") for name, action in profile.actions.items()
        }
        slots = {signal.field: _slot(signal, profile, points, zone) for signal in signals}
        self._images = _images(profile, slots.values())
        for slot in slots.values():
            needed = [slots[name] for name in slot.field.parameters]
            slot.sources = tuple((self._images[source.field.table], source) for source in needed)
        self._outputs = [
            slot
            for name, slot in slots.items()
            if slot.set is not None
            and name not in profile.on_connect
            and not (self.watchdog.heartbeat and name == self.watchdog.heartbeat.signal)
        ]
        self._plans: dict[bytes, _Read] = {}
        self._report: _Read | None = None
        self._now_s = 0.0

    # -- requests --------------------------------------------------------------------------------------------

    def respond(self, pdu: bytes, now_s: float) -> Answer:
        """Answers a request PDU out of the present values; ``now_s`` is the loop's time, for the watchdog."""
        self._now_s = now_s
        try:
            plan = self._plans.get(pdu)
            answer = self._read(plan, pdu[0]) if plan is not None else self._carry_out(pdu)
        except RefusedError as refused:
            return Answer(bytes((pdu[0] | 0x80, refused.code)))
        self.watchdog.request(now_s)
        return answer

    def report(self) -> bytes:
        """The reply to the last read, with the present values: what a device in auto-report mode sends unasked.

        Before any read: its first readable signal. Empty when it has none.
        """
        plan = self._report or self._first_plan()
        if plan is None:
            return b""
        function = next(number for number, table in READ_TABLE.items() if table is plan.image.table)
        return self._read(plan, function).pdu

    def _first_plan(self) -> _Read | None:
        for image in self._images.values():
            function = next(number for number, table in READ_TABLE.items() if table is image.table)
            for slot in image.slots:
                if slot.field.readable:
                    return self._plan(struct.pack(">BHH", function, *slot.field.spans[0]))
        return None

    def _carry_out(self, pdu: bytes) -> Answer:
        action = self._replies.get(pdu)
        if action is not None:
            self.actions[action] += 1
            return Answer(self._action_replies[action])
        match pdu[0]:
            case 1 | 2 | 3 | 4:
                return self._read(self._plan(pdu), pdu[0])
            case 5 | 6 | 15 | 16:
                self._check_function(pdu[0])
                address, data, reply = written(pdu)
                return self._write(WRITE_TABLE[pdu[0]], address, data, reply)
            case 22:
                return self._mask_write(pdu)
            case 23:
                return self._read_write(pdu)
            case 8 if pdu[1:3] == RETURN_QUERY_DATA and len(pdu) >= 5:
                return Answer(pdu)
            case _:
                raise RefusedError(ILLEGAL_FUNCTION)

    def _plan(self, pdu: bytes) -> _Read:
        if len(pdu) != 5:
            raise RefusedError(ILLEGAL_VALUE)
        function, address, count = struct.unpack(">BHH", pdu)
        table = READ_TABLE[function]
        most = self._limits.bits if table in BIT_TABLES else self._limits.registers
        if not 1 <= count <= most:
            raise RefusedError(ILLEGAL_VALUE)
        image = self._images.get(table)
        if image is None or not image.may_read(address, count, self._limits.gap):
            raise RefusedError(ILLEGAL_ADDRESS)
        self._check_area(table, address, count)
        start = (address - image.first) * image.width
        touched = image.touched(address, count)
        plan = _Read(
            image,
            address,
            count,
            start,
            start + count * image.width,
            tuple(slot for slot in touched if not slot.sources),
            tuple(slot for slot in touched if slot.sources),
        )
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        self._plans[pdu] = plan
        return plan

    def _read(self, plan: _Read, function: int) -> Answer:
        image, address, length, start, end, slots, bound = plan
        if "frozen" not in self.faults.active:
            image.refresh(slots)
            if bound:
                image.refresh_bound(bound)
        self._report = plan
        data = bytes(image.data[start:end])
        packed = int(data[::-1], 2).to_bytes((length + 7) // 8, "little") if image.bits else data
        return Answer(bytes((function, len(packed))) + packed, Block(address, data))

    # -- writes ----------------------------------------------------------------------------------------------

    def _check_function(self, function: int) -> None:
        """Some devices know only one of the functions that write."""
        lacking = {"single": (16, 23), "multiple": (6,), "auto": ()}[self._writing.registers]
        if function in lacking or (function == 5 and self._writing.coils == "multiple"):
            raise RefusedError(ILLEGAL_FUNCTION)

    def _check_area(self, table: Table, address: int, count: int) -> None:
        if self._areas and table not in BIT_TABLES:
            last = address + count - 1
            if not any(first <= address and last <= end for first, end in self._areas):
                raise RefusedError(ILLEGAL_ADDRESS)

    def _write(self, table: Table, address: int, data: bytes, reply: bytes) -> Answer:
        image = self._images.get(table)
        count = len(data) // (1 if table in BIT_TABLES else 2)
        if image is None or not image.may_write(address, count):
            raise RefusedError(ILLEGAL_ADDRESS)
        self._check_area(table, address, count)
        self._check_unlocked(table, address, count)
        try:
            taken = self._understand(image, address, data)
            for slot, value in taken.items():
                self._take_over(slot, value)
        except ValueError as error:
            raise RefusedError(ILLEGAL_VALUE) from error
        if "frozen" not in self.faults.active:
            image.keep(address, data, taken)
        return Answer(reply, None, Block(address, data))

    def _check_unlocked(self, table: Table, address: int, count: int) -> None:
        """Without its key in place the device takes no write but that of the key."""
        unlock = self._writing.unlock
        if unlock is None or self._unlock is None or (table is Table.HOLDING and (address, count) == (self._unlock, 1)):
            return
        image = self._images[Table.HOLDING]
        image.refresh(slot for slot in image.touched(self._unlock, 1) if not slot.sources)
        at = (self._unlock - image.first) * 2
        if int.from_bytes(image.data[at : at + 2], "big") != unlock.value:
            raise RefusedError(ILLEGAL_VALUE)

    def _understand(self, image: Image, address: int, data: bytes) -> dict[Slot, Value]:
        """What written bytes mean to each signal that takes them.

        Raises ``ValueError`` for a register with signals none of which knows its number.
        """
        taken: dict[Slot, Value] = {}
        known: set[int] = set()
        strange: set[int] = set()
        for slot in image.contained(address, len(data) // image.width):
            if slot.set is None:
                continue
            places = {place for span in slot.field.spans for place in range(span.address, span.end)}
            if self._is_prepared(slot, image, address, data):
                known |= places
            try:
                taken[slot] = image.meaning(slot, data, address)
                known |= places
            except ValueError:
                strange |= places
        if strange - known:
            raise ValueError(f"registers {sorted(strange - known)} do not know their number")
        return taken

    @staticmethod
    def _is_prepared(slot: Slot, image: Image, address: int, data: bytes) -> bool:
        """True when the first step of a start in two steps is written; it is remembered."""
        if slot.command is None or slot.command.prepare is None:
            return False
        first_step = slot.field.code(image.parts(slot, data, address)[0]) == slot.command.prepare
        slot.prepared = slot.prepared or first_step
        return first_step

    def _take_over(self, slot: Slot, value: Value) -> None:
        assert slot.set is not None
        before, command = slot.get(), slot.command
        if command is not None and command.prepare is not None and value is True:
            if not slot.prepared and before is not True:
                raise ValueError("a start in two steps, and this is the second")
            slot.prepared = False
        slot.set(value)
        if command is not None and command.kind == "edge" and value is True and before is not True:
            self.pulses[slot.field.name] = self.pulses.get(slot.field.name, 0) + 1
        heartbeat = self.watchdog.heartbeat
        if heartbeat is not None and slot.signal.field == heartbeat.signal:
            self.watchdog.beat(before, value, self._now_s)

    def _mask_write(self, pdu: bytes) -> Answer:
        """Function 22: result = (current AND and_mask) OR (or_mask AND NOT and_mask)."""
        if self._writing.bits != "mask":
            raise RefusedError(ILLEGAL_FUNCTION)
        if len(pdu) != 7:
            raise RefusedError(ILLEGAL_VALUE)
        address, and_mask, or_mask = struct.unpack(">HHH", pdu[1:])
        image = self._images.get(Table.HOLDING)
        if image is None or not image.may_write(address, 1):
            raise RefusedError(ILLEGAL_ADDRESS)
        image.refresh(slot for slot in image.touched(address, 1) if not slot.sources)
        at = (address - image.first) * 2
        current = int.from_bytes(image.data[at : at + 2], "big")
        result = current & and_mask | or_mask & ~and_mask & 0xFFFF
        return self._write(Table.HOLDING, address, result.to_bytes(2, "big"), pdu)

    def _read_write(self, pdu: bytes) -> Answer:
        """Function 23: the write is carried out before the read."""
        self._check_function(23)
        if len(pdu) < 10:
            raise RefusedError(ILLEGAL_VALUE)
        address, count, size = struct.unpack(">HHB", pdu[5:10])
        data = pdu[10:]
        if not 1 <= count <= MAX_READ_WRITE_REGISTERS or size != 2 * count or len(data) != size:
            raise RefusedError(ILLEGAL_VALUE)
        # Planned first: a refused read must not leave a write behind.
        plan = self._plan(b"\x03" + pdu[1:5])
        first = self._write(Table.HOLDING, address, data, b"")
        answer = self._read(plan, 23)
        return Answer(answer.pdu, answer.read, first.written)

    # -- time and faults -------------------------------------------------------------------------------------

    def watch(self, now_s: float) -> None:
        """Drops the outputs when the watchdog's time has run out."""
        if self.watchdog.look(now_s):
            for slot in self._outputs:
                assert slot.set is not None
                slot.set(False if slot.signal.kind == "bool" else 0.0)

    def fault(self, name: str, on: bool, settings: Mapping[str, float], functions: Collection[int] = ()) -> None:
        """Switches a fault; see ``faults``. Raises ``SimulatorError`` for one that makes no sense."""
        if name == "frozen" and on and name not in self.faults.active:
            # What stands still is the present, not what was last asked for.
            for image in self._images.values():
                image.refresh(slot for slot in image.slots if not slot.sources)
                image.refresh_bound(slot for slot in image.slots if slot.sources)
        self.faults.switch(name, on, settings, functions)
        swapped = "swapped" in self.faults.active
        for image in self._images.values():
            image.tearing = "torn" in self.faults.active
            if image.swapped is not swapped:
                image.swapped = swapped
                image.forget()

    # -- for the wire log ------------------------------------------------------------------------------------

    def decode(self, table: Table, address: int, data: bytes) -> dict[str, Value]:
        """The signals that stand wholly in ``data``, with the values that the bytes mean; ``None``: nothing."""
        image = self._images[table]
        found: dict[str, Value] = {}
        for slot in image.contained(address, len(data) // image.width):
            try:
                found[slot.field.name] = image.meaning(slot, data, address)
            except ValueError:
                found[slot.field.name] = None
        return found

    def field(self, signal: str) -> Field | None:
        """Where a signal stands, or ``None`` when it is not of this unit."""
        fields = (slot.field for image in self._images.values() for slot in image.slots)
        return next((field for field in fields if field.name == signal), None)


def _slot(signal: Signal, profile: ModbusProfile, points: Mapping[str, Point], zone: ZoneInfo) -> Slot:
    definition = signal.definition
    assert isinstance(definition, ModbusSignal)
    return Slot(signal, compile_field(signal, profile.base, zone), points[signal.name], definition.command)


def _images(profile: ModbusProfile, slots: Iterable[Slot]) -> dict[Table, Image]:
    """The tables of a profile: its signals, and what else may be written."""
    base = profile.base
    members: dict[Table, list[Slot]] = {}
    held: dict[Table, list[Span]] = {}
    for slot in slots:
        members.setdefault(slot.field.table, []).append(slot)
    for allowed in profile.writing.allow:
        held.setdefault(allowed.table, []).append(Span(allowed.first - base, allowed.last - allowed.first + 1))
    if profile.writing.unlock is not None:
        held.setdefault(Table.HOLDING, []).append(Span(profile.writing.unlock.address - base, 1))
    return {
        table: Image(table, members.get(table, []), held.get(table, ()))
        for table in Table
        if table in members or table in held
    }
