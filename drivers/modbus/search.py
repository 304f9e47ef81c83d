"""Looking for what is on a bus: which settings, units and registers to try first, how long it takes, what is heard.

Reading functions only. It decides what to ask and judges what came; it does no I/O.
"""

import struct
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from config.encoding import BIT_TABLES, Table
from config.link import Baudrate
from config.profile import ModbusProfile
from drivers.modbus.exceptions import OF_THE_GATEWAY, exception_text
from drivers.modbus.framing import MBAP_BYTES, crc
from drivers.modbus.probe import Answer
from drivers.modbus.raw import Place
from drivers.modbus.transaction import Outcome

Parity = Literal["N", "E", "O"]

UNITS: Final = range(1, 248)
"""The addresses of a serial line (MODBUS over Serial Line V1.02, 2.2)."""
FIRST_UNITS: Final = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
BAUDRATES: Final[tuple[Baudrate, ...]] = (9600, 19200, 4800, 38400, 115200, 2400, 57600, 1200)
PARITIES: Final[tuple[Parity, ...]] = ("N", "E")
"""What is tried where nothing is said, the usual first. Odd parity is rare; it has to be asked for."""
TCP_UNITS: Final = (1, 255, 0, 247)
"""Where a device that is itself the server answers as a rule."""
USUAL_ADDRESSES: Final = (
    *(0, 1, 2, 10, 16, 20, 30, 32, 40, 50, 64, 99, 100, 128, 150, 200, 256, 300, 400, 500, 512, 600, 700, 768, 800),
    *(900, 999, 1000, 1024, 1100, 1200, 1280, 1500, 1536, 2000, 2048, 2100, 2200, 2304, 2500, 2560, 3000, 3072, 3500),
    *(4000, 4096, 4112, 4352, 4500, 5000, 5120, 6000, 6144, 7000, 8000, 8192, 8448, 8704, 9000, 9216, 9472, 9728, 9999),
    *(10000, 10240, 12288, 12544, 12800, 16384, 20000, 20480, 30000, 40000, 40001, 40100, 45056, 49152, 50000, 61440),
)
"""Where makers let their registers begin: round numbers, decimal or hexadecimal, and one beside."""
FIRST_QUESTION: Final = Place(Table.HOLDING, 0, 1)
"""What a device has, or refuses: both show that it is there."""
SERVES_ALL: Final = 5
"""So many units in a row that all answer are one server that does not look at the number."""


class Setting(NamedTuple):
    """How a serial port is set."""

    baudrate: Baudrate
    parity: Parity
    stopbits: Literal[1, 2]

    def __str__(self) -> str:
        return f"{self.baudrate} 8{self.parity}{self.stopbits}"


class Try(NamedTuple):
    """One request of a search. ``setting`` is ``None`` on TCP."""

    setting: Setting | None
    unit: int
    question: Place


# -- what to try -----------------------------------------------------------------------------------------------------


def settings(
    profiles: Collection[ModbusProfile],
    baudrates: Sequence[Baudrate] = (),
    parities: Sequence[Parity] = (),
    stopbits: Literal[1, 2] = 1,
) -> list[Setting]:
    """The settings to try, those that most instruments have first."""
    known = Counter((p.serial.baudrate, p.serial.parity) for p in profiles if p.serial.baudrate and p.serial.parity)
    wanted = [(b, p) for p in parities or PARITIES for b in baudrates or BAUDRATES]
    place = {pair: i for i, pair in enumerate(wanted)}
    return [Setting(b, p, stopbits) for b, p in sorted(wanted, key=lambda pair: (-known[pair], place[pair]))]


def usual_units(profiles: Iterable[ModbusProfile], wanted: Collection[int]) -> list[int]:
    """The units to ask first: what instruments leave the factory with, and the low numbers."""
    known = Counter(p.serial.unit for p in profiles if p.serial.unit is not None)
    first = [unit for unit, _ in sorted(known.items(), key=lambda item: (-item[1], item[0]))]
    return [unit for unit in dict.fromkeys([*first, *FIRST_UNITS]) if unit in wanted]


def questions(profiles: Iterable[ModbusProfile], unit: int) -> list[Place]:
    """What to ask a unit: a register that an instrument of that number has, then the first of each register table.

    Some say nothing at all to what they have not.
    """
    known = [smallest(profile) for profile in profiles if profile.serial.unit == unit]
    return list(dict.fromkeys([FIRST_QUESTION, *known, Place(Table.INPUT, 0, 1)]))


def thorough_questions(profiles: Iterable[ModbusProfile]) -> list[Place]:
    """What else a unit may answer that said nothing: the first of every table, a register of every instrument known."""
    known = [smallest(profile) for profile in profiles]
    others = [Place(table, 0, 1) for table in (Table.INPUT, Table.COIL, Table.DISCRETE)]
    return [place for place in dict.fromkeys([*others, *known]) if place != FIRST_QUESTION]


def smallest(profile: ModbusProfile) -> Place:
    """The smallest thing that an instrument surely has and gives by itself."""
    readable = {name: signal for name, signal in profile.signals.items() if signal.readable}
    bound = {other for signal in readable.values() for other in signal.together()}
    alone = [signal for name, signal in readable.items() if not signal.together() and name not in bound]
    signal = min(
        alone or readable.values(),
        key=lambda signal: (signal.registers, bool(signal.parts), signal.table in BIT_TABLES),
    )
    return Place(signal.table, signal.address - profile.base, signal.registers)


def addresses(profiles: Iterable[ModbusProfile]) -> list[int]:
    """Where registers are likely to begin: the round numbers, and where those of known instruments do."""
    known = {signal.address - profile.base for profile in profiles for signal in profile.signals.values()}
    begins = {address for address in known if address - 1 not in known}
    return sorted({*USUAL_ADDRESSES, *begins})


class Search:
    """The order in which a bus is searched. ``next`` gives the next try; ``heard`` is told of every unit that answers.

    First the usual units at all settings, then the others; once a unit has answered, at its setting only, because a bus
    has one. ``thorough``: in the end what else a silent unit may answer.
    """

    def __init__(
        self,
        profiles: Sequence[ModbusProfile],
        settings: Sequence[Setting | None],
        units: Sequence[int],
        *,
        tcp: bool,
        thorough: bool,
    ) -> None:
        self._profiles = profiles
        self._settings = list(settings)
        self._units = list(units)
        self._thorough = thorough
        self._found: dict[int, Setting | None] = {}
        first = [unit for unit in TCP_UNITS if unit in units] if tcp else usual_units(profiles, units)
        self._first = first
        self._others = [unit for unit in self._units if unit not in first]
        self._ahead = self._tries()

    def heard(self, unit: int, setting: Setting | None) -> None:
        """A unit has answered: it is asked no more, and no other settings are tried."""
        self._found[unit] = setting

    def __iter__(self) -> Iterator[Try]:
        return self

    def __next__(self) -> Try:
        while True:
            one = next(self._ahead)
            if not self._needless(one):
                return one

    def left(self, after: Try | None) -> Iterator[Try]:
        """What will be asked after a try if nobody answers any more."""
        for one in self._after(after):
            if not self._needless(one):
                yield one

    def _after(self, after: Try | None) -> Iterator[Try]:
        tries = self._tries()
        if after is not None:
            for one in tries:
                if one == after:
                    break
        yield from tries

    def _needless(self, one: Try) -> bool:
        if one.unit in self._found:
            return True
        return bool(self._found) and one.setting not in self._found.values()

    def _tries(self) -> Iterator[Try]:
        for setting in self._settings:
            for unit in self._first:
                for question in questions(self._profiles, unit):
                    yield Try(setting, unit, question)
        for setting in self._settings:
            for unit in self._others:
                yield Try(setting, unit, FIRST_QUESTION)
        if self._thorough:
            asked = {unit: set(questions(self._profiles, unit)) for unit in self._first}
            for setting in self._settings:
                for question in thorough_questions(self._profiles):
                    for unit in self._units:
                        if question not in asked.get(unit, ()):
                            yield Try(setting, unit, question)


# -- what was heard --------------------------------------------------------------------------------------------------


class Overheard(NamedTuple):
    """What was heard: an ``echo`` of the request, whole frames of ``units``, ``rubbish`` bytes.

    What a gateway says for a unit that is silent is no frame of that unit.
    """

    echo: bool
    units: tuple[int, ...]
    rubbish: int


def overheard(heard: bytes, sent: bytes, *, tcp: bool) -> Overheard:
    """Takes apart what was heard during a request; the awaited reply is one of the frames."""
    echo = bool(sent) and heard.startswith(sent) and not tcp
    rest = heard[len(sent) :] if echo else heard
    units: list[int] = []
    rubbish = 0
    while rest:
        length = _tcp_frame(rest) if tcp else _rtu_frame(rest)
        if length:
            unit, pdu = (rest[MBAP_BYTES - 1], rest[MBAP_BYTES:length]) if tcp else (rest[0], rest[1 : length - 2])
            units += [] if pdu[0] & 0x80 and pdu[1] in OF_THE_GATEWAY else [unit]
            rest = rest[length:]
        else:
            rubbish += 1
            rest = rest[1:]
    return Overheard(echo, tuple(units), rubbish)


def _tcp_frame(data: bytes) -> int:
    """Length of the frame that ``data`` begins with, 0 for none."""
    if len(data) <= MBAP_BYTES:
        return 0
    _, protocol, length = struct.unpack_from(">HHH", data)
    return 6 + length if protocol == 0 and 2 <= length <= len(data) - 6 else 0


def _rtu_frame(data: bytes) -> int:
    if len(data) < 5:
        return 0
    function = data[1]
    length = 5 if function & 0x80 else 5 + data[2] if 1 <= function <= 4 else 8
    return length if len(data) >= length and crc(data[: length - 2]) == data[length - 2 : length] else 0


@dataclass(slots=True)
class Found:
    """A unit that answers. ``says`` in words; ``round_trip_s`` as measured; ``answers_as`` where it names another."""

    unit: int
    setting: Setting | None
    question: Place
    says: str
    round_trip_s: float
    answers_as: int | None = None
    late: bool = False


@dataclass(slots=True)
class Log:
    """What a search has come upon so far, and what can be concluded from it.

    ``garbled``: units whose reply could not be understood, by setting. ``refused``: settings that the port cannot do.
    ``asked``: requests sent.
    """

    tcp: bool
    found: dict[int, Found] = field(default_factory=dict)
    garbled: dict[Setting | None, set[int]] = field(default_factory=dict)
    refused: list[Setting | None] = field(default_factory=list)
    dead_behind_gateway: set[int] = field(default_factory=set)
    strangers: set[int] = field(default_factory=set)
    echo: bool = False
    asked: int = 0
    interrupted: bool = False
    serves_all: bool = False
    _before: Try | None = None

    def note(self, one: Try, answer: Answer) -> Found | None:
        """Takes the outcome of a try; returns the unit that it has found, if any."""
        self.asked += 1
        before, self._before = self._before, one
        late = self._late(before, overheard(answer.before, b"", tcp=self.tcp).units) if before is not None else None
        seen = overheard(answer.heard, answer.sent, tcp=self.tcp)
        self.echo = self.echo or seen.echo
        # An answer to the last question that comes during this one.
        late = late or (self._late(before, seen.units) if before is not None and before.unit != one.unit else None)
        return self._judged(one, answer, seen) or late

    def _late(self, before: Try, units: Sequence[int]) -> Found | None:
        if before.unit not in units or before.unit in self.found:
            return None
        found = Found(before.unit, before.setting, before.question, "answers late: raise --timeout", 0.0, late=True)
        self.found[before.unit] = found
        return found

    def _judged(self, one: Try, answer: Answer, seen: Overheard) -> Found | None:
        result = answer.result
        others = [unit for unit in seen.units if unit != one.unit]
        match result.outcome:
            case Outcome.REPLY | Outcome.MALFORMED:
                says = f"{one.question}: {result.pdu[2:].hex(' ')}" if result.outcome is Outcome.REPLY else "malformed"
                answers_as = others[0] if others and one.unit not in seen.units else None
                return self._add(Found(one.unit, one.setting, one.question, says, result.took, answers_as))
            case Outcome.EXCEPTION if result.pdu[1] in OF_THE_GATEWAY:
                self.dead_behind_gateway.add(one.unit)
                return None
            case Outcome.EXCEPTION:
                says = f"{one.question}: {exception_text(result.pdu[1])}, so it is alive"
                return self._add(Found(one.unit, one.setting, one.question, says, result.took))
            case _:
                if others and others[0] not in self.found:
                    self.strangers.add(others[0])
                if seen.rubbish:
                    self.garbled.setdefault(one.setting, set()).add(one.unit)
                return None

    def _add(self, found: Found) -> Found:
        self.found[found.unit] = found
        return found


def hints(log: Log, *, serial: bool) -> list[str]:
    """What a person should look at, by what was heard and what was not."""
    said: list[str] = []
    if log.serves_all:
        said.append(
            "it answers as every unit that was asked: the server does not look at the number; use unit 1 or 255"
        )
    if log.echo:
        said.append("the adapter hears what it sends: say 'local_echo: true' on the link")
    said += _garbled(log.garbled, log.found)
    if log.refused and not log.found:
        said.append(f"not tried, because the port cannot be set so: {_together(log.refused)}")
    for found in log.found.values():
        if found.answers_as is not None:
            said.append(
                f"asked as unit {found.unit} it answers as unit {found.answers_as}: ask it as unit {found.answers_as}; "
                "if it does not answer so, say 'accept_any_unit: true' on the device (alone on its bus)"
            )
    strangers = log.strangers - log.found.keys()
    if strangers:
        named = ", ".join(map(str, sorted(strangers)))
        said.append(
            f"frames of unit {named} were heard that nobody asked: another master on the bus, or auto-report mode"
        )
    if log.dead_behind_gateway:
        count = len(log.dead_behind_gateway)
        said.append(f"the gateway is alive and says 0A or 0B for {count} unit(s): nothing answers it there")
    if not log.found and not log.garbled and not log.dead_behind_gateway and not strangers:
        said += _SILENT_LINE if serial else _SILENT_TCP
    return said


def _together(settings: Iterable[Setting | None]) -> str:
    """Settings in few words: those of one parity together."""
    speeds: dict[str, list[str]] = {}
    for setting in filter(None, settings):
        speeds.setdefault(f"8{setting.parity}{setting.stopbits}", []).append(str(setting.baudrate))
    return "; ".join(f"{mode} at {', '.join(one)}" for mode, one in speeds.items())


_SILENT_LINE: Final = [
    "nothing at all was heard. Look at, in this order: is the instrument powered, is Modbus switched on in its menu;",
    "  A and B (+ and -) swapped: makers name them either way, so try it; ground of both ends connected;",
    "  the right port and RS-485 mode of the adapter (not RS-232); 120 ohm at both ends of a long line;",
    "  its speed, parity and address in its menu (--baud, --parity, --units); a slow one needs --timeout 1;",
    "  some say nothing to registers that they have not: --thorough asks for those of all known instruments",
]
_SILENT_TCP: Final = [
    "the connection opens and nobody answers: a converter that passes serial frames on needs --rtu;",
    "  behind a gateway look at its serial side (speed, parity, A and B), and give it time: --timeout 3",
]


def _garbled(garbled: Mapping[Setting | None, Collection[int]], found: Mapping[int, Found]) -> Iterator[str]:
    for setting, units in garbled.items():
        at = f" at {setting}" if setting is not None else ""
        if any(one.setting == setting for one in found.values()):
            named = ", ".join(map(str, sorted(units)))
            yield (
                f"unit {named}{at}: something answers that cannot be understood (check sum): two units with one "
                "address, or a disturbed line (termination, shield, ground)"
            )
        else:
            yield (
                f"{len(units)} unit(s){at} sent what cannot be understood (check sum): most likely another speed or "
                "parity, or two units with one address"
            )
