"""The image of one Modbus table of a unit: its bytes, which addresses exist, and the signals that stand in it.

A signal is encoded again only when its value is another object than last time, so that a poll of unchanged values
costs little more than copying the bytes. Bits are kept as the characters 0 and 1, one byte each: ``int(text, 2)``
packs them in one go.
"""

from collections.abc import Callable, Iterable
from typing import Final

from config.command import Command
from config.encoding import BIT_TABLES, Order, Table
from config.sample import Value
from config.signals import Signal
from hil_sim.encodings import reorder
from hil_sim.registers import Codes, Field, Span
from hil_sim.station import Point

NEVER: Final = object()
"""What ``Slot.last`` is when the signal must be encoded anew."""


class Slot:
    """A signal in an image: where from, how encoded, where to.

    ``sources`` are the slots of its parameters and the images they stand in; ``codes`` what they read when it was last
    encoded. ``prepared``: a two-step start has had its first step. ``torn``: only the first of its parts is new.
    """

    __slots__ = (
        "codes",
        "command",
        "encode",
        "field",
        "get",
        "last",
        "places",
        "prepared",
        "set",
        "signal",
        "sources",
        "torn",
    )

    def __init__(self, signal: Signal, field: Field, point: Point, command: Command | None) -> None:
        self.signal = signal
        self.field = field
        self.command = command
        self.get: Callable[[], Value] = point.get
        self.set = point.set if signal.writable else None
        self.encode = field.encode
        self.last: object = NEVER
        self.codes: Codes = ()
        self.sources: tuple[tuple[Image, Slot], ...] = ()
        self.places: tuple[int, ...] = ()
        self.prepared = False
        self.torn = False

    def touches(self, address: int, end: int) -> bool:
        """True when any of its registers lies in the block."""
        return any(span.address < end and span.end > address for span in self.field.spans)

    def within(self, address: int, end: int) -> bool:
        """True when all of its registers lie in the block."""
        return all(span.address >= address and span.end <= end for span in self.field.spans)


class Image:
    """One table of a unit. ``held`` are registers that hold what is written to them, though no signal stands there.

    ``swapped``: the registers of every number of several registers stand in the wrong order. ``tearing``: of a value in
    parts the first is new one read before the others.
    """

    def __init__(self, table: Table, slots: list[Slot], held: Iterable[Span] = ()) -> None:
        held = tuple(held)
        spans = [*held, *(span for slot in slots for span in slot.field.spans)]
        self.table = table
        self.bits = table in BIT_TABLES
        self.width = 1 if self.bits else 2
        self.first = min(span.address for span in spans)
        self.end = max(span.end for span in spans)
        self.data = bytearray(b"0" if self.bits else b"\0\0") * (self.end - self.first)
        self.swapped = False
        self.tearing = False
        self.slots = slots
        self._readable = self._marked([*held, *(span for s in slots if s.field.readable for span in s.field.spans)])
        self._writable = self._marked([*held, *(span for s in slots if s.set is not None for span in s.field.spans)])
        for slot in slots:
            slot.places = tuple((span.address - self.first) * self.width for span in slot.field.spans)

    def _marked(self, spans: Iterable[Span]) -> bytearray:
        marks = bytearray(self.end - self.first)
        for span in spans:
            marks[span.address - self.first : span.end - self.first] = b"\1" * span.length
        return marks

    # -- reading ---------------------------------------------------------------------------------------------

    def may_read(self, address: int, count: int, gap: int) -> bool:
        """False for a block that leaves the map or crosses a hole wider than ``gap``."""
        if address < self.first or address + count > self.end:
            return False
        marks = self._readable[address - self.first : address - self.first + count]
        return bool(marks[0] and marks[-1] and b"\0" * (gap + 1) not in marks)

    def touched(self, address: int, count: int) -> tuple[Slot, ...]:
        """The signals with any register in the block."""
        return tuple(slot for slot in self.slots if slot.touches(address, address + count))

    def contained(self, address: int, count: int) -> tuple[Slot, ...]:
        """The signals with every register in the block."""
        return tuple(slot for slot in self.slots if slot.within(address, address + count))

    def refresh(self, slots: Iterable[Slot]) -> None:
        """Encodes what has changed, of signals without parameters."""
        for slot in slots:
            value = slot.get()
            if value is slot.last:
                continue
            self._put(slot, slot.encode(value, ()))
            slot.last = NEVER if slot.torn else value

    def refresh_bound(self, slots: Iterable[Slot]) -> None:
        """Encodes what has changed, of signals that are read by the code in another register."""
        for slot in slots:
            value, codes = slot.get(), self.codes(slot)
            if value is slot.last and codes == slot.codes:
                continue
            self._put(slot, slot.encode(value, codes))
            slot.last, slot.codes = NEVER if slot.torn else value, codes

    def codes(self, slot: Slot) -> Codes:
        """What the parameters of a signal read now."""
        codes = []
        for image, source in slot.sources:
            if not source.sources:
                image.refresh((source,))
            codes.append(int(source.field.code(image.parts(source)[0])))
        return tuple(codes)

    def parts(self, slot: Slot, data: bytes | None = None, address: int | None = None) -> tuple[bytes, ...]:
        """The bytes of each span of a signal: as they stand, or in ``data`` that begins at ``address``."""
        source, first = (self.data, self.first) if data is None or address is None else (data, address)
        parts = []
        for span in slot.field.spans:
            start = (span.address - first) * self.width
            part = bytes(source[start : start + span.length * self.width])
            parts.append(bytes((part[0] & 1,)) if self.bits else self._turned(slot, part))
        return tuple(parts)

    def meaning(self, slot: Slot, data: bytes | None = None, address: int | None = None) -> Value:
        """The value of a signal, by the bytes as for ``parts``. Raises ``ValueError`` where they mean nothing."""
        return slot.field.decode(self.parts(slot, data, address), self.codes(slot))

    def _turned(self, slot: Slot, part: bytes) -> bytes:
        return reorder(part, Order.CDAB) if self.swapped and slot.field.words else part

    def _put(self, slot: Slot, parts: tuple[bytes, ...]) -> None:
        mask = slot.field.mask
        if self.bits:
            self.data[slot.places[0]] = 0x30 | parts[0][0]
        elif mask is not None:
            at = slot.places[0]
            for i in (0, 1):
                self.data[at + i] = self.data[at + i] & ~mask[i] | parts[0][i]
        else:
            slot.torn = self.tearing and not slot.torn and len(parts) > 1
            for place, part in zip(slot.places, parts, strict=True):
                self.data[place : place + len(part)] = self._turned(slot, part)
                if slot.torn:
                    break

    # -- writing ---------------------------------------------------------------------------------------------

    def may_write(self, address: int, count: int) -> bool:
        """False for a block with a register that takes no writes, or with half of a value."""
        if address < self.first or address + count > self.end:
            return False
        if b"\0" in self._writable[address - self.first : address - self.first + count]:
            return False
        end = address + count
        return all(slot.within(address, end) for slot in self.touched(address, count) if slot.set is not None)

    def keep(self, address: int, data: bytes, understood: Iterable[Slot]) -> None:
        """Puts written bytes in place, exactly as they came.

        Bits that are not the writer's go back to what they are at the next read, and so does a value that the device
        has not taken over as it was written.
        """
        start = (address - self.first) * self.width
        written = bytes(0x30 | byte & 1 for byte in data) if self.bits else data
        self.data[start : start + len(data)] = written
        understood = set(understood)
        for slot in self.touched(address, len(data) // self.width):
            value = slot.get()
            slot.last, slot.codes = value, self.codes(slot)
            foreign = slot.set is None and slot.field.mask is not None
            if foreign or (slot in understood and self.meaning(slot) != value):
                slot.last = NEVER

    def forget(self) -> None:
        """Has every signal encoded anew."""
        for slot in self.slots:
            slot.last = NEVER
