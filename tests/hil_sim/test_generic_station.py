"""A station for any site: signals of every kind, no value, what profiles want to read, feedback that follows."""

import math
import struct
from pathlib import Path

import pytest
import yaml

from config.load import DEVICES, LoadedSite, load_profile, load_site, profile_names
from config.profile import ModbusProfile
from config.sample import Value
from hil_sim.base_station import Settings
from hil_sim.errors import SimulatorError
from hil_sim.generic_station import GenericStation
from hil_sim.simulator import Simulator
from tests.hil_sim.sites import SITES, simulated

EVERY_KIND: dict[str, dict[str, object]] = {
    "number": {"table": "holding", "address": 0, "type": "float32", "order": "DCBA", "unit": "NTU"},
    "count": {"table": "holding", "address": 2},
    "level": {"table": "holding", "address": 3, "type": "sm16", "unit": "cm", "invalid": [-32767]},
    "total": {
        "table": "holding",
        "address": 4,
        "type": "bcd32",
        "unit": "L",
        "rollover": 10_000,
        "fraction": {"address": 6, "type": "bcd16", "scale": 0.0001},
    },
    "mode": {"table": "holding", "address": 7, "bits": [0, 3], "enum": {4: "manual", 5: "auto"}, "invalid": [15]},
    "alarm": {"table": "holding", "address": 7, "type": "bool", "bit": 8},
    "pump": {"table": "holding", "address": 8, "switch": {"on": [0xFF00], "off": [0]}, "writable": True},
    "serial": {"table": "holding", "address": 9, "type": "string", "length": 4},
    "sampled": {"table": "holding", "address": 13, "type": "ymdhms-time"},
    "seen": {"table": "holding", "address": 19, "type": "unix-time", "order": "CDAB"},
    "contact": {"table": "discrete", "address": 0, "type": "bool"},
    "out": {"table": "coil", "address": 0, "type": "bool", "writable": True},
}


def site_of(folder: Path, signals: dict[str, dict[str, object]], **profile: object) -> LoadedSite:
    path = folder / "site.yaml"
    text = {
        "site": {"id": "any"},
        "links": {"bus": {"type": "modbus-tcp", "host": "192.0.2.1"}},
        "devices": {
            "D": {"link": "bus", "unit": 1, "profile": {"protocol": "modbus", "signals": signals, **profile}},
        },
    }
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    return load_site(path)


async def registers(simulator: Simulator) -> dict[str, str]:
    """The bytes of every signal of holding registers, as a read gives them."""
    reply = simulator.units["bus", 1].respond(bytes.fromhex("03 0000 0015"), 0.0).pdu
    data = reply[2:]
    places = {"number": (0, 2), "count": (2, 1), "level": (3, 1), "total": (4, 3), "mode": (7, 1), "pump": (8, 1)}
    places |= {"serial": (9, 4), "sampled": (13, 6), "seen": (19, 2)}
    return {name: data[2 * at : 2 * (at + size)].hex() for name, (at, size) in places.items()}


async def test_signals_of_every_kind_are_set_and_shown(tmp_path: Path) -> None:
    async with simulated(site_of(tmp_path, EVERY_KIND), Settings(start_s=1_795_477_061)) as simulator:
        for name, value in {
            "number": 17.625,
            "count": 7,
            "level": -0.16,
            "total": 12_345.6789 / 1000,
            "mode": "auto",
            "alarm": True,
            "pump": True,
            "serial": "SN-1",
        }.items():
            await simulator.request({"op": "set", "name": f"D.{name}", "value": value})
        assert await registers(simulator) == {
            "number": "00008d41",
            "count": "0007",
            "level": "8010",
            "total": "00002345" + "6789",
            "mode": "0105",
            "pump": "ff00",
            "serial": b"SN-1\0\0\0\0".hex(),
            "sampled": struct.pack(">6H", 2026, 11, 24, 7, 37, 41).hex(),
            "seen": (1_795_477_061).to_bytes(4, "big")[2:].hex() + (1_795_477_061).to_bytes(4, "big")[:2].hex(),
        }
        state = await simulator.request({"op": "state"})
        assert isinstance(state["signals"], dict)
        assert set(state["signals"]) == {f"D.{name}" for name in EVERY_KIND}
        await simulator.request({"op": "set", "name": "D.contact", "value": True})
        assert simulator.units["bus", 1].respond(bytes.fromhex("02 0000 0001"), 0.0).pdu == b"\x02\x01\x01"


async def test_no_value_is_not_a_number_or_what_the_profile_calls_invalid(tmp_path: Path) -> None:
    async with simulated(site_of(tmp_path, EVERY_KIND), Settings(start_s=1.0)) as simulator:
        for name in ("number", "level", "mode", "sampled", "seen"):
            await simulator.request({"op": "set", "name": f"D.{name}", "value": None})
        await simulator.request({"op": "set", "name": "D.level", "value": math.nan})
        shown = await registers(simulator)
        assert math.isnan(struct.unpack("<f", bytes.fromhex(shown["number"]))[0])
        assert (shown["level"], shown["mode"], shown["sampled"], shown["seen"]) == ("ffff", "000f", "0" * 24, "0" * 8)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("count", None, "None is no value for D.count, a number"),
        ("count", "many", "a number"),
        ("count", True, "a number"),
        ("mode", "off", "one of: manual, auto"),
        ("serial", "SN-12345-6", "a text of at most 8 bytes in ascii"),
        ("serial", "水", "a text of at most 8 bytes in ascii"),
        ("serial", None, "a text of at most 8 bytes"),
        ("pump", 1, "a bool"),
        ("pump", None, "a bool"),
        ("sampled", "yesterday", "a time"),
    ],
)
def test_a_value_that_a_signal_cannot_show_is_refused(tmp_path: Path, name: str, value: Value, words: str) -> None:
    station = GenericStation(site_of(tmp_path, EVERY_KIND), Settings())
    before = dict(station.values)
    with pytest.raises(SimulatorError, match=words):
        station.set(f"D.{name}", value)
    assert station.values == before


def test_every_device_begins_as_its_profile_wants_it(tmp_path: Path) -> None:
    signals: dict[str, dict[str, object]] = {
        "flow": {
            "table": "input",
            "address": 0,
            "unit": "m3/h",
            "unit_from": {"signal": "flow_unit", "codes": {4: "m3/min", 5: "m3/h"}},
            "quality_from": {"signal": "state", "codes": {1: "maintenance", 2: "ok"}},
        },
        "state": {"table": "input", "address": 1},
        "flow_unit": {"table": "input", "address": 2, "enum": {5: "cubic metres an hour", 4: "a minute"}},
        "pressure": {"table": "input", "address": 3, "unit": "kPa", "range": [300, 600]},
        "remote": {"table": "discrete", "address": 0, "type": "bool"},
        "local": {"table": "discrete", "address": 1, "type": "bool"},
        "product": {"table": "input", "address": 4, "type": "string", "length": 2},
        "version": {"table": "input", "address": 6, "unit": "L/s"},
        "run": {
            "table": "coil",
            "address": 0,
            "type": "bool",
            "writable": True,
            "command": {"require": {"remote": True, "local": False}},
        },
    }
    loaded = site_of(tmp_path, signals, identify={"product": "MAG", "version": 10})
    assert GenericStation(loaded, Settings()).values == {
        "D.flow": 0.0,
        "D.state": 2.0,
        "D.flow_unit": "a minute",
        "D.pressure": 3.0,
        "D.remote": True,
        "D.local": False,
        "D.product": "MAG",
        "D.version": 36.0,
        "D.run": False,
    }


COMMANDS: dict[str, dict[str, object]] = {
    "opened": {"table": "discrete", "address": 0, "type": "bool"},
    "closed": {"table": "discrete", "address": 1, "type": "bool"},
    "position": {"table": "input", "address": 0, "unit": "%"},
    "reset_done": {"table": "discrete", "address": 2, "type": "bool"},
    "open": {
        "table": "coil",
        "address": 0,
        "type": "bool",
        "writable": True,
        "command": {"confirm": {"signal": "opened", "within": "5 s"}},
    },
    "release": {
        "table": "coil",
        "address": 1,
        "type": "bool",
        "writable": True,
        "command": {"confirm": {"signal": "closed", "within": "5 s", "inverted": True}},
    },
    "demand": {
        "table": "holding",
        "address": 0,
        "unit": "%",
        "writable": True,
        "command": {"confirm": {"signal": "position", "within": "0.02 s", "tolerance": 1}},
    },
    "reset": {
        "table": "coil",
        "address": 2,
        "type": "bool",
        "writable": True,
        "command": {"kind": "handshake", "ack": "reset_done"},
    },
}


def command(station: GenericStation, name: str, value: Value) -> None:
    put = station.points[f"D.{name}"].set
    assert put is not None
    put(value)


def test_feedback_follows_its_command(tmp_path: Path) -> None:
    station = GenericStation(site_of(tmp_path, COMMANDS), Settings())
    for name, value in (("open", True), ("release", True), ("demand", 60), ("reset", True)):
        command(station, name, value)
    assert station.values["D.opened"] is False
    station.step(0.015)
    assert (station.values["D.position"], station.values["D.opened"]) == (60, False)
    station.step(0.1)
    assert [station.values[f"D.{name}"] for name in ("opened", "closed", "reset_done")] == [True, False, True]
    command(station, "reset", False)
    command(station, "open", False)
    command(station, "open", True)
    station.step(0.2)
    # The way back was overtaken by the next order.
    assert (station.values["D.reset_done"], station.values["D.opened"]) == (False, True)


def test_a_feedback_can_be_held_where_it_is(tmp_path: Path) -> None:
    station = GenericStation(site_of(tmp_path, COMMANDS), Settings())
    for follows in (False, True):
        station.follow("D.opened", follows)
        command(station, "open", True)
        station.step(1)
        assert station.values["D.opened"] is follows
    with pytest.raises(SimulatorError, match=r"'D\.open' follows no command"):
        station.follow("D.open", False)
    with pytest.raises(SimulatorError, match=r"no signal 'D\.nothing'"):
        station.follow("D.nothing", False)


def test_a_model_that_gives_values_of_another_kind_is_refused(tmp_path: Path) -> None:
    data = yaml.safe_load((SITES / "plant-outlet.yaml").read_text("utf-8"))
    profile = yaml.safe_load((DEVICES / "positioner-1000.yaml").read_text("utf-8"))
    profile["signals"]["remote"] = {"table": "holding", "address": 0, "enum": {0: "local", 1: "remote"}}
    data["devices"]["FCV-201"]["profile"] = profile
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(SimulatorError, match=r"FCV-201\.remote \(a text on the site; the model gives True\)"):
        Simulator(load_site(path), Settings())


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_that_ships_can_be_served(tmp_path: Path, name: str) -> None:
    modbus = load_profile(DEVICES / f"{name}.yaml").protocol == "modbus"
    link = {"type": "modbus-tcp", "host": "192.0.2.1"} if modbus else {"type": "opcua", "url": "opc.tcp://192.0.2.1:1"}
    device = {"link": "bus", "profile": name, "poll": "100 ms"} | ({"unit": 1} if modbus else {})
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump({"site": {"id": "any"}, "links": {"bus": link}, "devices": {"D": device}}))
    loaded = load_site(path)
    simulator = Simulator(loaded, Settings(), model="generic")
    functions = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
    for tag, profile in loaded.profiles.items():
        if not isinstance(profile, ModbusProfile):
            continue
        for field, definition in profile.signals.items():
            at, count = definition.address - profile.base, definition.registers
            request = struct.pack(">BHH", functions[definition.table], at, count)
            answer = simulator.units["bus", 1].respond(request, 0.0)
            assert answer.refused is not definition.readable, f"{tag}.{field}"
