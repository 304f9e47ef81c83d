"""Every fault by its name, on each kind of link: on, it does what it is called; off, nothing is left of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hil_sim.errors import SimulatorError
from hil_sim.faults import FAULTS
from hil_sim.modbus_rtu import ModbusRtuServer
from hil_sim.modbus_tcp import ModbusTcpServer
from hil_sim.simulator import Simulator
from tests.hil_sim.sites import bench_site, simulated, until
from tests.hil_sim.wires import Wire, connected, mbap, opened, rtu

LINKS: dict[str, dict[str, object]] = {
    "tcp": {"type": "modbus-tcp", "host": "192.0.2.1"},
    "converter": {"type": "modbus-tcp", "host": "192.0.2.1", "framing": "rtu"},
    "serial": {"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 115200},
}
PLACES = {"tcp": "device", "converter": "link", "serial": "link"}
"""Where a fault of both is switched, so that each place is tried."""
TRANSACTION = 7
READ = "03 0003 0003"
READING = "03 06 01F4 418D 0000"
"""Setpoint 50 % and a float of 17.625."""
PAUSE_S = 0.05
"""Long enough to tell a reply that is on its way from none."""
SPLIT_S = 0.15


class Bench:
    """A simulator with two devices, and the far end of its one link."""

    def __init__(self, simulator: Simulator, kind: str, wire: Wire) -> None:
        self.simulator = simulator
        self.kind = kind
        self.wire = wire

    def frame(self, pdu: str, unit: int = 1, transaction: int = TRANSACTION) -> bytes:
        if self.kind == "tcp":
            return mbap(transaction, unit, pdu)
        return rtu(f"{unit:02x}" + pdu)

    async def ask(self, size: int, pdu: str = READ, unit: int = 1) -> bytes:
        """Sends a request; the ``size`` bytes that come back."""
        self.wire.send(self.frame(pdu, unit))
        return await self.wire.receive(size)

    async def fault(self, name: str, place: str = "device", /, **settings: object) -> None:
        """Switches a fault on, or with ``on=False`` off."""
        at = {"device": "D-1"} if place == "device" else {"link": "bus"}
        await self.simulator.request({"op": "fault", "name": name, "on": True, **at, **settings})

    async def reads_well(self) -> None:
        good = self.frame(READING)
        assert await self.ask(len(good)) == good


@asynccontextmanager
async def bench_of(kind: str, folder: Path, **link: object) -> AsyncIterator[Bench]:
    async with simulated(bench_site(folder, {**LINKS[kind], **link})) as simulator:
        await simulator.request({"op": "set", "name": "D-1.setpoint", "value": 50})
        await simulator.request({"op": "set", "name": "D-1.wide", "value": 17.625})
        server = simulator.servers["bus"]
        if isinstance(server, ModbusRtuServer):
            with opened(server.path) as terminal:
                yield Bench(simulator, kind, terminal)
        else:
            assert isinstance(server, ModbusTcpServer)
            async with connected(server.port) as socket:
                yield Bench(simulator, kind, socket)


@pytest.fixture(params=list(LINKS))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_of(request.param, tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("name", "settings", "pdu"),
    [
        ("exception", {}, "83 04"),
        ("exception", {"code": 2}, "83 02"),
        ("busy", {}, "83 06"),
        ("acknowledge", {}, "83 05"),
        ("gateway-path", {}, "83 0A"),
        ("gateway-target", {}, "83 0B"),
        ("short", {}, "03 02 01F4"),
        ("short", {"registers": 2}, "03 04 01F4 418D"),
        ("short", {"registers": 0}, "03 00"),
        ("wrong-function", {}, "04 06 01F4 418D 0000"),
        ("wrong-function", {"function": 16}, "10 06 01F4 418D 0000"),
    ],
)
async def test_a_reply_that_says_something_else(bench: Bench, name: str, settings: dict[str, int], pdu: str) -> None:
    place = PLACES[bench.kind]
    await bench.fault(name, place, **settings)
    expected = bench.frame(pdu)
    assert await bench.ask(len(expected)) == expected
    await bench.fault(name, place, on=False)
    await bench.reads_well()


@pytest.mark.parametrize(("settings", "unit"), [({}, 2), ({"unit": 0}, 0), ({"unit": 9}, 9)])
async def test_wrong_unit(bench: Bench, settings: dict[str, int], unit: int) -> None:
    await bench.fault("wrong-unit", **settings)
    expected = bench.frame(READING, unit)
    assert await bench.ask(len(expected)) == expected
    await bench.fault("wrong-unit", on=False)
    await bench.reads_well()


@pytest.mark.parametrize(("settings", "transaction"), [({}, TRANSACTION + 1), ({"id": 0}, 0)])
async def test_wrong_id(tmp_path: Path, settings: dict[str, int], transaction: int) -> None:
    async with bench_of("tcp", tmp_path) as bench:
        await bench.fault("wrong-id", **settings)
        expected = bench.frame(READING, transaction=transaction)
        assert await bench.ask(len(expected)) == expected
        await bench.fault("wrong-id", on=False)
        await bench.reads_well()


@pytest.mark.parametrize("kind", ["converter", "serial"])
async def test_a_frame_without_an_id_has_no_wrong_one(tmp_path: Path, kind: str) -> None:
    async with bench_of(kind, tmp_path) as bench:
        with pytest.raises(SimulatorError, match="'wrong-id' is for a device of Modbus TCP or link"):
            await bench.fault("wrong-id")


async def test_garbled_flips_one_bit_after_the_check_sum(bench: Bench) -> None:
    await bench.fault("garbled")
    good = bench.frame(READING)
    got = await bench.ask(len(good))
    different = [a ^ b for a, b in zip(good, got, strict=True)]
    assert sorted(different)[-1].bit_count() == 1
    assert sum(map(bool, different)) == 1
    # A stream has no check sum of its own: there the flipped bit says that this is no Modbus.
    assert bench.kind != "tcp" or got[2:4] != b"\0\0"
    await bench.fault("garbled", on=False)
    await bench.reads_well()


async def test_cut_keeps_the_end_back(bench: Bench) -> None:
    await bench.fault("cut", bytes=3)
    good = bench.frame(READING)
    assert await bench.ask(len(good) - 3) == good[:-3]
    assert await bench.wire.quiet(PAUSE_S) == b""
    await bench.fault("cut", on=False)
    await bench.reads_well()


@pytest.mark.parametrize("name", ["no-reply", "lost-reply"])
async def test_no_reply_and_a_lost_one(bench: Bench, name: str) -> None:
    place = PLACES[bench.kind]
    await bench.fault(name, place)
    bench.wire.send(bench.frame("06 0003 0001"))
    assert await bench.wire.quiet(PAUSE_S) == b""
    # The difference: a lost reply is one to a write that was carried out.
    carried_out = bench.simulator.station.points["D-1.setpoint"].get() != 50
    assert carried_out is (name == "lost-reply")
    await bench.fault(name, place, on=False)
    await bench.simulator.request({"op": "set", "name": "D-1.setpoint", "value": 50})
    await bench.reads_well()


async def test_silent_refusals_concern_what_is_refused_only(bench: Bench) -> None:
    await bench.fault("silent-refusals")
    bench.wire.send(bench.frame("03 0090 0001"))
    assert await bench.wire.quiet(PAUSE_S) == b""
    await bench.reads_well()
    await bench.fault("silent-refusals", on=False)
    expected = bench.frame("83 02")
    assert await bench.ask(len(expected), "03 0090 0001") == expected


async def test_late_comes_after_the_next_reply(bench: Bench) -> None:
    await bench.fault("late", delay_s=0.1, count=1)
    began_s = time.monotonic()
    bench.wire.send(bench.frame(READ))
    other = bench.frame("04 02 0000", unit=2)
    assert await bench.ask(len(other), "04 0005 0001", unit=2) == other
    good = bench.frame(READING)
    assert await bench.wire.receive(len(good)) == good
    assert time.monotonic() - began_s > 0.1
    await bench.reads_well()


async def test_slow_holds_up_the_others(bench: Bench) -> None:
    await bench.fault("slow", "link", delay_s=0.05)
    began_s = time.monotonic()
    good = bench.frame(READING)
    bench.wire.send(2 * bench.frame(READ))
    assert await bench.wire.receive(2 * len(good)) == 2 * good
    assert time.monotonic() - began_s > 0.1
    await bench.fault("slow", "link", on=False)
    await bench.reads_well()


async def test_split_comes_in_two(bench: Bench) -> None:
    await bench.fault("split", pause_s=SPLIT_S)
    good = bench.frame(READING)
    bench.wire.send(bench.frame(READ))
    first = await bench.wire.some()
    assert good.startswith(first)
    assert 0 < len(first) < len(good)
    assert first + await bench.wire.receive(len(good) - len(first)) == good
    await bench.fault("split", on=False)
    await bench.reads_well()


async def test_merged_waits_for_the_next_and_comes_with_it_in_one(bench: Bench) -> None:
    await bench.fault("merged", count=1)
    bench.wire.send(bench.frame(READ))
    assert await bench.wire.quiet(PAUSE_S) == b""
    bench.wire.send(bench.frame("04 0005 0001"))
    assert await bench.wire.some() == bench.frame(READING) + bench.frame("04 02 0000")
    await bench.reads_well()


async def test_doubled_comes_twice_in_one(bench: Bench) -> None:
    await bench.fault("doubled")
    bench.wire.send(bench.frame(READ))
    assert await bench.wire.some() == 2 * bench.frame(READING)
    await bench.fault("doubled", on=False)
    await bench.reads_well()


async def test_echo_is_the_request_before_the_reply(bench: Bench) -> None:
    await bench.fault("echo")
    expected = bench.frame(READ) + bench.frame(READING)
    assert await bench.ask(len(expected)) == expected
    await bench.fault("echo", on=False)
    await bench.reads_well()


async def test_noise_is_rubbish_before_the_reply(bench: Bench) -> None:
    await bench.fault("noise", "link", bytes=5)
    good = bench.frame(READING)
    got = await bench.ask(5 + len(good))
    assert got[5:] == good
    await bench.fault("noise", "link", on=False)
    await bench.reads_well()


@pytest.mark.parametrize("place", ["device", "link"])
async def test_unsolicited_comes_unasked(bench: Bench, place: str) -> None:
    await bench.reads_well()
    await bench.fault("unsolicited", place, every_s=0.03, count=3)
    unasked = bench.frame(READING, transaction=0)
    if place == "device":
        assert await bench.wire.receive(3 * len(unasked)) == 3 * unasked
    else:
        # Both devices of the link report, the other one what it has first of all.
        other = bench.frame("01 01 00", unit=2, transaction=0)
        got = await bench.wire.receive(2 * len(unasked) + len(other))
        assert sorted((got.count(unasked), got.count(other))) == [1, 2]
    await bench.reads_well()


async def test_unsolicited_may_come_just_before_each_reply(bench: Bench) -> None:
    await bench.fault("unsolicited", every_s=0)
    expected = bench.frame(READING, transaction=0) + bench.frame(READING)
    assert await bench.ask(len(expected)) == expected
    await bench.fault("unsolicited", on=False)
    await bench.reads_well()


async def test_busy_so_many_times(bench: Bench) -> None:
    await bench.fault("busy", count=2)
    busy = bench.frame("83 06")
    assert [await bench.ask(len(busy)), await bench.ask(len(busy))] == [busy, busy]
    await bench.reads_well()


async def test_acknowledge_carries_out_later(bench: Bench) -> None:
    await bench.fault("acknowledge", after_s=0.15)
    expected = bench.frame("86 05")
    assert await bench.ask(len(expected), "06 0003 0001") == expected
    setpoint = bench.simulator.station.points["D-1.setpoint"]
    assert setpoint.get() == 50
    await until(lambda: setpoint.get() == pytest.approx(0.1))
    wire = await bench.simulator.request({"op": "wire", "kind": "write"})
    events = wire["events"]
    assert isinstance(events, list)
    assert [event["signals"] for event in events] == [{"D-1.setpoint": pytest.approx(0.1)}]


async def test_a_fault_may_concern_some_functions_only(bench: Bench) -> None:
    await bench.fault("lost-reply", functions=[6, 16])
    await bench.reads_well()
    bench.wire.send(bench.frame("06 0003 01F4"))
    assert await bench.wire.quiet(PAUSE_S) == b""
    await bench.reads_well()


async def test_frozen_and_swapped(bench: Bench) -> None:
    await bench.fault("frozen")
    await bench.simulator.request({"op": "set", "name": "D-1.setpoint", "value": 60})
    await bench.reads_well()
    await bench.fault("frozen", on=False)
    await bench.fault("swapped")
    expected = bench.frame("03 06 0258 0000 418D")
    assert await bench.ask(len(expected)) == expected
    await bench.fault("swapped", on=False)
    await bench.simulator.request({"op": "set", "name": "D-1.setpoint", "value": 50})
    await bench.reads_well()


async def test_a_spoiled_reply_is_not_logged_as_one(bench: Bench) -> None:
    for name in ("garbled", "short", "wrong-unit"):
        await bench.fault(name, count=1)
        bench.wire.send(bench.frame(READ))
        assert await bench.wire.some()
    await bench.reads_well()
    wire = await bench.simulator.request({"op": "wire"})
    events = wire["events"]
    assert isinstance(events, list)
    assert len(events) == 1


async def test_state_tells_what_is_on(bench: Bench) -> None:
    await bench.fault("busy", count=2, functions=[3])
    await bench.fault("late", "link")
    state = await bench.simulator.request({"op": "state"})
    assert state["faults"] == {"D-1": {"busy": {"functions": [3], "count": 2}}, "bus": {"late": {"delay_s": 1.0}}}
    await bench.simulator.request({"op": "silence", "device": "D-2", "on": True})
    await bench.simulator.request({"op": "exception", "device": "D-2", "on": True, "code": 6})
    state = await bench.simulator.request({"op": "state"})
    faults = state["faults"]
    assert isinstance(faults, dict)
    assert faults["D-2"] == {"no-reply": {}, "exception": {"code": 6}}


async def test_requests_that_make_no_sense_are_refused_in_words(tmp_path: Path) -> None:
    async with bench_of("tcp", tmp_path) as bench:
        asked = {"op": "fault", "name": "busy", "on": True}
        for wrong, words in (
            ({}, 'either a "device" or a "link"'),
            ({"device": "D-1", "link": "bus"}, 'either a "device" or a "link"'),
            ({"device": "D-9"}, "no Modbus device 'D-9'"),
            ({"link": "D-1"}, "no link 'D-1'"),
            ({"link": "bus", "functions": 3}, "list of function codes"),
            ({"link": "bus", "functions": [300]}, "list of function codes"),
            ({"link": "bus", "count": "two"}, "number"),
            ({"link": "bus", "on": 1}, "true or false"),
        ):
            with pytest.raises(SimulatorError, match=words):
                await bench.simulator.request({**asked, **wrong})


def test_every_fault_is_in_the_document() -> None:
    document = (Path(__file__).parents[2] / "docs" / "simulators.md").read_text("utf-8")
    for name, kind in FAULTS.items():
        line = next((line for line in document.splitlines() if line.startswith(f"| `{name}` |")), "")
        assert line, name
        assert all(f"`{setting}`" in line for setting in kind.settings), name


# -- faults of the link itself ---------------------------------------------------------------------------------


async def test_half_open_accepts_and_says_nothing(tmp_path: Path) -> None:
    async with bench_of("tcp", tmp_path) as bench:
        await bench.reads_well()
        await bench.fault("half-open", "link")
        server = bench.simulator.servers["bus"]
        assert isinstance(server, ModbusTcpServer)
        async with connected(server.port) as newcomer:
            for wire in (bench.wire, newcomer):
                wire.send(bench.frame(READ))
                assert await wire.quiet(PAUSE_S) == b""
            await bench.fault("half-open", "link", on=False)
            assert await newcomer.hung_up()
        async with connected(server.port) as again:
            again.send(bench.frame(READ))
            assert await again.receive(15) == bench.frame(READING)


async def test_a_gateway_with_one_place_ends_a_second_connection(tmp_path: Path) -> None:
    async with bench_of("tcp", tmp_path) as bench:
        await bench.reads_well()
        await bench.fault("connections", "link", most=1)
        server = bench.simulator.servers["bus"]
        assert isinstance(server, ModbusTcpServer)
        async with connected(server.port) as second:
            assert await second.hung_up()
        await bench.reads_well()
        await bench.fault("connections", "link", on=False)
        async with connected(server.port) as second:
            second.send(bench.frame(READ))
            assert await second.receive(15) == bench.frame(READING)


async def test_idle_drop_ends_a_connection_that_nobody_uses(tmp_path: Path) -> None:
    async with bench_of("tcp", tmp_path) as bench:
        await bench.fault("idle-drop", "link", after_s=0.3)
        end_s = asyncio.get_running_loop().time() + 0.35
        while asyncio.get_running_loop().time() < end_s:
            await bench.reads_well()
            await asyncio.sleep(0.03)
        began_s = time.monotonic()
        assert await bench.wire.some() == b""
        assert time.monotonic() - began_s > 0.1
