"""A Modbus TCP link against a server that misbehaves as told."""

import asyncio
import struct
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from config.load import LoadedSite
from config.sample import Reason
from tests.drivers.fault_devices import FaultServer, Replier, Request, fault_server
from tests.drivers.sites import BLOCK_COUNT, device, driving, site_of, tcp_link
from tests.hil_sim.sites import until

RETRY_S = 0.4
PATIENCE = {"timeout": "100 ms", "retry": "0.4 s"}
"""A retry interval that cannot be mistaken for the one time-out that a unit is left alone at first."""
LEVEL, FLOW, SETPOINT, WIDE = 0, 10, 20, 30


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with fault_server() as server:
        for unit in (1, 2):
            server.devices.registers[unit, LEVEL] = 100 * unit
            server.devices.registers[unit, FLOW] = 100 * unit + 1
        yield server


def bench(folder: Path, server: FaultServer, units: int = 1, poll: str = "30 ms", **link: object) -> LoadedSite:
    """Units D-1, D-2 ... on one link."""
    devices = {f"D-{unit}": device("bus", unit, poll) for unit in range(1, units + 1)}
    return site_of(folder, {"bus": tcp_link(server.port, **link)}, devices)


def is_read(request: Request, address: int, unit: int = 1) -> bool:
    return (request.unit, request.function, request.address) == (unit, 3, address)


async def test_every_signal_of_a_healthy_device_is_read(tmp_path: Path, server: FaultServer) -> None:
    server.devices.coils.add((1, 0))
    async with driving(bench(tmp_path, server)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.level", 100) and drivers.readings.is_good("D-1.flow", 101))
        await until(lambda: drivers.readings.is_good("D-1.run", True))
        status = drivers.links["bus"].status()
        assert status.connected
        assert status.devices["D-1"].online
        assert status.devices["D-1"].round_trip(0.5) is not None


async def test_a_late_reply_never_answers_the_next_request(tmp_path: Path, server: FaultServer) -> None:
    late: list[Request] = []

    def behave(request: Request, replier: Replier) -> None:
        if is_read(request, LEVEL) and not late:
            late.append(request)
            return
        if is_read(request, LEVEL):
            replier.reply(late[0], b"\x03\x02" + struct.pack(">H", 666))
        replier.reply(request, server.devices.answer(request))

    server.devices.behave(behave)
    async with driving(bench(tmp_path, server)) as drivers:
        await until(lambda: drivers.readings.is_bad("D-1.level"))
        await until(lambda: drivers.readings.is_good("D-1.level", 100))
        await drivers.readings.more("D-1.level")
        assert 666 not in drivers.readings.values("D-1.level")
        assert drivers.links["bus"].status().stray_bytes > 0
        assert len(server.connections) == 1


@pytest.mark.parametrize("fault", ["transaction", "unit", "function"])
async def test_a_reply_to_somebody_else_is_never_taken(tmp_path: Path, server: FaultServer, fault: str) -> None:
    def behave(request: Request, replier: Replier) -> None:
        if not is_read(request, LEVEL):
            replier.reply(request, server.devices.answer(request))
        elif fault == "transaction":
            replier.reply(request, b"\x03\x02\x02\x9a", transaction=request.transaction ^ 0x100)
        elif fault == "unit":
            replier.reply(request, b"\x03\x02\x02\x9a", unit=2)
        else:
            replier.reply(request, b"\x04\x02\x02\x9a")

    server.devices.behave(behave)
    async with driving(bench(tmp_path, server)) as drivers:
        await drivers.readings.more("D-1.level")
        assert drivers.readings.values("D-1.level") == []
        assert drivers.readings.is_bad("D-1.level")
        assert drivers.readings.is_good("D-1.flow", 101)


@pytest.mark.parametrize("pdu", [b"\x03\x02\x02", b"\x03\x01\x02", b"\x03\x04\x02\x9a\x02\x9a", b"\x03\x04\x02\x9a"])
async def test_a_reply_with_too_little_or_too_much_data_is_refused(
    tmp_path: Path, server: FaultServer, pdu: bytes
) -> None:
    server.devices.behave(lambda r, to: to.reply(r, pdu if is_read(r, LEVEL) else server.devices.answer(r)))
    async with driving(bench(tmp_path, server)) as drivers:
        await drivers.readings.more("D-1.level")
        await until(lambda: drivers.readings.is_good("D-1.flow", 101))
        assert drivers.readings.values("D-1.level") == []
        assert drivers.readings.is_bad("D-1.level")
        assert drivers.links["bus"].status().devices["D-1"].malformed >= 3
        assert len(server.connections) == 1


async def test_a_refused_block_is_bad_alone(tmp_path: Path, server: FaultServer) -> None:
    server.devices.behave(lambda r, to: to.reply(r, b"\x83\x02" if is_read(r, LEVEL) else server.devices.answer(r)))
    async with driving(bench(tmp_path, server)) as drivers:
        await drivers.readings.more("D-1.level", 2)
        await drivers.readings.more("D-1.flow")
        assert drivers.readings.is_bad("D-1.level", Reason.DEVICE_REFUSED)
        assert all(sample.good for sample in drivers.readings.of["D-1.flow"])
        status = drivers.links["bus"].status().devices["D-1"]
        assert status.online
        assert status.timeouts == 0


async def test_the_first_thing_a_device_says_is_kept_when_it_is_a_refusal(tmp_path: Path, server: FaultServer) -> None:
    server.devices.behave(lambda r, to: to.reply(r, bytes([r.function | 0x80, 2])))
    async with driving(bench(tmp_path, server, poll="5 s")) as drivers:
        await until(lambda: drivers.readings.is_bad("D-1.run", Reason.DEVICE_REFUSED))
        assert (
            drivers.links["bus"].status().devices["D-1"].last_error.startswith("exception 02 illegal data address at ")
        )


async def test_a_gateway_that_reports_a_silent_unit_keeps_its_connection(tmp_path: Path, server: FaultServer) -> None:
    def behave(request: Request, replier: Replier) -> None:
        if request.unit == 1:
            replier.reply(request, server.devices.answer(request))
        else:
            replier.reply(request, bytes([request.function | 0x80, 0x0B]))

    server.devices.behave(behave)
    async with driving(bench(tmp_path, server, units=2)) as drivers:
        await until(lambda: len(server.devices.to(2)) >= 4)
        assert drivers.readings.all_bad("D-2")
        assert not drivers.links["bus"].status().devices["D-2"].online
        assert drivers.readings.is_good("D-1.level", 100)
        assert len(server.connections) == 1


async def test_a_gateways_word_on_one_unit_shows_the_connection_alive_after_the_silence_of_another(
    tmp_path: Path, server: FaultServer
) -> None:
    def behave(request: Request, replier: Replier) -> None:
        if request.unit == 2:
            replier.reply(request, bytes([request.function | 0x80, 0x0B]))

    server.devices.behave(behave)
    async with driving(bench(tmp_path, server, units=2)):
        await until(lambda: len(server.devices.to(1)) >= 2 and len(server.devices.to(2)) >= 3)
        assert len(server.connections) == 1


async def test_a_silent_unit_is_bad_and_costs_its_neighbour_one_time_out_per_retry(
    tmp_path: Path, server: FaultServer
) -> None:
    async with driving(bench(tmp_path, server, units=2, **PATIENCE)) as drivers:
        await until(lambda: drivers.readings.is_good("D-2.level", 200))
        server.devices.behave(lambda r, to: to.reply(r, server.devices.answer(r)) if r.unit == 1 else None)
        await until(lambda: drivers.readings.all_bad("D-2"))
        asked = len(server.devices.requests)
        await until(lambda: sum(r.unit == 2 for r in server.devices.requests[asked:]) >= 3)
        probes = [r for r in server.devices.requests[asked:] if r.unit == 2]
        elapsed = probes[-1].at - probes[0].at
        assert len(probes) - 1 <= elapsed / RETRY_S
        for before, after in pairwise(probes):
            between = [r for r in server.devices.requests if before.at < r.at < after.at and r.unit == 1]
            assert len(between) >= BLOCK_COUNT
        await until(lambda: drivers.readings.is_good("D-1.level", 100))
        assert len(server.connections) == 1

        server.devices.behave(lambda r, to: to.reply(r, server.devices.answer(r)))
        await until(lambda: drivers.readings.is_good("D-2.level", 200) and drivers.readings.is_good("D-2.flow", 201))


async def test_a_dead_unit_does_not_cost_a_seldom_polled_neighbour_its_connection(
    tmp_path: Path, server: FaultServer
) -> None:
    server.devices.behave(lambda r, to: to.reply(r, server.devices.answer(r)) if r.unit == 2 else None)
    devices = {"D-1": device("bus", 1), "D-2": device("bus", 2, "60 s")}
    link = tcp_link(server.port, retry="0.1 s", timeout="50 ms")
    async with driving(site_of(tmp_path, {"bus": link}, devices)) as drivers:
        await until(lambda: drivers.readings.is_good("D-2.run", False))
        before = len(server.devices.to(1))
        await until(lambda: len(server.devices.to(1)) >= before + 5)
        assert len(server.connections) == 1
        assert all(sample.good for sample in drivers.readings.of["D-2.level"])


async def test_requests_lost_while_later_ones_are_answered_do_not_cost_the_connection(
    tmp_path: Path, server: FaultServer
) -> None:
    """A server that takes several requests at a time and drops some of them (seen: pymodbus' keeps the last only)."""
    asked: list[Request] = []

    def behave(request: Request, replier: Replier) -> None:
        if request.function == 6:
            asked.append(request)
        if request.function != 6 or len(asked) > 2:
            replier.reply(request, server.devices.answer(request))

    async with driving(bench(tmp_path, server, in_flight=3)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.setpoint", 0))
        server.devices.behave(behave)
        lost = [drivers.write("D-1.setpoint", value) for value in (1, 2)]
        assert [(await write).detail for write in lost] == ["no reply", "no reply"]
        assert (await drivers.write("D-1.setpoint", 3)).ok
        assert len(server.connections) == 1
        assert all(sample.good for samples in drivers.readings.of.values() for sample in samples)


async def test_a_dead_unit_does_not_cost_the_others_a_connection_that_carries_several_requests(
    tmp_path: Path, server: FaultServer
) -> None:
    async with driving(bench(tmp_path, server, units=2, in_flight=8, timeout="60 ms")) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.level", 100) and drivers.readings.is_good("D-2.level", 200))
        server.devices.behave(lambda r, to: to.reply(r, server.devices.answer(r)) if r.unit == 2 else None)
        await until(lambda: drivers.readings.all_bad("D-1"))
        asked = len(server.devices.to(1))
        await until(lambda: len(server.devices.to(1)) >= asked + 1)
        assert len(server.connections) == 1
        assert all(sample.good for name, samples in drivers.readings.of.items() for sample in samples if "D-2" in name)


async def test_a_half_open_connection_is_given_up(tmp_path: Path, server: FaultServer) -> None:
    server.devices.behave(lambda r, to: None)
    async with driving(bench(tmp_path, server, units=2)) as drivers:
        await until(lambda: len(server.connections) >= 2)
        server.devices.behave(lambda r, to: to.reply(r, server.devices.answer(r)))
        await until(lambda: drivers.readings.is_good("D-1.level", 100) and drivers.readings.is_good("D-2.level", 200))


async def test_a_closed_connection_is_opened_again(tmp_path: Path, server: FaultServer) -> None:
    async with driving(bench(tmp_path, server)) as drivers:
        for connections in (2, 3):
            await until(lambda: drivers.readings.is_good("D-1.level", 100))
            server.hang_up()
            await until(drivers.readings.all_bad)
            await until(lambda: len(server.connections) == connections)  # noqa: B023 - awaited in this round
        await until(lambda: drivers.readings.is_good("D-1.level", 100))


@pytest.mark.parametrize("end", ["close", "garbage"])
async def test_a_connection_that_ends_while_polls_wait_is_opened_again(
    tmp_path: Path, server: FaultServer, end: str
) -> None:
    def behave(request: Request, replier: Replier) -> None:
        if len(server.connections) > 1:
            replier.reply(request, server.devices.answer(request))
            return
        # By then every other poll is due as well.
        hang_up = replier.close if end == "close" else lambda: replier.send(b"HTTP/1.1 400 Bad Request\r\n")
        asyncio.get_running_loop().call_later(0.08, hang_up)

    server.devices.behave(behave)
    async with driving(bench(tmp_path, server)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.level", 100))
        assert len(server.connections) == 2


async def test_a_link_whose_port_is_closed_is_bad_until_it_opens(tmp_path: Path) -> None:
    server = FaultServer()
    async with driving(bench(tmp_path, server, units=2)) as drivers:
        await until(drivers.readings.all_bad)
        assert not drivers.links["bus"].status().connected
        assert drivers.links["bus"].status().last_error
        await server.open()
        await until(lambda: drivers.readings.is_good("D-1.level", 0) and drivers.readings.is_good("D-2.level", 0))
        assert drivers.links["bus"].status().last_error == ""
        server.close()
        await until(drivers.readings.all_bad)


# -- writes ---------------------------------------------------------------------------------------------------------


async def test_a_write_goes_ahead_of_waiting_polls_and_is_read_back_at_once(
    tmp_path: Path, server: FaultServer
) -> None:
    held: list[tuple[Request, Replier]] = []

    def hold(request: Request, replier: Replier) -> None:
        held.append((request, replier))
        server.devices.behave(lambda r, to: to.reply(r, server.devices.answer(r)))

    async with driving(bench(tmp_path, server, timeout="2 s")) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.setpoint", 0))
        server.devices.behave(hold)
        await until(lambda: bool(held))
        asked = len(server.devices.requests)
        first, second = drivers.write("D-1.setpoint", 42), drivers.write("D-1.run", True)
        held[0][1].reply(held[0][0], server.devices.answer(held[0][0]))
        assert (await first) == (True, 42, "")
        assert (await second) == (True, True, "")
        assert [r.function for r in server.devices.requests[asked : asked + 4]] == [6, 3, 5, 1]
        assert drivers.readings.is_good("D-1.setpoint", 42)
        assert drivers.readings.is_good("D-1.run", True)


async def test_a_write_that_is_not_answered_is_never_repeated(tmp_path: Path, server: FaultServer) -> None:
    server.devices.behave(lambda r, to: to.reply(r, server.devices.answer(r)) if r.function != 6 else None)
    async with driving(bench(tmp_path, server)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.setpoint", 0))
        result = await drivers.write("D-1.setpoint", 42)
        assert (result.ok, result.readback, result.detail) == (False, None, "no reply")
        await drivers.readings.more("D-1.setpoint")
        assert len(server.devices.to(1, function=6)) == 1


async def test_a_write_is_not_repeated_on_a_new_connection(tmp_path: Path, server: FaultServer) -> None:
    def behave(request: Request, replier: Replier) -> None:
        if request.function == 6:
            replier.close()
        else:
            replier.reply(request, server.devices.answer(request))

    server.devices.behave(behave)
    async with driving(bench(tmp_path, server)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.setpoint", 0))
        first, waiting = drivers.write("D-1.setpoint", 42), drivers.write("D-1.setpoint", 43)
        assert not (await first).ok
        assert not (await waiting).ok
        await until(lambda: len(server.connections) == 2)
        await drivers.readings.more("D-1.setpoint")
        assert len(server.devices.to(1, function=6)) == 1


async def test_a_write_to_a_link_that_is_down_fails_at_once(tmp_path: Path) -> None:
    async with driving(bench(tmp_path, FaultServer())) as drivers:
        assert drivers.write("D-1.setpoint", 42).done()
        await until(drivers.readings.all_bad)
        written = drivers.write("D-1.setpoint", 42)
        assert written.done()
        assert not written.result().ok
        assert "bus" in written.result().detail


async def test_a_refused_write_fails_with_the_reason(tmp_path: Path, server: FaultServer) -> None:
    server.devices.behave(lambda r, to: to.reply(r, b"\x86\x04" if r.function == 6 else server.devices.answer(r)))
    async with driving(bench(tmp_path, server)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.setpoint", 0))
        result = await drivers.write("D-1.setpoint", 42)
        assert not result.ok
        assert result.detail == "refused with exception 04 device failure"


@pytest.mark.parametrize("value", [-1, 65536, float("nan"), 1e308, True, "42", None])
async def test_a_value_that_does_not_fit_is_not_sent(tmp_path: Path, server: FaultServer, value: float) -> None:
    async with driving(bench(tmp_path, server)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.setpoint", 0))
        written = drivers.write("D-1.setpoint", value)
        assert written.done()
        assert not written.result().ok
        await drivers.readings.more("D-1.setpoint")
        assert server.devices.to(1, function=6) == []


@pytest.mark.parametrize("value", [0.1, -1.5, 1.0, 1e-6, 123456.789, 3000000001.0])
async def test_a_float_that_the_device_took_is_confirmed(tmp_path: Path, server: FaultServer, value: float) -> None:
    async with driving(bench(tmp_path, server)) as drivers:
        await until(lambda: drivers.readings.is_good("D-1.wide", 0))
        result = await drivers.write("D-1.wide", value)
        assert result.ok
        assert result.readback == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(("signal", "value"), [("wide", 1.4), ("wide", 0.999), ("setpoint", 2), ("run", True)])
async def test_a_value_that_the_device_did_not_keep_is_not_confirmed(
    tmp_path: Path, server: FaultServer, signal: str, value: float
) -> None:
    server.devices.registers |= {(1, SETPOINT): 1, (1, WIDE): 0x3F80}
    server.devices.behave(lambda r, to: to.reply(r, r.pdu[:5] if r.function > 4 else server.devices.answer(r)))
    async with driving(bench(tmp_path, server)) as drivers:
        kept = {"wide": 1.0, "setpoint": 1, "run": False}[signal]
        await until(lambda: drivers.readings.is_good(f"D-1.{signal}", kept))
        result = await drivers.write(f"D-1.{signal}", value)
        assert (result.ok, result.readback) == (False, kept)


async def test_writes_that_find_a_unit_down_make_its_signals_bad(tmp_path: Path, server: FaultServer) -> None:
    async with driving(bench(tmp_path, server, units=2, poll="60 s")) as drivers:
        await until(lambda: drivers.readings.is_good("D-2.level", 200) and drivers.readings.is_good("D-2.run", False))
        server.devices.behave(lambda r, to: to.reply(r, server.devices.answer(r)) if r.unit == 1 else None)
        assert not (await drivers.write("D-2.setpoint", 1)).ok
        assert (await drivers.write("D-1.setpoint", 1)).ok
        assert not (await drivers.write("D-2.setpoint", 1)).ok
        await until(lambda: drivers.readings.all_bad("D-2"))
        assert drivers.readings.is_good("D-1.level", 100)


async def test_writes_to_a_unit_that_is_down_cost_its_neighbour_one_time_out_per_retry(
    tmp_path: Path, server: FaultServer
) -> None:
    server.devices.behave(lambda r, to: to.reply(r, server.devices.answer(r)) if r.unit == 1 else None)
    async with driving(bench(tmp_path, server, units=2, **PATIENCE)) as drivers:
        await until(lambda: drivers.links["bus"].status().devices["D-2"].timeouts >= 2)
        asked = len(server.devices.requests)
        for _ in range(10):
            assert not (await drivers.write("D-2.setpoint", 1)).ok
            await drivers.readings.more("D-1.level", 2)
        probes = [r for r in server.devices.requests[asked:] if r.unit == 2]
        elapsed = server.devices.requests[-1].at - server.devices.requests[asked].at
        assert len(probes) <= elapsed / RETRY_S + 1

        server.devices.behave(lambda r, to: to.reply(r, server.devices.answer(r)))
        await until(lambda: drivers.readings.is_good("D-2.setpoint", 0))
        assert (await drivers.write("D-2.setpoint", 1)).ok


async def test_a_new_demand_is_tried_even_on_a_unit_that_is_down(tmp_path: Path, server: FaultServer) -> None:
    silent = {2}
    server.devices.behave(
        lambda r, to: to.reply(r, server.devices.answer(r)) if r.function == 6 or r.unit not in silent else None
    )
    async with driving(bench(tmp_path, server, units=2, retry="60 s")) as drivers:
        await until(lambda: drivers.links["bus"].status().devices["D-2"].timeouts >= 2)
        drivers.write("D-2.setpoint", 42)
        await until(lambda: server.devices.registers.get((2, SETPOINT)) == 42)
