"""The golden table is sound, and the profiles say of its bytes what it expects: a reading of its own, value by value.

Nothing of the drivers is used here: what the table says must not depend on the code that is tested by it.
"""

import struct
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from config.encoding import BIT_TABLES, REGISTERS, Encoding, Order
from config.load import DEVICES, load_profile, profile_names
from config.modbus_signal import ModbusSignal
from config.profile import ModbusProfile
from config.sample import Reason
from config.units import unit
from tests.drivers.golden import VECTORS, Vector

FORMAT = {
    Encoding.UINT16: "H",
    Encoding.INT16: "h",
    Encoding.UINT32: "I",
    Encoding.INT32: "i",
    Encoding.UINT64: "Q",
    Encoding.FLOAT32: "f",
    Encoding.FLOAT64: "d",
}

CASES = [pytest.param(vector, id=f"{vector.profile}-{vector.address:#x}-{i}") for i, vector in enumerate(VECTORS)]


def profile_of(vector: Vector) -> ModbusProfile:
    profile = load_profile(DEVICES / f"{vector.profile}.yaml")
    assert isinstance(profile, ModbusProfile)
    return profile


class Block:
    """The bytes of a vector, by address of the profile."""

    def __init__(self, vector: Vector, profile: ModbusProfile) -> None:
        self.data = bytes.fromhex(vector.data)
        self.start = vector.address + profile.base
        self.vector = vector

    def registers(self, address: int, count: int) -> bytes:
        first = 2 * (address - self.start)
        taken = self.data[first : first + 2 * count] if first >= 0 else b""
        assert len(taken) == 2 * count, f"{address} is not in the block"
        return taken

    def number(self, address: int, encoding: Encoding, order: Order) -> float:
        data = self.registers(address, REGISTERS[encoding])
        pairs = [data[i : i + 2] for i in range(0, len(data), 2)]
        if order in (Order.CDAB, Order.DCBA):
            pairs.reverse()
        if order in (Order.BADC, Order.DCBA):
            pairs = [pair[::-1] for pair in pairs]
        if encoding is Encoding.SM16:
            magnitude = int.from_bytes(pairs[0]) & 0x7FFF
            return -magnitude if pairs[0][0] & 0x80 else magnitude
        return float(struct.unpack(">" + FORMAT[encoding], b"".join(pairs))[0])

    def bit(self, address: int) -> bool:
        at = address - self.start
        return bool(self.data[at // 8] >> (at % 8) & 1)


def code(block: Block, profile: ModbusProfile, name: str) -> int:
    if name in block.vector.parameters:
        return block.vector.parameters[name]
    signal = profile.signals[name]
    return int(block.number(signal.address, signal.type, signal.order))


def reading(block: Block, profile: ModbusProfile, signal: ModbusSignal) -> object:
    if signal.table in BIT_TABLES:
        return block.bit(signal.address)
    if signal.bit is not None:
        return bool(int.from_bytes(block.registers(signal.address, 1)) >> signal.bit & 1)
    if signal.type is Encoding.STRING:
        return block.registers(signal.address, signal.length).decode().rstrip(" \0")
    if signal.type is Encoding.BCD_TIME:
        local = datetime.strptime(block.registers(signal.address, 3).hex(), "%y%m%d%H%M%S")
        return local.replace(tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()
    raw = block.number(signal.address, signal.type, signal.order)
    if signal.enum:
        return signal.enum[int(raw)]
    if signal.switch is not None:
        assert int(raw) in (*signal.switch.on, *signal.switch.off)
        return int(raw) in signal.switch.on
    return number(block, profile, signal, raw)


def number(block: Block, profile: ModbusProfile, signal: ModbusSignal, raw: float) -> float | Reason:
    if raw != raw or raw in signal.invalid:
        return Reason.NOT_A_NUMBER
    for binding in signal.quality_from:
        said = code(block, profile, binding.signal)
        if binding.codes:
            reason = binding.codes.get(said, Reason.DEVICE_FAULT)
        else:
            reason = next((why for bit, why in binding.bits.items() if said >> bit & 1), Reason.OK)
        if reason is not Reason.OK:
            return reason
    if signal.bits is not None:
        raw = float(int(raw) >> signal.bits[0] & (1 << signal.bits[1] - signal.bits[0] + 1) - 1)
    for part in signal.parts:
        raw += block.number(part.address, part.type, part.order or signal.order) * part.scale
    if signal.exponent_from is not None:
        raw *= 10.0 ** (code(block, profile, signal.exponent_from.signal) + signal.exponent_from.offset)
    declared = raw * signal.scale + signal.offset
    symbol = signal.unit
    if signal.unit_from is not None:
        symbol = signal.unit_from.codes[code(block, profile, signal.unit_from.signal)]
    canonical = declared * unit(symbol).factor + unit(symbol).offset
    own = unit(signal.unit)
    if signal.range is not None:
        low, high = (bound * own.factor + own.offset for bound in signal.range)
        slack = 1e-9 * max(1.0, abs(low), abs(high))
        if not low - slack <= canonical <= high + slack:
            return Reason.OUT_OF_RANGE
    return canonical


@pytest.mark.parametrize("vector", CASES)
def test_the_bytes_read_as_the_table_says(vector: Vector) -> None:
    profile = profile_of(vector)
    block = Block(vector, profile)
    assert vector.expected
    assert vector.source
    for name, expected in vector.expected.items():
        signal = profile.signals[name]
        assert signal.table is vector.table, name
        found = reading(block, profile, signal)
        if isinstance(expected, bool | str):
            assert found == expected, name
            assert type(found) is type(expected), name
        else:
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_has_a_vector(name: str) -> None:
    assert any(vector.profile == name for vector in VECTORS)


@pytest.mark.parametrize("name", profile_names())
def test_every_value_of_several_registers_in_an_order_of_its_own_is_in_the_table(name: str) -> None:
    profile = load_profile(DEVICES / f"{name}.yaml")
    assert isinstance(profile, ModbusProfile)
    expected = {field for vector in VECTORS if vector.profile == name for field in vector.expected}
    orders = {
        (signal.type, signal.order)
        for signal in profile.signals.values()
        if signal.order is not Order.ABCD and signal.table not in BIT_TABLES and signal.bit is None
    }
    seen = {(profile.signals[field].type, profile.signals[field].order) for field in expected}
    assert orders <= seen
