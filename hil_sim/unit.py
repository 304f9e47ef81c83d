"""One Modbus unit: its register image, what it answers, its watchdog and the faults it can be given.

The image of each table is kept as bytes and a signal is encoded again only when its value is another object
than last time, so that a poll of unchanged values costs little more than copying them. Only registers that
the profile maps exist; a request may cross holes of at most ``limits.gap`` of them, which read as 0.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from config.encoding import Table
from config.profile import ModbusProfile
from config.sample import Value
from config.signals import Signal
from hil_sim.registers import BIT_TABLES, Field, compile_field
from hil_sim.station import Point

ILLEGAL_FUNCTION: Final = 0x01
ILLEGAL_ADDRESS: Final = 0x02
ILLEGAL_VALUE: Final = 0x03
GATEWAY_TARGET_SILENT: Final = 0x0B

READ_TABLE: Final = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT}
WRITE_TABLE: Final = {5: Table.COIL, 15: Table.COIL, 6: Table.HOLDING, 16: Table.HOLDING}

MAX_WRITE_REGISTERS: Final = 123
MAX_WRITE_BITS: Final = 1968
MAX_PLANS: Final = 512
"""A driver asks for the same few blocks for ever; a scanner that tries all must not fill the memory."""

_NEVER_ENCODED: Final = object()


class Answer(NamedTuple):
    """The reply PDU and, unless the request was refused, the ``data`` read or written at ``address``.

    Registers are two bytes each in ``data``, bits one byte each of which only the lowest bit counts.
    """

    pdu: bytes
    address: int
    data: bytes | None


class _RefusedError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Slot:
    """A signal in an image: where from, how encoded, where to."""

    __slots__ = ("decode", "encode", "field", "get", "last", "places", "set")

    def __init__(self, field: Field, point: Point) -> None:
        self.field = field
        self.get: Callable[[], Value] = point.get
        self.set = point.set
        self.encode = field.encode
        self.decode = field.decode
        self.last: object = _NEVER_ENCODED
        self.places: tuple[int, ...] = ()


class _Image:
    """One table of a unit: the bytes, which addresses exist, and the signals in address order.

    Bits are kept as the characters 0 and 1, one byte each: ``int(text, 2)`` packs them in one go.
    """

    def __init__(self, table: Table, slots: list[_Slot]) -> None:
        spans = [span for slot in slots for span in slot.field.spans]
        self.bits = table in BIT_TABLES
        self.width = 1 if self.bits else 2
        self.first = min(span.address for span in spans)
        self.end = max(span.end for span in spans)
        self.mapped = bytearray(self.end - self.first)
        self.data = bytearray(b"0" if self.bits else b"\0\0") * (self.end - self.first)
        for span in spans:
            self.mapped[span.address - self.first : span.end - self.first] = b"\1" * span.length
        for slot in slots:
            slot.places = tuple((span.address - self.first) * self.width for span in slot.field.spans)
        self.slots = slots

    def refresh(self, slots: Iterable[_Slot]) -> None:
        """Encodes what has changed."""
        for slot in slots:
            value = slot.get()
            if value is slot.last:
                continue
            slot.last = value
            parts = slot.encode(value)
            bit = slot.field.bit
            if self.bits:
                self.data[slot.places[0]] = 0x31 if value else 0x30
            elif bit is not None:
                at = slot.places[0] + (0 if bit >= 8 else 1)
                mask = 1 << (bit % 8)
                self.data[at] = self.data[at] | mask if value else self.data[at] & ~mask
            else:
                for place, part in zip(slot.places, parts, strict=True):
                    self.data[place : place + len(part)] = part

    def check(self, address: int, count: int, gap: int) -> None:
        """Refuses a block that leaves the map or crosses a hole wider than ``gap``."""
        if address < self.first or address + count > self.end:
            raise _RefusedError(ILLEGAL_ADDRESS)
        mapped = self.mapped[address - self.first : address - self.first + count]
        if not mapped[0] or not mapped[-1] or b"\0" * (gap + 1) in mapped:
            raise _RefusedError(ILLEGAL_ADDRESS)

    def touched(self, address: int, count: int) -> tuple[_Slot, ...]:
        """The signals with any register in the block."""
        end = address + count
        return tuple(
            slot for slot in self.slots if any(span.address < end and span.end > address for span in slot.field.spans)
        )

    def contained(self, address: int, count: int) -> tuple[_Slot, ...]:
        """The signals with every register in the block."""
        end = address + count
        return tuple(
            slot for slot in self.slots if all(span.address >= address and span.end <= end for span in slot.field.spans)
        )


class _Read(NamedTuple):
    image: _Image
    start: int
    end: int
    length: int
    slots: tuple[_Slot, ...]


class Unit:
    """A device on a Modbus link, served from the points of a station.

    ``silent``: it hears nothing and says nothing. ``exception``: it answers everything with this code. Both
    count as no communication for the watchdog.
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
        self.device = device
        self.number = number
        self.silent = False
        self.exception: int | None = None
        self.response_delay_s = profile.limits.response_delay
        self._limits = profile.limits
        self._timeout_s = profile.watchdog.timeout if profile.watchdog else None
        self._heard_s: float | None = None
        self.watchdog_tripped = False
        slots: dict[Table, list[_Slot]] = {}
        for signal in signals:
            field = compile_field(signal, profile.base, zone)
            slots.setdefault(field.table, []).append(_Slot(field, points[signal.name]))
        self._images = {table: _Image(table, members) for table, members in slots.items()}
        self._outputs = [slot for members in slots.values() for slot in members if slot.set is not None]
        self._plans: dict[bytes, _Read] = {}

    # -- requests --------------------------------------------------------------------------------------------

    def respond(self, pdu: bytes, now_s: float) -> Answer:
        """Answers a request PDU out of the present values; ``now_s`` is the loop's time, for the watchdog."""
        try:
            if self.exception is not None:
                raise _RefusedError(self.exception)
            plan = self._plans.get(pdu)
            if plan is not None:
                answer = self._read(plan, pdu)
            elif pdu[0] in READ_TABLE:
                answer = self._read(self._plan(pdu), pdu)
            elif pdu[0] in WRITE_TABLE:
                answer = self._write(pdu)
            else:
                raise _RefusedError(ILLEGAL_FUNCTION)
        except _RefusedError as refused:
            return Answer(bytes((pdu[0] | 0x80, refused.code)), 0, None)
        self._heard_s = now_s
        self.watchdog_tripped = False
        return answer

    def _plan(self, pdu: bytes) -> _Read:
        if len(pdu) != 5:
            raise _RefusedError(ILLEGAL_VALUE)
        function, address, count = struct.unpack(">BHH", pdu)
        table = READ_TABLE[function]
        most = self._limits.bits if table in BIT_TABLES else self._limits.registers
        if not 1 <= count <= most:
            raise _RefusedError(ILLEGAL_VALUE)
        image = self._images.get(table)
        if image is None:
            raise _RefusedError(ILLEGAL_ADDRESS)
        image.check(address, count, self._limits.gap)
        start = (address - image.first) * image.width
        plan = _Read(image, start, start + count * image.width, count, image.touched(address, count))
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        self._plans[pdu] = plan
        return plan

    @staticmethod
    def _read(plan: _Read, pdu: bytes) -> Answer:
        image, start, end, count, slots = plan
        image.refresh(slots)
        data = bytes(image.data[start:end])
        packed = int(data[::-1], 2).to_bytes((count + 7) // 8, "little") if image.bits else data
        return Answer(bytes((pdu[0], len(packed))) + packed, pdu[1] << 8 | pdu[2], data)

    def _write(self, pdu: bytes) -> Answer:
        address, data, reply = _written(pdu)
        image = self._images.get(WRITE_TABLE[pdu[0]])
        if image is None:
            raise _RefusedError(ILLEGAL_ADDRESS)
        count = len(data) // image.width
        slots = image.contained(address, count)
        covered = sum(span.length for slot in slots for span in slot.field.spans)
        if covered != count or any(slot.set is None for slot in slots):
            raise _RefusedError(ILLEGAL_ADDRESS)
        for slot in slots:
            start = (slot.field.spans[0].address - address) * image.width
            part = data[start : start + slot.field.spans[0].length * image.width]
            assert slot.set is not None
            try:
                slot.set(slot.decode((part,)))
            except ValueError as error:
                raise _RefusedError(ILLEGAL_VALUE) from error
        return Answer(reply, address, data)

    @property
    def watched(self) -> bool:
        """True for a device with a communication watchdog."""
        return self._timeout_s is not None

    # -- time and faults -------------------------------------------------------------------------------------

    def watch(self, now_s: float) -> None:
        """Drops the outputs when nobody has made a good request for the profile's ``watchdog.timeout``."""
        if self._timeout_s is None or self.watchdog_tripped:
            return
        if self._heard_s is None:
            self._heard_s = now_s
        if now_s - self._heard_s > self._timeout_s:
            self.watchdog_tripped = True
            for slot in self._outputs:
                assert slot.set is not None
                slot.set(False if slot.field.is_bool else 0.0)

    # -- for the wire log ------------------------------------------------------------------------------------

    def decode(self, table: Table, address: int, data: bytes) -> dict[str, Value]:
        """The signals that stand wholly in ``data``, with the values that the bytes mean."""
        image = self._images[table]
        found: dict[str, Value] = {}
        for slot in image.contained(address, len(data) // image.width):
            starts = [(span.address - address) * image.width for span in slot.field.spans]
            if image.bits:
                found[slot.field.name] = bool(data[starts[0]] & 1)
            elif slot.field.bit is not None:
                word = data[starts[0]] << 8 | data[starts[0] + 1]
                found[slot.field.name] = bool(word >> slot.field.bit & 1)
            else:
                ends = [start + 2 * span.length for start, span in zip(starts, slot.field.spans, strict=True)]
                parts = tuple(data[start:end] for start, end in zip(starts, ends, strict=True))
                found[slot.field.name] = slot.decode(parts)
        return found

    def field(self, signal: str) -> Field | None:
        """Where a signal stands, or ``None`` when it is not of this unit."""
        fields = (slot.field for image in self._images.values() for slot in image.slots)
        return next((field for field in fields if field.name == signal), None)


def _written(pdu: bytes) -> tuple[int, bytes, bytes]:
    """Address, data and the reply of a well-formed write; refuses any other."""
    function = pdu[0]
    if function in (5, 6):
        if len(pdu) != 5:
            raise _RefusedError(ILLEGAL_VALUE)
        address = pdu[1] << 8 | pdu[2]
        if function == 6:
            return address, pdu[3:5], pdu
        if pdu[3:5] not in (b"\xff\x00", b"\x00\x00"):
            raise _RefusedError(ILLEGAL_VALUE)
        return address, bytes((pdu[3] & 1,)), pdu
    if len(pdu) < 6:
        raise _RefusedError(ILLEGAL_VALUE)
    address, count, size = struct.unpack(">HHB", pdu[1:6])
    payload = pdu[6:]
    most = MAX_WRITE_BITS if function == 15 else MAX_WRITE_REGISTERS
    expected = (count + 7) // 8 if function == 15 else 2 * count
    if not 1 <= count <= most or size != expected or len(payload) != size:
        raise _RefusedError(ILLEGAL_VALUE)
    if function == 15:
        payload = bytes(payload[i // 8] >> (i % 8) & 1 for i in range(count))
    return address, payload, pdu[:5]
