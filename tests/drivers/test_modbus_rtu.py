"""A serial line on a pseudo-terminal, with devices that misbehave as told."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from config.load import LoadedSite
from config.sample import Reason
from tests.drivers.fault_devices import FaultLine, Replier, Request, fault_line, framed
from tests.drivers.sites import BLOCK_COUNT, device, driving, site_of
from tests.hil_sim.sites import until

LEVEL, FLOW = 0, 10
STALE = b"\x03\x02\x02\x9a"
"""666, which no register holds."""


@pytest.fixture
async def line() -> AsyncIterator[FaultLine]:
    async with fault_line() as line:
        for unit in (1, 2):
            line.devices.registers[unit, LEVEL] = 100 * unit
            line.devices.registers[unit, FLOW] = 100 * unit + 1
        yield line


def bench(folder: Path, line: FaultLine, units: int = 1, poll: str = "50 ms", **link: object) -> LoadedSite:
    bus = {"type": "modbus-rtu", "port": line.path, "baudrate": 115200, "timeout": "150 ms", "retry": "0.25 s"} | link
    return site_of(folder, {"bus": bus}, {f"D-{unit}": device("bus", unit, poll) for unit in range(1, units + 1)})


def is_level(request: Request, unit: int = 1) -> bool:
    return (request.unit, request.function, request.address) == (unit, 3, LEVEL)


async def test_every_signal_of_a_healthy_device_is_read(tmp_path: Path, line: FaultLine) -> None:
    async with driving(bench(tmp_path, line, units=2)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.level", 100) and drivers.readings.is_good("D-2.flow", 201))
        status = drivers.links["bus"].status()
        assert (status.crc_errors, status.stray_bytes) == (0, 0)


async def test_a_reply_with_a_wrong_crc_is_no_sample(tmp_path: Path, line: FaultLine) -> None:
    def behave(request: Request, replier: Replier) -> None:
        good = framed(request.unit, STALE)
        if is_level(request):
            replier.send(good[:-1] + bytes([good[-1] ^ 1]))
        else:
            replier.reply(request, line.devices.answer(request))

    line.devices.behave(behave)
    async with driving(bench(tmp_path, line)) as drivers:
        await drivers.readings.more("D-1.level", 2)
        assert drivers.readings.values("D-1.level") == []
        assert drivers.readings.is_bad("D-1.level")
        assert drivers.readings.is_good("D-1.flow", 101)
        await until(lambda: drivers.links["bus"].status().crc_errors >= 2)


async def test_a_late_reply_is_not_taken_for_the_next_request(tmp_path: Path, line: FaultLine) -> None:
    late: list[Request] = []

    def behave(request: Request, replier: Replier) -> None:
        if is_level(request) and not late:
            late.append(request)
            return
        if request.unit == 2 and len(late) == 1:
            # The other unit is asked first after the time-out; the late one talks into its reply.
            late.append(request)
            replier.reply(late[0], STALE)
        replier.reply(request, line.devices.answer(request))

    line.devices.behave(behave)
    async with driving(bench(tmp_path, line, units=2)) as drivers:
        await until(lambda: drivers.readings.is_bad("D-1.level"))
        await until(lambda: drivers.readings.is_good("D-1.level", 100) and drivers.readings.is_good("D-2.level", 200))
        await drivers.readings.more("D-1.level")
        assert len(late) == 2
        for name in ("level", "flow", "setpoint"):
            assert 666 not in drivers.readings.values(f"D-1.{name}") + drivers.readings.values(f"D-2.{name}")


async def test_a_unit_that_timed_out_is_not_asked_while_its_late_reply_may_come(
    tmp_path: Path, line: FaultLine
) -> None:
    def behave(request: Request, replier: Replier) -> None:
        if is_level(request) and len(line.devices.to(1, 3, LEVEL)) == 1:
            # Later than the time-out of 150 ms, and within the one more that the unit is left alone.
            asyncio.get_running_loop().call_later(0.22, replier.reply, request, STALE)
        else:
            replier.reply(request, line.devices.answer(request))

    line.devices.behave(behave)
    async with driving(bench(tmp_path, line)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.level", 100))
        assert 666 not in [v for name in drivers.readings.of for v in drivers.readings.values(name)]
        assert drivers.links["bus"].status().stray_bytes == len(framed(1, STALE))


async def test_noise_before_a_reply_is_skipped(tmp_path: Path, line: FaultLine) -> None:
    def behave(request: Request, replier: Replier) -> None:
        replier.send(b"\x00\xff" + bytes([request.unit, request.function]))
        replier.reply(request, line.devices.answer(request))

    line.devices.behave(behave)
    async with driving(bench(tmp_path, line)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.level", 100) and drivers.readings.is_good("D-1.run", False))
        assert all(sample.good for samples in drivers.readings.of.values() for sample in samples)
        assert drivers.links["bus"].status().stray_bytes > 0


async def test_an_adapter_that_echoes_is_no_hindrance(tmp_path: Path, line: FaultLine) -> None:
    def behave(request: Request, replier: Replier) -> None:
        replier.send(framed(request.unit, request.pdu))
        replier.reply(request, line.devices.answer(request))

    line.devices.behave(behave)
    async with driving(bench(tmp_path, line)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.level", 100))
        assert (await drivers.write("D-1.setpoint", 42)).ok
        assert (await drivers.write("D-1.wide", 1.5)).ok
        assert (await drivers.write("D-1.run", True)).ok


async def test_a_dead_unit_costs_the_bus_at_most_a_twentieth_of_its_time(tmp_path: Path, line: FaultLine) -> None:
    line.devices.behave(lambda r, to: to.reply(r, line.devices.answer(r)) if r.unit == 1 else None)
    async with driving(bench(tmp_path, line, units=2, timeout="50 ms", retry="0.2 s")) as drivers:
        await until(lambda: drivers.readings.all_bad("D-2"))
        asked = len(line.devices.requests)
        await until(lambda: sum(r.unit == 2 for r in line.devices.requests[asked:]) >= 3)
        probes = [r for r in line.devices.requests[asked:] if r.unit == 2]
        assert (len(probes) - 1) * 0.05 <= 0.05 * (probes[-1].at - probes[0].at)
        for before, after in pairwise(probes):
            assert sum(r.unit == 1 and before.at < r.at < after.at for r in line.devices.requests) >= BLOCK_COUNT
        await until(lambda: drivers.readings.is_good("D-1.level", 100))

        line.devices.behave(lambda r, to: to.reply(r, line.devices.answer(r)))
        await until(lambda: drivers.readings.is_good("D-2.level", 200) and drivers.readings.is_good("D-2.flow", 201))


async def test_a_write_is_read_back_before_anything_else_is_asked(tmp_path: Path, line: FaultLine) -> None:
    async with driving(bench(tmp_path, line)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.setpoint", 0))
        assert (await drivers.write("D-1.setpoint", 42)) == (True, 42, "")
        functions = [r.function for r in line.devices.requests]
        assert line.devices.requests[functions.index(6) + 1].address == 20


async def test_a_write_that_is_not_answered_is_never_repeated(tmp_path: Path, line: FaultLine) -> None:
    line.devices.behave(lambda r, to: to.reply(r, line.devices.answer(r)) if r.function != 6 else None)
    async with driving(bench(tmp_path, line)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.setpoint", 0))
        assert (await drivers.write("D-1.setpoint", 42)) == (False, None, "no reply")
        await drivers.readings.more("D-1.setpoint")
        assert len(line.devices.to(1, function=6)) == 1


async def test_the_line_is_silent_between_a_reply_and_the_next_request(tmp_path: Path, line: FaultLine) -> None:
    answered: list[float] = []
    gaps: list[float] = []

    def behave(request: Request, replier: Replier) -> None:
        if answered:
            gaps.append(request.at - answered[-1])
        replier.reply(request, line.devices.answer(request))
        answered.append(asyncio.get_running_loop().time())

    line.devices.behave(behave)
    async with driving(bench(tmp_path, line, poll="20 ms", turnaround="20 ms")) as drivers:
        await until(lambda: len(gaps) > 20)
        assert (await drivers.write("D-1.setpoint", 42)).ok
    # A loop's timer may fire one tick of its clock early.
    assert min(gaps) >= 0.019


async def test_a_line_that_is_pulled_out_is_bad_and_fails_writes(tmp_path: Path, line: FaultLine) -> None:
    async with driving(bench(tmp_path, line)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.level", 100))
        line.close()
        await until(drivers.readings.all_bad)
        status = drivers.links["bus"].status()
        await until(lambda: not status.connected)
        assert status.last_error
        assert not (await drivers.write("D-1.setpoint", 42)).ok


async def test_a_port_that_does_not_exist_is_bad_and_named(tmp_path: Path, line: FaultLine) -> None:
    async with driving(bench(tmp_path, line, port="/dev/penstock-nowhere")) as drivers:
        await until(drivers.readings.all_bad)
        assert "/dev/penstock-nowhere" in drivers.links["bus"].status().last_error


async def test_every_device_of_the_bus_at_once_is_told_and_never_asked(tmp_path: Path, line: FaultLine) -> None:
    """Nobody answers a broadcast: to poll unit 0, or to read back from it, is to wait for nothing."""
    link = {"type": "modbus-rtu", "port": line.path, "baudrate": 115200, "timeout": "150 ms", "retry": "0.25 s"}
    devices = {"ALL": device("bus", 0) | {"broadcast_writes": True}, "D-1": device("bus", 1, "50 ms")}
    line.devices.behave(lambda r, to: to.reply(r, line.devices.answer(r)) if r.unit else None)
    async with driving(site_of(tmp_path, {"bus": link}, devices)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.level", 100))
        assert drivers.readings.is_bad("ALL.level", Reason.WRITE_ONLY)
        assert (await drivers.write("ALL.setpoint", 42)).ok
        assert (await drivers.write("ALL.wide", 1.5)).ok
        await drivers.readings.more("D-1.level", 4)
        assert [request.function for request in line.devices.to(0)] == [6, 16]
        assert drivers.links["bus"].status().devices["ALL"].online
        line.close()
        await until(drivers.readings.all_bad)
        assert not drivers.links["bus"].status().devices["ALL"].online


async def test_what_must_be_read_before_it_is_written_cannot_be_broadcast(tmp_path: Path, line: FaultLine) -> None:
    signals: dict[str, object] = {
        "bit": {"table": "holding", "address": 0, "type": "bool", "bit": 3, "writable": True},
        "remote": {"table": "holding", "address": 1},
        "order": {"table": "holding", "address": 2, "writable": True, "command": {"require": {"remote": 1}}},
    }
    profile = {"protocol": "modbus", "signals": signals}
    link = {"type": "modbus-rtu", "port": line.path, "baudrate": 115200, "timeout": "150 ms"}
    everybody = device("bus", 0, profile=profile) | {"broadcast_writes": True}
    async with driving(site_of(tmp_path, {"bus": link}, {"ALL": everybody})) as drivers:
        await until(lambda: drivers.readings.is_bad("ALL.remote", Reason.WRITE_ONLY))
        assert (await drivers.write("ALL.order", 1)).detail == "ALL.remote could not be read, and must be 1.0 first"
        assert (await drivers.write("ALL.bit", True)).detail == "its register could not be read before: no reply"
        assert line.devices.requests == []
