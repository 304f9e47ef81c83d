"""The line of a profile's ``signals`` that reads what was found."""

from config.encoding import Encoding, Order
from drivers.modbus.displayed import Match
from drivers.modbus.interpret import Interpretation, order_differs


def yaml_line(name: str, table: str, address: int, match: Match) -> str:
    """The line of a profile's ``signals`` that reads a match; ``address`` of the block's first register."""
    reading = match.reading
    words = [f"table: {table}", *_where(reading, address)]
    words += [f"scale: {_figure(match.scale)}"] if match.scale != 1 else []
    words += [f"unit: {_quoted(match.unit)}"] if match.unit else []
    if match.fraction is not None:
        part = match.fraction
        order = f", order: {part.reading.order}" if order_differs(part.reading, reading.order) else ""
        scale = f", scale: {_figure(part.scale)}" if part.scale != 1 else ""
        where = f"address: {address + part.reading.offset}, type: {part.reading.type}{order}{scale}"
        words.append(f"fraction: {{{where}}}")
    return f"{name}: {{{', '.join(words)}}}"


def yaml_of(name: str, table: str, address: int, reading: Interpretation) -> str:
    """The line of a profile's ``signals`` for a reading as it stands."""
    words = [f"table: {table}", *_where(reading, address)]
    if reading.type is Encoding.STRING:
        words.append(f"length: {reading.registers}")
    return f"{name}: {{{', '.join(words)}}}"


def _where(reading: Interpretation, address: int) -> list[str]:
    order = [f"order: {reading.order}"] if reading.order is not Order.ABCD else []
    return [f"address: {address + reading.offset}", f"type: {reading.type}", *order]


def _quoted(symbol: str) -> str:
    return f'"{symbol}"' if symbol in ("%", "1") else symbol


def _figure(number: float) -> str:
    return f"{number:.10g}"
