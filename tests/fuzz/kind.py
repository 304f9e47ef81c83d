"""The kinds of links that are fuzzed."""

from typing import Final, NamedTuple

from drivers.modbus.framing import Framing, RtuFraming, TcpFraming
from tests.fuzz.mutation import Wire


class Kind(NamedTuple):
    """One kind of link. ``any_unit``: a device on it may answer as another unit than it was asked as."""

    name: str
    wire: Wire
    strict: bool = True
    echo: bool = False
    any_unit: bool = False
    in_flight: int = 1

    def framing(self) -> Framing:
        """The driver's framing for it, new."""
        return RtuFraming(echo=self.echo) if self.wire.rtu else TcpFraming(strict=self.strict)


KINDS: Final = (
    Kind("tcp", Wire(rtu=False)),
    Kind("tcp, four in flight", Wire(rtu=False), in_flight=4),
    Kind("tcp, any unit", Wire(rtu=False), any_unit=True),
    Kind("tcp, ids not strict", Wire(rtu=False), strict=False),
    Kind("tcp, ids of zero", Wire(rtu=False, zero_ids=True), strict=False),
    Kind("rtu", Wire(rtu=True)),
    Kind("rtu", Wire(rtu=True)),
    Kind("rtu, local echo", Wire(rtu=True), echo=True),
    Kind("rtu, any unit", Wire(rtu=True), any_unit=True),
)
