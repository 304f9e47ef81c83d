"""What a profile may say and still be wrong by: remarks beyond what the schema refuses.

An ``error`` makes values or commands that can never be right, a ``warning`` is most likely an oversight, an ``info``
is what a careful reader would like to know. Shipped profiles have neither errors nor warnings.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

from config.encoding import NUMBERS, REGISTERS, Encoding, Table
from config.modbus_signal import ModbusSignal, Verified
from config.profile import ModbusProfile, OpcUaProfile, OpcUaSignal
from config.sample import Quality, Reason, quality_of
from config.units import unit

Level = Literal["error", "warning", "info"]
LEVELS: Final[tuple[Level, ...]] = ("error", "warning", "info")
"""Worst first."""

UNMEASURED_KINDS: Final = frozenset({"count", "time", "volume", "energy"})
"""Kinds of quantity that need no range: counts, settings in seconds, and totals that only grow."""
DEMAND_KINDS: Final = frozenset({"ratio", "frequency", "flow"})
"""Kinds of quantity in which actuators are told what to do."""
MANUAL_NUMBERS: Final = {Table.INPUT: (30001, 39999), Table.HOLDING: (40001, 49999)}
"""How manuals that count from 1 and put the table before it number registers."""
SLOW_S: Final = 600.0
"""What is read more rarely than every ten minutes is a setting, not a measurement."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One remark: how grave, a stable ``code``, the ``signal`` it concerns ("" for the profile), and the text."""

    level: Level
    code: str
    signal: str
    text: str


def lint(profile: ModbusProfile | OpcUaProfile) -> list[Remark]:
    """All remarks on a profile, worst first, in the order of the file within a level."""
    remarks = [*_head(profile)]
    for name, signal in profile.signals.items():
        remarks += _any_signal(profile, name, signal)
        if isinstance(signal, ModbusSignal):
            remarks += _modbus_signal(name, signal)
    if isinstance(profile, ModbusProfile):
        remarks += _map(profile)
        remarks += _holes(profile)
        remarks += _as_in_a_manual(profile)
        remarks += _overlaps(profile)
    return sorted(remarks, key=lambda remark: LEVELS.index(remark.level))


def _as_in_a_manual(profile: ModbusProfile) -> Iterator[Remark]:
    """Addresses as manuals number them (4xxxx, 3xxxx), and numbers of several registers whose order nobody has said."""
    for table, (first, last) in MANUAL_NUMBERS.items():
        names = [name for name, signal in profile.signals.items() if signal.table is table]
        addresses = [profile.signals[name].address for name in names]
        if addresses and all(first <= address <= last for address in addresses):
            text = (
                f"address {addresses[0]} looks like a manual's number, counted from {first}: then it is {table} "
                f"{addresses[0] - first} on the wire; take {first - profile.base} off every {table} address"
            )
            yield Remark("warning", "manual-number", names[0], text)
    for name, signal in profile.signals.items():
        wide = signal.table in MANUAL_NUMBERS and signal.type in NUMBERS and REGISTERS[signal.type] > 1
        if wide and "order" not in signal.model_fields_set:
            text = f"{signal.type} without order: taken as ABCD; say so (order: ABCD) when you have seen it"
            yield Remark("info", "no-order", name, text)


def _head(profile: ModbusProfile | OpcUaProfile) -> Iterator[Remark]:
    if not profile.source and profile.verified is Verified.UNVERIFIED:
        yield Remark("warning", "no-source", "", "says no source: where does the map come from?")
    if not profile.source and profile.verified is not Verified.UNVERIFIED:
        text = f"is verified: {profile.verified} without a source; name the manual and page, or the exchange"
        yield Remark("error", "verified-without-source", "", text)
    if not profile.title:
        yield Remark("warning", "no-title", "", "has no title")
    if not profile.vendor:
        yield Remark("info", "no-vendor", "", "names no vendor")
    unverified = sum(verified_of(profile, signal) is Verified.UNVERIFIED for signal in profile.signals.values())
    if unverified:
        text = f"{unverified} of {len(profile.signals)} signals are unverified: confirm them at the device"
        yield Remark("info", "unverified", "", text)


def verified_of(profile: ModbusProfile | OpcUaProfile, signal: ModbusSignal | OpcUaSignal) -> Verified:
    """How far an entry was checked: its own word, else the profile's."""
    return signal.verified or profile.verified


def _any_signal(
    profile: ModbusProfile | OpcUaProfile, name: str, signal: ModbusSignal | OpcUaSignal
) -> Iterator[Remark]:
    if signal.verified in (Verified.MANUAL, Verified.TRANSCRIPT) and not (signal.source or profile.source):
        yield Remark("error", "verified-without-source", name, f"is verified: {signal.verified} without a source")
    if signal.kind == "number":
        yield from _number(name, signal)
    if signal.kind == "bool" and not signal.description:
        yield Remark("info", "undescribed", name, "has no description: what does it mean when it is on?")


def _number(name: str, signal: ModbusSignal | OpcUaSignal) -> Iterator[Remark]:
    kind = unit(signal.unit).kind
    setting = signal.poll is not None and signal.poll >= SLOW_S
    if kind not in UNMEASURED_KINDS and signal.range is None and not signal.writable and not setting:
        text = f"is measured in {signal.unit} and has no range: nothing tells a broken value from a reading"
        yield Remark("warning", "no-range", name, text)
    if kind == "count" and not signal.description:
        text = "has neither unit nor description: say its unit, or what its numbers mean"
        yield Remark("warning", "no-unit", name, text)
    if kind == "volume" and not setting and "total" in name:
        if signal.rollover is None:
            text = "is a total without rollover: the site's meter must say at which it begins anew"
            yield Remark("info", "no-rollover", name, text)
        if isinstance(signal, ModbusSignal) and signal.type is Encoding.FLOAT32:
            text = "is a total in float32: whole litres only up to 16,777 m3"
            yield Remark("info", "float-total", name, text)


def _modbus_signal(name: str, signal: ModbusSignal) -> Iterator[Remark]:
    for binding in signal.quality_from:
        if binding.codes and Reason.OK not in binding.codes.values():
            text = f"takes its quality from '{binding.signal}' by codes of which none is ok: it can never be good"
            yield Remark("error", "never-good", name, text)
        if Reason.OK in binding.bits.values():
            text = f"a bit of '{binding.signal}' that is set means ok, and none set means ok too"
            yield Remark("error", "always-good", name, text)
        reasons = binding.codes.values() if binding.codes else binding.bits.values()
        if reasons and all(quality_of(reason) is Quality.GOOD for reason in reasons):
            text = f"'{binding.signal}' can only say ok by what is listed; any other code is bad"
            yield Remark("info", "only-ok", name, text)
    if signal.unit_from is not None and unit(signal.unit).symbol not in signal.unit_from.codes.values():
        text = f"no code of '{signal.unit_from.signal}' leads to {signal.unit}, in which range and rollover are given"
        yield Remark("warning", "unit-not-listed", name, text)
    for word, count in Counter(signal.enum.values()).items():
        if count > 1:
            yield Remark("warning", "enum-repeated", name, f"says '{word}' for {count} codes: give each its own word")
    command = signal.command
    if command is None and signal.writable and signal.kind == "number" and unit(signal.unit).kind in DEMAND_KINDS:
        text = "is written and read back, and no feedback confirms it (command.confirm)"
        yield Remark("info", "unconfirmed", name, text)
    if command is not None and command.confirm is None and command.kind == "level" and signal.kind == "bool":
        text = "commands something and nothing confirms it: name the feedback under confirm"
        yield Remark("warning", "unconfirmed", name, text)
    if command is not None and command.require and command.safe is None and command.kind in ("level", "latched"):
        text = "needs a condition and says no safe demand: a selector read wrongly keeps it from being taken back"
        yield Remark("warning", "no-safe", name, text)


def _map(profile: ModbusProfile) -> Iterator[Remark]:
    if profile.limits.gap and profile.verified is Verified.UNVERIFIED:
        text = f"reads across gaps of {profile.limits.gap} registers though the map is unverified: leave gap at 0"
        yield Remark("warning", "gap-unverified", "", text)
    if not profile.identify:
        yield Remark("info", "no-identify", "", "has no identify: 'penstock identify' cannot tell it from others")
    serial = profile.serial
    if serial.baudrate is None and serial.parity is None and serial.unit is None:
        yield Remark("info", "no-serial", "", "says nothing of how it leaves the factory (serial)")


def _holes(profile: ModbusProfile) -> Iterator[Remark]:
    """What is bound to each other stands in one read, whatever lies between."""
    listed: dict[str, set[int]] = {}
    for signal in profile.signals.values():
        listed.setdefault(signal.table, set()).update(_addresses(signal))
    for name, signal in profile.signals.items():
        ends = [end for one in (signal, *(profile.signals[other] for other in signal.together())) for end in one.ends()]
        widest = run = 0
        for address in range(min(ends), max(ends) + 1):
            run = 0 if address in listed[signal.table] else run + 1
            widest = max(widest, run)
        if widest > profile.limits.gap:
            text = f"is read at once with what it is bound to, across {widest} unlisted registers"
            told = f"{text} (gap: {profile.limits.gap}): list them, or say that the device takes it"
            yield Remark("warning", "bound-across-gap", name, told)


def _overlaps(profile: ModbusProfile) -> Iterator[Remark]:
    places = [(name, signal, address) for name, signal in profile.signals.items() for address in _addresses(signal)]
    by_place: dict[tuple[str, int], list[tuple[str, ModbusSignal]]] = {}
    for name, signal, address in places:
        by_place.setdefault((signal.table, address), []).append((name, signal))
    seen: set[tuple[str, str]] = set()
    for (table, address), here in by_place.items():
        for (one, first), (other, second) in combinations(here, 2):
            if (one, other) in seen or _view(first) or _view(second):
                continue
            seen.add((one, other))
            text = f"stands on {table} {address} together with '{one}', and neither is a view of bits"
            yield Remark("warning", "overlap", other, text)


def _view(signal: ModbusSignal) -> bool:
    return signal.bit is not None or signal.bits is not None


def _addresses(signal: ModbusSignal) -> set[int]:
    places = set(range(signal.address, signal.address + signal.registers))
    for part in signal.parts:
        places |= set(range(part.address, part.address + REGISTERS[part.type]))
    return places
