"""How a device is told to do something, as data: what must hold before, what is written, how it is confirmed.

A register is written only when its profile lists it: as a writable signal, in ``writing.allow``, or inside an
action. The driver refuses everything else, whoever asks.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from config.encoding import Table
from config.model import Address, FieldName, FileModel, PositiveSeconds, Register

Expected = bool | float | str
"""What a signal of the device must read: a truth value, a number in its unit, or a text."""
HexBytes = Annotated[str, StringConstraints(pattern=r"^([0-9A-Fa-f]{2}\s?)+$")]


class Confirm(FileModel):
    """The feedback that proves a command: ``signal`` must follow the demand ``within`` a time.

    A number may differ by ``tolerance``, in the signal's own unit. ``inverted``: the feedback is true when the
    demand is false (a closed limit switch).
    """

    signal: FieldName
    within: PositiveSeconds
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    inverted: bool = False


class Command(FileModel):
    """How a writable signal is commanded.

    ``kind``: ``level``: the register holds the demand and is read back (most). ``latched``: the register only takes
    orders and a written order stands until its counter order (Rotork); it cannot be read, feedback tells. ``edge``:
    true is a pulse, the register goes back to ``off`` after ``width``. ``handshake``: true stands until ``ack``
    reads true, then it is taken back (Grundfos). ``require``: signals of the device that must read so before it is
    written (in remote, ready). A demand of ``safe`` is sent all the same: a selector read wrongly must not keep a
    valve open. ``prepare``: raw value written before ``on`` (drives that start in two steps).
    """

    kind: Literal["level", "latched", "edge", "handshake"] = "level"
    require: dict[FieldName, Expected] = {}
    safe: bool | float | None = None
    prepare: Register | None = None
    width: PositiveSeconds = 0.5
    ack: FieldName | None = None
    within: PositiveSeconds = 5.0
    confirm: Confirm | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Command":
        if (self.ack is not None) != (self.kind == "handshake"):
            raise ValueError("an ack signal exactly when the kind is handshake")
        if self.kind == "latched" and self.confirm is None:
            raise ValueError("confirm, because a latched order cannot be read back")
        return self


class AllowedRange(FileModel):
    """Registers or coils that may be written though no signal stands there. Both ends are allowed."""

    table: Literal[Table.COIL, Table.HOLDING]
    first: Address
    last: Address
    description: str = ""

    @model_validator(mode="after")
    def _in_order(self) -> "AllowedRange":
        if self.first > self.last:
            raise ValueError("first at most last")
        return self


class Unlock(FileModel):
    """A key that must stand in a register before a write is taken (Hach)."""

    address: Address
    value: Register


class Writing(FileModel):
    """How a device takes writes.

    ``registers``: ``auto`` uses function 06 for one register and 16 for more; some devices know only one of them.
    ``coils``: function 05 or 15. ``bits``: how one bit of a holding register is written: read, change, write (not
    atomic: no other master may write it), or mask write, function 22.
    """

    registers: Literal["auto", "single", "multiple"] = "auto"
    coils: Literal["single", "multiple"] = "single"
    bits: Literal["read-modify-write", "mask"] = "read-modify-write"
    unlock: Unlock | None = None
    allow: tuple[AllowedRange, ...] = ()


class Heartbeat(FileModel):
    """A write that tells a device that its master lives: ``signal`` alternates, counts up, or is repeated."""

    signal: FieldName
    period: PositiveSeconds
    pattern: Literal["alternate", "count", "repeat"] = "alternate"


class Watchdog(FileModel):
    """The device drives its outputs to their off state when nobody has spoken to it for ``timeout``."""

    timeout: PositiveSeconds
    heartbeat: Heartbeat | None = None


class Action(FileModel):
    """A request outside the register model, as raw bytes from the function code on, and the reply it must get.

    ``reply``: how the reply begins; ``reply_bytes``: its length from the function code on, by default that of
    ``reply``. ``run``: ``on-demand`` by a person (``penstock action``), or also each time the device begins to
    answer.
    """

    request: HexBytes
    reply: HexBytes
    reply_bytes: Annotated[int, Field(ge=2, le=253)] | None = None
    run: Literal["on-demand", "on-connect"] = "on-demand"
    description: str = ""

    @property
    def request_pdu(self) -> bytes:
        """The request from the function code on."""
        return bytes.fromhex(self.request)

    @property
    def reply_start(self) -> bytes:
        """What the reply begins with."""
        return bytes.fromhex(self.reply)

    @property
    def reply_length(self) -> int:
        """Bytes of the reply from the function code on."""
        return self.reply_bytes or len(self.reply_start)

    @model_validator(mode="after")
    def _answers(self) -> "Action":
        if self.reply_start[0] != self.request_pdu[0]:
            raise ValueError("a reply that begins with the function code of the request")
        if self.reply_length < len(self.reply_start):
            raise ValueError(f"reply_bytes of at least {len(self.reply_start)}, the length of reply")
        return self
