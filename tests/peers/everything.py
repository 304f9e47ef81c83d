"""One device that has all there is: the four tables, every encoding and word order that a peer can hold, and writes.

``REGISTERS`` and the other tables say by hand what stands on the wire, so that neither our encoder nor our decoder is
asked what is right.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from config.load import LoadedSite
from config.sample import Value
from tests.drivers.sites import Drivers, site_of
from tests.hil_sim.sites import until

UNIT: Final = 1
NO_WORD: Final[Mapping[str, str]] = MappingProxyType({})
"""Of how a device takes writes: then by functions 05, 06 and 16, and one bit by changing its register."""
BASE: Final[dict[str, object]] = {"protocol": "modbus", "limits": {"response_delay": "0 s"}}

VALUES: Final[dict[str, Value]] = {
    "u16": 54321,
    "i16": -12345,
    "u32": 4_000_000_000,
    "i32": -2_000_000_000,
    "u64": 2**63 + 2**20,
    "i64": -(2**62) - 2**20,
    "f32": 17.625,
    "f64": 1234567.890625,
    "text": "PENSTOCK",
    "u32_cdab": 4_000_000_001,
    "i32_cdab": -2_000_000_001,
    "u64_cdab": 2**63 + 2**21,
    "i64_cdab": -(2**62) - 2**21,
    "f32_cdab": -6.5625,
    "f64_cdab": -7654321.109375,
    "f32_badc": 27.4375,
    "f32_dcba": 7.59375,
    "flag": True,
    "alarm": False,
    "setpoint": 250,
    "wide": 1.5,
    "count": 4711,
    "temperature": -0.25,
    "run": True,
    "open": False,
    "running": False,
    "opened": True,
    "far": True,
}
"""What every signal reads at first."""

_HOLDING: Final[dict[str, tuple[int, str, str]]] = {
    "u16": (0, "uint16", "ABCD"),
    "i16": (1, "int16", "ABCD"),
    "u32": (2, "uint32", "ABCD"),
    "i32": (4, "int32", "ABCD"),
    "u64": (6, "uint64", "ABCD"),
    "i64": (10, "int64", "ABCD"),
    "f32": (14, "float32", "ABCD"),
    "f64": (16, "float64", "ABCD"),
    "text": (20, "string", "ABCD"),
    "u32_cdab": (24, "uint32", "CDAB"),
    "i32_cdab": (26, "int32", "CDAB"),
    "u64_cdab": (28, "uint64", "CDAB"),
    "i64_cdab": (32, "int64", "CDAB"),
    "f32_cdab": (36, "float32", "CDAB"),
    "f64_cdab": (38, "float64", "CDAB"),
    "f32_badc": (42, "float32", "BADC"),
    "f32_dcba": (44, "float32", "DCBA"),
}
FLAGS, SETPOINT, WIDE, HOLDING_END = 46, 47, 48, 50
FLAG_BIT, ALARM_BIT = 5, 9
"""Holding registers of the flags, and of what is written."""
ORDERED_FLOATS: Final = {"abcd": "f32", "cdab": "f32_cdab", "badc": "f32_badc", "dcba": "f32_dcba"}


def address_of(signal: str) -> int:
    """The first holding register of a signal."""
    return _HOLDING[signal][0]


def profile(writing: Mapping[str, str] = NO_WORD) -> dict[str, object]:
    """The map of the device, as a profile; ``writing``: which functions it takes writes by."""
    signals: dict[str, dict[str, object]] = {
        name: {"table": "holding", "address": address, "type": encoding, "order": order}
        for name, (address, encoding, order) in _HOLDING.items()
    }
    signals["text"]["length"] = 4
    flag = {"table": "holding", "address": FLAGS, "type": "bool", "writable": True}
    return BASE | {
        "writing": dict(writing),
        "signals": signals
        | {
            "flag": flag | {"bit": FLAG_BIT},
            "alarm": flag | {"bit": ALARM_BIT},
            "setpoint": {"table": "holding", "address": SETPOINT, "writable": True},
            "wide": {"table": "holding", "address": WIDE, "type": "float32", "writable": True},
            "count": {"table": "input", "address": 0},
            "temperature": {"table": "input", "address": 1, "type": "float32"},
            "run": {"table": "coil", "address": 0, "type": "bool", "writable": True},
            "open": {"table": "coil", "address": 1, "type": "bool", "writable": True},
            "running": {"table": "discrete", "address": 0, "type": "bool"},
            "opened": {"table": "discrete", "address": 1, "type": "bool"},
            "far": {"table": "discrete", "address": 9, "type": "bool"},
        },
    }


def _words(form: str, number: Value, *, low_first: bool = False, swapped: bool = False) -> list[int]:
    data = struct.pack(">" + form, number)
    words = [int.from_bytes(data[i : i + 2], "little" if swapped else "big") for i in range(0, len(data), 2)]
    return words[::-1] if low_first else words


def holding() -> list[int]:
    """The fifty holding registers as they stand at first."""
    forms = {"uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "uint64": "Q", "int64": "q"}
    forms |= {"float32": "f", "float64": "d"}
    words: list[int] = []
    for name, (address, encoding, order) in _HOLDING.items():
        assert len(words) == address
        if encoding == "string":
            words += [0x5045, 0x4E53, 0x544F, 0x434B]
        else:
            low_first, swapped = order in ("CDAB", "DCBA"), order in ("BADC", "DCBA")
            words += _words(forms[encoding], VALUES[name], low_first=low_first, swapped=swapped)
    words += [1 << FLAG_BIT, 250, 0x3FC0, 0x0000]
    assert len(words) == HOLDING_END
    return words


INPUT: Final = [4711, 0xBE80, 0x0000]
COILS: Final = [True, False]
DISCRETE: Final = [False, True, *[False] * 7, True]


def bench(
    folder: Path,
    link: Mapping[str, object],
    units: int = 1,
    *,
    poll: str = "30 ms",
    writing: Mapping[str, str] = NO_WORD,
) -> LoadedSite:
    """A site of devices D-1, D-2 ... on a link ``bus``; ``writing`` as for ``profile``."""
    devices = {
        f"D-{unit}": {"link": "bus", "unit": unit, "poll": poll, "profile": profile(writing)}
        for unit in range(UNIT, UNIT + units)
    }
    return site_of(folder, {"bus": link}, devices)


def tcp_link(port: int, **settings: object) -> dict[str, object]:
    """A Modbus TCP link that waits long enough for a busy machine."""
    return {"type": "modbus-tcp", "host": "127.0.0.1", "port": port, "timeout": "2 s", "retry": "0.25 s"} | settings


def rtu_link(path: str, baudrate: int, **settings: object) -> dict[str, object]:
    """A serial link that waits long enough for a busy machine."""
    return {"type": "modbus-rtu", "port": path, "baudrate": baudrate, "timeout": "1 s", "retry": "0.25 s"} | settings


async def reads_all(drivers: Drivers, device: str = "D-1") -> None:
    """Waits until every signal of a device reads what it should; fails naming those that do not."""
    readings = drivers.readings

    def wrong() -> dict[str, object]:
        return {
            name: readings.last(f"{device}.{name}")
            for name in VALUES
            if not readings.is_good(f"{device}.{name}", VALUES[name])
        }

    try:
        await until(lambda: not wrong())
    except TimeoutError:
        raise AssertionError(f"not read: {wrong()}") from None


def assert_flawless(drivers: Drivers) -> None:
    """Every reading was good, and the one connection carried nothing else."""
    assert all(sample.good for samples in drivers.readings.of.values() for sample in samples)
    status = drivers.links["bus"].status()
    assert (status.stray_bytes, status.crc_errors, status.connects) == (0, 0, 1)


WRITES: Final[dict[str, Value]] = {
    "setpoint": 4711,
    "wide": -2.5,
    "run": False,
    "open": True,
    "alarm": True,
    "flag": False,
}
WAYS_TO_WRITE: Final[tuple[tuple[dict[str, str], set[int]], ...]] = (
    ({}, {5, 6, 16}),
    ({"registers": "multiple", "coils": "multiple", "bits": "mask"}, {15, 16, 22}),
)
"""What a profile says of writing, and the functions that are used then."""


async def writes_all(drivers: Drivers) -> None:
    """Writes what can be written, once what is there has been read; each write must be confirmed by reading back."""
    await reads_all(drivers)
    for name, value in WRITES.items():
        assert await drivers.write(f"D-1.{name}", value) == (True, value, "")
