"""Compiles the signals of a device into as few reads as its limits allow.

A value and what it is bound to (status, result time, the decimals of a total) always stand in one request, so
that they were true at the same moment. Everything about a request is fixed at load: its bytes, the length of the
only reply that can answer it, and the decoders.
"""

import struct
from dataclasses import dataclass, replace
from datetime import tzinfo
from itertools import groupby

from config.encoding import REGISTERS, Table
from config.profile import ModbusProfile, ModbusSignal
from config.sample import Sample
from config.signals import Signal
from drivers.modbus.codec import Decoder, compile_decoder

READ_FUNCTION: dict[Table, int] = {Table.COIL: 1, Table.DISCRETE: 2, Table.HOLDING: 3, Table.INPUT: 4}


@dataclass(frozen=True, slots=True)
class Read:
    """One read request. ``period`` in seconds; ``data_bytes`` is what the reply must carry."""

    device: str
    unit: int
    period: float
    pdu: bytes
    data_bytes: int
    signals: tuple[int, ...]
    decoders: tuple[Decoder, ...]

    def decode(self, data: bytes, received: float) -> list[Sample]:
        """The samples of a reply's data."""
        return [decoder(data, received) for decoder in self.decoders]


@dataclass(frozen=True, slots=True)
class _Span:
    """Addresses that must be read together, and the signals in them. ``last`` is inclusive."""

    table: Table
    period: float
    first: int
    last: int
    signals: tuple[Signal, ...]


def plan_reads(device: str, unit: int, signals: list[Signal], profile: ModbusProfile, zone: tzinfo) -> list[Read]:
    """The reads of one device."""
    spans = sorted(_bound_spans(signals, profile), key=lambda span: (span.table, span.period, span.first))
    reads: list[Read] = []
    for _, group in groupby(spans, key=lambda span: (span.table, span.period)):
        for span in _merged(list(group), profile):
            reads.append(_read(device, unit, span, signals, profile.base, zone))
    return reads


def read_of(
    device: str, unit: int, signal: Signal, signals: list[Signal], profile: ModbusProfile, zone: tzinfo
) -> Read:
    """A read of one signal of a device, with no more than it is bound to, for reading back a write."""
    span = next(span for span in _bound_spans(signals, profile) if signal in span.signals)
    return _read(device, unit, replace(span, signals=(signal,)), signals, profile.base, zone)


def _addresses(signal: Signal, base: int) -> tuple[int, int]:
    definition = signal.definition
    assert isinstance(definition, ModbusSignal)
    first = definition.address - base
    size = 1 if definition.table in (Table.COIL, Table.DISCRETE) else REGISTERS[definition.type]
    last = first + size - 1
    if definition.fraction is not None:
        begin = definition.fraction.address - base
        first, last = min(first, begin), max(last, begin + REGISTERS[definition.fraction.type] - 1)
    return first, last


def _bound_spans(signals: list[Signal], profile: ModbusProfile) -> list[_Span]:
    """Joins every signal with those it is bound to, transitively."""
    by_field = {signal.field: signal for signal in signals}
    group_of: dict[str, set[str]] = {signal.field: {signal.field} for signal in signals}
    for signal in signals:
        definition = signal.definition
        assert isinstance(definition, ModbusSignal)
        for other in definition.together():
            joined = group_of[signal.field] | group_of[other]
            for field in joined:
                group_of[field] = joined
    spans: list[_Span] = []
    for fields in {id(group): group for group in group_of.values()}.values():
        members = tuple(by_field[field] for field in sorted(fields, key=lambda f: by_field[f].index))
        addresses = [_addresses(member, profile.base) for member in members]
        definition = members[0].definition
        assert isinstance(definition, ModbusSignal)
        spans.append(
            _Span(
                definition.table,
                min(member.poll for member in members),
                min(first for first, _ in addresses),
                max(last for _, last in addresses),
                members,
            )
        )
    return spans


def _merged(spans: list[_Span], profile: ModbusProfile) -> list[_Span]:
    """Joins neighbours while the device lets one read across the gap and takes the length."""
    bits = spans[0].table in (Table.COIL, Table.DISCRETE)
    longest = profile.limits.bits if bits else profile.limits.registers
    merged = [spans[0]]
    for span in spans[1:]:
        last = merged[-1]
        joined_last = max(last.last, span.last)
        near = span.first <= last.last + 1 + profile.limits.gap
        if near and joined_last - last.first + 1 <= longest:
            merged[-1] = _Span(last.table, last.period, last.first, joined_last, last.signals + span.signals)
        else:
            merged.append(span)
    return merged


def _read(device: str, unit: int, span: _Span, signals: list[Signal], base: int, zone: tzinfo) -> Read:
    count = span.last - span.first + 1
    bits = span.table in (Table.COIL, Table.DISCRETE)
    by_field = {signal.field: signal for signal in signals}
    return Read(
        device=device,
        unit=unit,
        period=span.period,
        pdu=struct.pack(">BHH", READ_FUNCTION[span.table], span.first, count),
        data_bytes=(count + 7) // 8 if bits else 2 * count,
        signals=tuple(signal.index for signal in span.signals),
        decoders=tuple(compile_decoder(signal, by_field, span.first, base, zone) for signal in span.signals),
    )
