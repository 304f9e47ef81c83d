"""Serial lines at 1200, 9600 and 115200 baud: silence between frames, deadlines, turnaround, noise.

Masters and slaves that are ours and that are not, on a bus where characters take their time.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from config.load import LoadedSite
from tests.drivers.sites import Drivers, driving, site_of
from tests.hil_sim.sites import until
from tests.peers.everything import BASE, COILS, DISCRETE, INPUT, SETPOINT, VALUES, holding, rtu_link
from tests.peers.libmodbus import Server, needs_libmodbus, rtu_server
from tests.peers.serial_bus import SerialBus, Station, serial_bus

TICK_S = 0.001
"""A loop's timers may fire so much early."""


def silence_s(baudrate: int) -> float:
    """t3.5 (MODBUS over Serial Line V1.02, 2.5.1.1), and 1.75 ms above 19200 baud."""
    return 3.5 * 11 / baudrate if baudrate <= 19200 else 0.00175


# -- our driver --------------------------------------------------------------------------------------------------


def site(
    folder: Path, path: str, baudrate: int, registers: int, *, commanded: bool = True, **link: object
) -> LoadedSite:
    """Unit 1, of which so many holding registers are read at once, as fast as they come, and the set-point."""
    signals: dict[str, dict[str, object]] = {
        f"r{address}": {"table": "holding", "address": address} for address in range(registers)
    }
    if commanded:
        signals["setpoint"] = {"table": "holding", "address": SETPOINT, "writable": True}
    device = {"link": "bus", "unit": 1, "poll": "10 ms", "profile": BASE | {"signals": signals}}
    return site_of(folder, {"bus": rtu_link(path, baudrate) | link}, {"D-1": device})


@asynccontextmanager
async def libmodbus_slave(baudrate: int, *, holds_s: float = 0.0) -> AsyncIterator[tuple[SerialBus, Server]]:
    """A bus with libmodbus as unit 1."""
    async with serial_bus(baudrate) as bus:
        with rtu_server(bus.station("slave", holds_s=holds_s).path, baudrate) as server:
            server.fill(holding(), INPUT, COILS, DISCRETE)
            yield bus, server


def gaps_before(bus: SerialBus, master: Station) -> list[float]:
    """How long the wires were silent before each request but the first."""
    return [after.begin - before.end for before, after in pairwise(bus.frames) if after.station is master]


def only_right(drivers: Drivers, registers: int) -> bool:
    """True when each register was read, and never as anything but what stands in it."""
    return all(set(drivers.readings.values(f"D-1.r{place}")) == {holding()[place]} for place in range(registers))


@needs_libmodbus
@pytest.mark.parametrize(("baudrate", "registers"), [(1200, 2), (9600, 10), (115200, 40)])
async def test_our_driver_leaves_the_line_its_silence_and_no_more(
    tmp_path: Path, baudrate: int, registers: int
) -> None:
    async with libmodbus_slave(baudrate) as (bus, server):
        master = bus.station("master")
        async with driving(site(tmp_path, master.path, baudrate, registers)) as drivers:
            await until(lambda: len(bus.of(master)) >= 6)
            assert await drivers.write("D-1.setpoint", 4711) == (True, 4711, "")
            assert server.holding[SETPOINT] == 4711
            assert master.speed == baudrate
            gaps = gaps_before(bus, master)
            assert min(gaps) >= silence_s(baudrate) - TICK_S
            assert sorted(gaps)[len(gaps) // 2] <= silence_s(baudrate) + 0.03
            assert only_right(drivers, registers)
        assert bus.collisions == 0


@needs_libmodbus
async def test_a_reply_that_takes_seconds_is_awaited(tmp_path: Path) -> None:
    """A hundred registers at 1200 baud are on the wire for 1.9 s; the time-out of the link is what comes on top."""
    async with libmodbus_slave(1200) as (bus, server):
        server.holding[99] = 4711
        loaded = site(tmp_path, bus.station("master").path, 1200, 100, timeout="0.4 s")
        async with driving(loaded) as drivers:
            await until(lambda: drivers.readings.is_good("D-1.r99", 4711), 10.0)
            assert all(sample.good for sample in drivers.readings.of["D-1.r99"])


async def test_a_reply_that_does_not_come_is_given_up_when_it_could_no_longer_come(tmp_path: Path) -> None:
    async with serial_bus(1200) as bus:
        master = bus.station("master")
        loaded = site(tmp_path, master.path, 1200, 10, commanded=False, timeout="50 ms")
        async with driving(loaded) as drivers:
            await until(lambda: drivers.readings.is_bad("D-1.r9"))
            on_the_wire = (8 + 25) * bus.character_s
            awaited = drivers.readings.of["D-1.r9"][0].received - bus.frames[0].begin
            assert on_the_wire <= awaited <= on_the_wire + 0.3


@needs_libmodbus
async def test_the_pause_after_a_broadcast_begins_when_it_has_left(tmp_path: Path) -> None:
    """At 1200 baud a write of four registers is on the wire for 156 ms; then devices get 100 ms to carry it out."""
    async with libmodbus_slave(1200) as (bus, _):
        master = bus.station("master")
        total = {"table": "holding", "address": 16, "type": "float64", "writable": True}
        one = {"link": "bus", "unit": 1, "poll": "10 ms", "profile": BASE | {"signals": {"total": total}}}
        everybody = one | {"unit": 0, "broadcast_writes": True}
        devices = {"ONE": one, "ALL": everybody}
        async with driving(site_of(tmp_path, {"bus": rtu_link(master.path, 1200)}, devices)) as drivers:
            await until(lambda: drivers.readings.is_good("ONE.total", VALUES["f64"]))
            assert (await drivers.write("ALL.total", 2.5)).ok
            await until(lambda: drivers.readings.is_good("ONE.total", 2.5))
            place = next(place for place, frame in enumerate(bus.frames) if frame.data[:2] == b"\x00\x10")
            assert bus.frames[place + 1].station is master
            assert bus.frames[place + 1].begin - bus.frames[place].end >= 0.1
        assert bus.collisions == 0


@needs_libmodbus
async def test_a_station_that_is_slow_to_let_go_of_the_wires_is_given_its_turnaround(tmp_path: Path) -> None:
    async with libmodbus_slave(9600, holds_s=0.03) as (bus, _):
        master = bus.station("master")
        loaded = site(tmp_path, master.path, 9600, 2, turnaround="40 ms")
        async with driving(loaded) as drivers:
            await until(lambda: len(bus.of(master)) >= 6)
            assert min(gaps_before(bus, master)) >= 0.04 - TICK_S
            assert only_right(drivers, 2)
        assert bus.collisions == 0
        # The same without: what is sent too soon is lost, and nothing comes of it.
        async with driving(site(tmp_path, master.path, 9600, 2, timeout="0.1 s")) as drivers:
            await until(lambda: bus.collisions > 0 and drivers.readings.is_bad("D-1.r0"))
            assert set(drivers.readings.values("D-1.r1")) <= {holding()[1]}


@needs_libmodbus
@pytest.mark.parametrize("known", [True, False], ids=["known", "found out"])
async def test_an_adapter_that_hears_itself_is_no_hindrance(tmp_path: Path, known: bool) -> None:
    async with libmodbus_slave(9600) as (bus, server):
        master = bus.station("master", echoes=True)
        async with driving(site(tmp_path, master.path, 9600, 2, local_echo=known)) as drivers:
            await until(lambda: len(bus.of(master)) >= 6)
            assert await drivers.write("D-1.setpoint", 4711) == (True, 4711, "")
            assert server.holding[SETPOINT] == 4711
            assert only_right(drivers, 2)
        assert bus.collisions == 0


@needs_libmodbus
async def test_a_port_at_another_speed_reads_nothing(tmp_path: Path) -> None:
    async with libmodbus_slave(9600) as (bus, server):
        async with driving(site(tmp_path, bus.station("master").path, 19200, 2, timeout="0.1 s")) as drivers:
            await until(lambda: drivers.readings.is_bad("D-1.r0"))
            assert drivers.readings.values("D-1.r0") == []
        assert server.requests == []


@needs_libmodbus
async def test_noise_costs_readings_and_never_makes_one(tmp_path: Path) -> None:
    async with libmodbus_slave(115200) as (bus, _):
        loaded = site(tmp_path, bus.station("master").path, 115200, 10, timeout="30 ms")
        async with driving(loaded) as drivers:
            readings = drivers.readings
            await until(lambda: readings.is_good("D-1.r8", holding()[8]))
            dice = random.Random(20260101)
            for _ in range(30):
                bus.noise(dice.randbytes(dice.randint(1, 12)))
                await asyncio.sleep(dice.uniform(0.005, 0.025))
            [slave] = [frame.station for frame in bus.frames if frame.station.name == "slave"][:1]
            # One in a few replies of 25 and of 7 characters has a wrong one, each time at another place.
            slave.spoils_each = 83
            before = drivers.links["bus"].status().crc_errors
            await until(lambda: drivers.links["bus"].status().crc_errors >= before + 15)
            slave.spoils_each = 0
            assert sum(not sample.good for sample in readings.of["D-1.r8"]) >= 5
            await until(lambda: readings.is_good("D-1.r8", holding()[8]))
            assert only_right(drivers, 10)
