"""Compiles the signals of a device into as few reads as its limits allow.

A value and what it is bound to (status, result time, the parts of a total) always stand in one request, so that they
were true at the same moment. Everything about a request is fixed at load: its bytes, what the only reply that can
answer it begins with and how long that is, and the decoder of its values.
"""

import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property
from itertools import chain, groupby
from typing import Final

from config.encoding import BIT_TABLES, Table
from config.profile import ModbusProfile
from config.sample import Sample
from config.signals import Priority, Signal
from drivers.modbus.block import Block, TornTotals, torn_totals
from drivers.modbus.decoder import Around, modbus
from drivers.modbus.parameters import Parameters

READ_FUNCTION: Final[dict[Table, int]] = {Table.COIL: 1, Table.DISCRETE: 2, Table.HOLDING: 3, Table.INPUT: 4}
MUTE_AFTER: Final = 2
"""A read that was never answered, and was left unanswered so often, is no help in clearing up late replies."""
_RANK: Final[dict[Priority, int]] = {"high": 0, "normal": 1, "low": 2}


@dataclass(frozen=True, slots=True)
class Span:
    """Addresses that are read together, and the signals in them. ``last`` is inclusive; both as on the wire."""

    table: Table
    period: float
    first: int
    last: int
    signals: tuple[Signal, ...]

    @property
    def count(self) -> int:
        """Registers or bits."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Read:
    """One read request. ``period`` in seconds; ``data_bytes`` is what the reply must carry.

    ``groups`` are what it can be split into at most. ``torn``: the totals that may be read while they are changed.
    """

    period: float
    priority: Priority
    pdu: bytes
    data_bytes: int
    signals: tuple[int, ...]
    decode: Callable[[bytes, float], list[Sample]]
    torn: TornTotals | None
    groups: tuple[Span, ...]

    @property
    def reply_start(self) -> bytes:
        """What the reply begins with: the function and the byte count. All that it tells of its request."""
        return bytes((self.pdu[0], self.data_bytes))

    @property
    def reply_bytes(self) -> int:
        """Length of the reply's PDU."""
        return 2 + self.data_bytes


class DevicePlan:
    """The reads of one device, and how they can be taken apart.

    ``signals`` of the device, ``parameters`` where the codes are kept that say how others are to be read, ``zone`` of
    its clock.
    """

    def __init__(self, signals: list[Signal], profile: ModbusProfile, zone: tzinfo, parameters: Parameters) -> None:
        self._by_field = {signal.field: signal for signal in signals}
        self._profile = profile
        self._zone = zone
        self._parameters = parameters
        self._needed = frozenset(name for signal in signals for name in modbus(signal).parameters())
        self._groups = _bound_groups([s for s in signals if modbus(s).readable], profile)
        self.reads = self._planned()

    @cached_property
    def probes(self) -> tuple[Read, ...]:
        """What it may be asked only to hear whether it answers, the shortest first. Compiled when it is needed."""
        parts = {read.pdu: read for read in (*(self._read((group,)) for group in self._groups), *self.reads)}
        return tuple(sorted(parts.values(), key=lambda read: read.data_bytes))

    def of(self, fields: Iterable[str]) -> list[Read]:
        """Reads of these signals alone, each with no more than it is bound to; for pre-checks and reading back."""
        reads = []
        for field in fields:
            group = next(group for group in self._groups if self._by_field[field] in group.signals)
            only = Span(group.table, group.period, group.first, group.last, (self._by_field[field],))
            reads.append(self._read((only,)))
        return reads

    def split(self, read: Read) -> tuple[Read, Read] | None:
        """The two halves of a read, ``None`` for one that cannot be split."""
        if len(read.groups) < 2:
            return None
        middle = len(read.groups) // 2
        return self._read(read.groups[:middle]), self._read(read.groups[middle:])

    def unlike(
        self, start: bytes, late: Sequence[bytes], known: Collection[bytes], vain: Mapping[bytes, int]
    ) -> Read | None:
        """A short read whose reply cannot begin like ``start``; ``None`` when the device has no such read.

        One that cannot begin like any of ``late`` either, or else what was asked last of those. If possible one that is
        ``known`` to be answered, or a part of one; else any that was not left unanswered too often. ``vain``: how often
        each was, since it was answered.
        """
        trusted = [read for read in self.probes if read.pdu in known]
        parts = [shorter for read in trusted if (shorter := self._shortened(read)) is not None]
        # Of a unit that was never heard in time nothing is known to be mute: it may only be slow.
        others = [read for read in self.probes if not known or vain.get(read.pdu, 0) < MUTE_AFTER]
        tiers = [[read for read in tier if not start.startswith(read.reply_start)] for tier in (trusted, parts, others)]
        for tier in tiers:
            free = [read for read in tier if read.reply_start not in late]
            if free:
                return min(free, key=lambda read: (vain.get(read.pdu, 0), read.data_bytes))
        return max(chain(*tiers), key=lambda read: late.index(read.reply_start), default=None)

    def _shortened(self, read: Read) -> Read | None:
        """The same request for less by one register or eight bits; what it reads is not decoded."""
        function, first, count = struct.unpack(">BHH", read.pdu)
        less = count - 1 if function > 2 else count - 8
        if less < 1:
            return None
        return Read(
            period=read.period,
            priority="low",
            pdu=struct.pack(">BHH", function, first, less),
            data_bytes=2 * less if function > 2 else -(-less // 8),
            signals=(),
            decode=lambda data, received: [],
            torn=None,
            groups=(),
        )

    def _planned(self) -> list[Read]:
        spans = sorted(self._groups, key=lambda span: (span.table, span.period, span.first))
        reads: list[Read] = []
        for _, same in groupby(spans, key=lambda span: (span.table, span.period)):
            reads += [self._read(groups) for groups in _merged(list(same), self._profile)]
        # What says how others are to be read is read first.
        indices = {self._by_field[name].index for name in self._needed}
        return sorted(reads, key=lambda read: indices.isdisjoint(read.signals))

    def _read(self, groups: tuple[Span, ...]) -> Read:
        table = groups[0].table
        first, last = min(group.first for group in groups), max(group.last for group in groups)
        count, bits = last - first + 1, table in BIT_TABLES
        signals = tuple(signal for group in groups for signal in group.signals)
        around = Around(self._by_field, first, self._profile.base, self._zone, self._parameters, self._needed)
        block = Block(signals, around)
        return Read(
            period=min(group.period for group in groups),
            priority="high"
            if self._others_wait_for(signals)
            else min((s.priority for s in signals), key=_RANK.__getitem__),
            pdu=struct.pack(">BHH", READ_FUNCTION[table], first, count),
            data_bytes=-(-count // 8) if bits else 2 * count,
            signals=block.signals,
            decode=block.decode,
            torn=None if bits else torn_totals(signals, around),
            groups=groups,
        )

    def _others_wait_for(self, signals: tuple[Signal, ...]) -> bool:
        """True when signals of other reads have no value before the codes in this one are read."""
        codes = self._needed & {signal.field for signal in signals}
        others = [signal for signal in self._by_field.values() if signal not in signals]
        return any(name in codes for signal in others for name in modbus(signal).parameters()) if codes else False


def _bound_groups(signals: list[Signal], profile: ModbusProfile) -> list[Span]:
    """Joins every signal with those it must be read with, transitively."""
    by_field = {signal.field: signal for signal in signals}
    group_of: dict[str, set[str]] = {signal.field: {signal.field} for signal in signals}
    for signal in signals:
        for other in modbus(signal).together():
            joined = group_of[signal.field] | group_of[other]
            for field in joined:
                group_of[field] = joined
    spans: list[Span] = []
    for fields in {id(group): group for group in group_of.values()}.values():
        members = tuple(by_field[field] for field in sorted(fields, key=lambda f: by_field[f].index))
        ends = [end - profile.base for member in members for end in modbus(member).ends()]
        period = min(member.poll for member in members)
        spans.append(Span(modbus(members[0]).table, period, min(ends), max(ends), members))
    return spans


def _merged(spans: list[Span], profile: ModbusProfile) -> list[tuple[Span, ...]]:
    """Joins neighbours while the device lets one read across the gap, in one area, and takes the length."""
    bits = spans[0].table in BIT_TABLES
    longest = profile.limits.bits if bits else profile.limits.registers
    merged: list[list[Span]] = [[spans[0]]]
    first, last = spans[0].first, spans[0].last
    for span in spans[1:]:
        joined = max(last, span.last)
        near = span.first <= last + 1 + profile.limits.gap
        if near and joined - first + 1 <= longest and (bits or _in_one_area(first, joined, profile)):
            merged[-1].append(span)
            last = joined
        else:
            merged.append([span])
            first, last = span.first, span.last
    return [tuple(group) for group in merged]


def _in_one_area(first: int, last: int, profile: ModbusProfile) -> bool:
    areas = profile.limits.areas
    low, high = first + profile.base, last + profile.base
    return not areas or any(start <= low and high <= end for start, end in areas)
