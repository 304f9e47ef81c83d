"""A link opened by hand: what counts as an answer, what is heard beside it, and what a late reply can do."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from config.encoding import Table
from config.errors import LinkError
from config.link import ModbusRtuLink, ModbusTcpLink
from drivers.modbus.probe import DRAIN_TIMEOUTS, Probe
from drivers.modbus.procedure import Ask, Pause, Procedure
from drivers.modbus.raw import Place
from drivers.modbus.search import overheard
from drivers.modbus.transaction import Outcome
from drivers.port import WriteResult
from tests.drivers.fault_devices import FaultLine, FaultServer, Replier, Request, fault_line, fault_server, framed
from tests.drivers.sites import free_port
from tests.drivers.test_command import bench
from tests.hil_sim.sites import until

LEVEL = Place(Table.HOLDING, 0, 1)
PAIR = Place(Table.HOLDING, 0, 2)
TIMEOUT_S = 0.15


@pytest.fixture
async def line() -> AsyncIterator[FaultLine]:
    async with fault_line() as line:
        line.devices.registers[1, 0] = 42
        line.devices.registers[2, 0] = 43
        yield line


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with fault_server() as server:
        server.devices.registers[1, 0] = 42
        yield server


def serial(line: FaultLine) -> Probe:
    return Probe(
        ModbusRtuLink.model_validate(
            {"type": "modbus-rtu", "port": line.path, "baudrate": 115200, "timeout": f"{TIMEOUT_S} s"}
        )
    )


def tcp(port: int) -> Probe:
    return Probe(
        ModbusTcpLink.model_validate(
            {"type": "modbus-tcp", "host": "127.0.0.1", "port": port, "timeout": f"{TIMEOUT_S} s"}
        )
    )


async def test_a_unit_is_asked_once_and_answers(line: FaultLine) -> None:
    async with serial(line) as probe:
        answer = await probe.ask(1, LEVEL.ask)
    assert (answer.result.outcome, answer.result.pdu.hex(" ")) == (Outcome.REPLY, "03 02 00 2a")
    assert overheard(answer.heard, answer.sent, tcp=False).units == (1,)
    assert len(line.devices.requests) == 1


async def test_the_same_over_tcp(server: FaultServer) -> None:
    async with tcp(server.port) as probe:
        answer = await probe.ask(1, LEVEL.ask)
        assert answer.result.pdu.hex(" ") == "03 02 00 2a"
        assert overheard(answer.heard, answer.sent, tcp=True).units == (1,)


async def test_silence_ends_with_the_time_out(line: FaultLine) -> None:
    line.devices.behave(lambda request, replier: None)
    async with serial(line) as probe:
        began = asyncio.get_running_loop().time()
        answer = await probe.ask(9, LEVEL.ask)
        took = asyncio.get_running_loop().time() - began
    assert answer.result.outcome is Outcome.TIMEOUT
    assert answer.heard == b""
    assert TIMEOUT_S * 0.9 <= took < TIMEOUT_S + 1


@pytest.mark.parametrize(
    ("unit", "pdu"),
    [(2, "03 02 00 2b"), (1, "04 02 00 2a"), (1, "03 04 00 2a 00 2b")],
    ids=["unit", "function", "length"],
)
async def test_a_reply_of_another_unit_function_or_length_is_heard_and_not_believed(
    line: FaultLine, unit: int, pdu: str
) -> None:
    line.devices.behave(lambda request, replier: replier.reply(request, bytes.fromhex(pdu), unit=unit))
    async with serial(line) as probe:
        answer = await probe.ask(1, LEVEL.ask)
    assert answer.result.outcome is Outcome.TIMEOUT
    assert overheard(answer.heard, answer.sent, tcp=False).units == (unit,)


async def test_who_answers_as_another_is_believed_where_that_was_asked_for(line: FaultLine) -> None:
    line.devices.behave(lambda request, replier: replier.reply(request, b"\x03\x02\x34\x7d", unit=2))
    async with serial(line) as probe:
        answer = await probe.ask(0, LEVEL.ask, any_unit=True)
    assert answer.result.outcome is Outcome.REPLY
    assert overheard(answer.heard, answer.sent, tcp=False).units == (2,)


async def test_a_late_reply_is_not_taken_for_the_answer_to_the_same_question(line: FaultLine) -> None:
    held: list[Request] = []

    def behave(request: Request, replier: Replier) -> None:
        if not held:
            held.append(request)
            loop = asyncio.get_running_loop()
            # It comes well after the time-out, when the same could be asked again.
            loop.call_later(TIMEOUT_S * 1.6, replier.send, framed(1, b"\x03\x02\x02\x9a"))
            return
        replier.reply(request, line.devices.answer(request))

    line.devices.behave(behave)
    async with serial(line) as probe:
        assert (await probe.ask(1, LEVEL.ask)).result.outcome is Outcome.TIMEOUT
        again = await probe.ask(1, LEVEL.ask)
    assert again.result.pdu.hex(" ") == "03 02 00 2a"
    first, second = line.devices.requests
    assert second.at - first.at >= TIMEOUT_S * (1 + DRAIN_TIMEOUTS) * 0.9
    assert framed(1, b"\x03\x02\x02\x9a") in again.before


async def test_what_no_late_reply_can_answer_is_asked_at_once(line: FaultLine) -> None:
    line.devices.behave(
        lambda request, replier: replier.reply(request, line.devices.answer(request)) if request.pdu[4] == 2 else None
    )
    async with serial(line) as probe:
        assert (await probe.ask(1, LEVEL.ask)).result.outcome is Outcome.TIMEOUT
        assert (await probe.ask(1, PAIR.ask)).result.outcome is Outcome.REPLY
    first, second = line.devices.requests
    assert second.at - first.at < TIMEOUT_S * 2


async def test_a_connection_that_is_gone_is_told_of_and_opened_again(server: FaultServer) -> None:
    server.devices.behave(lambda request, replier: replier.close())
    async with tcp(server.port) as probe:
        answer = await probe.ask(1, LEVEL.ask)
        assert answer.result.outcome is Outcome.LOST
        assert b"connection lost" in answer.result.pdu
        server.devices.behaviour = None
        assert (await probe.ask(1, LEVEL.ask)).result.outcome is Outcome.REPLY
    assert len(server.connections) == 2


async def test_a_request_that_is_broken_off_leaves_nothing_behind(server: FaultServer) -> None:
    server.devices.behave(lambda request, replier: None)
    async with tcp(server.port) as probe:
        asking = asyncio.create_task(probe.ask(1, LEVEL.ask))
        await until(lambda: bool(server.devices.requests))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        server.devices.behaviour = None
        assert (await probe.ask(1, LEVEL.ask)).result.pdu.hex(" ") == "03 02 00 2a"


async def test_a_procedure_is_carried_out_to_its_end_and_answered_by_its_first_result(line: FaultLine) -> None:
    seen: list[str] = []

    def steps() -> Procedure:
        result = yield Ask(b"\x06\x00\x00\x00\x07", b"\x06\x00\x00\x00\x07", 5)
        seen.append(result.outcome.name)
        yield Pause(0.01)
        yield WriteResult(True, 7.0, "first")
        result = yield LEVEL.ask
        seen.append(result.pdu.hex())
        yield WriteResult(False, None, "second")

    async with serial(line) as probe:
        result = await probe.carry_out(1, steps(), 0.0, broadcast=False)
    assert result == WriteResult(True, 7.0, "first")
    assert seen == ["REPLY", "03020007"]


@pytest.mark.parametrize("width", [0.2, 30.0], ids=["in flight", "on"])
async def test_a_pulse_that_is_broken_off_by_hand_is_switched_off(server: FaultServer, width: float) -> None:
    coil = {"table": "coil", "address": 0, "type": "bool", "writable": True}
    commands = bench({"reset": coil | {"command": {"kind": "edge", "width": f"{width} s"}}}).commands
    if width < 1.0:
        # The on was taken, and its reply never comes.
        server.devices.behave(
            lambda request, to: (
                to.reply(request, server.devices.answer(request))
                if request.pdu[-2:] == b"\x00\x00"
                else server.devices.coils.add((1, 0))
            )
        )
    async with tcp(server.port) as probe:
        press = asyncio.create_task(probe.carry_out(1, commands.write(0, True), 5.0, broadcast=False))
        await until(lambda: (1, 0) in server.devices.coils)
        press.cancel()
        with pytest.raises(asyncio.CancelledError):
            await press
        assert (1, 0) not in server.devices.coils


async def test_a_broadcast_is_sent_and_awaited_by_nobody(line: FaultLine) -> None:
    line.devices.behave(lambda request, replier: None)

    def steps() -> Procedure:
        result = yield Ask(b"\x06\x00\x00\x00\x07", b"\x06\x00\x00\x00\x07", 5)
        yield WriteResult(result.outcome is Outcome.REPLY, None)

    async with serial(line) as probe:
        began = asyncio.get_running_loop().time()
        assert (await probe.carry_out(0, steps(), 0.0, broadcast=True)).ok
        await probe.ask(1, LEVEL.ask)
    assert [request.unit for request in line.devices.requests] == [0, 1]
    assert line.devices.requests[1].at - began >= 0.19


async def test_a_port_in_use_says_how_to_see_by_whom(line: FaultLine) -> None:
    async with serial(line):
        with pytest.raises(LinkError, match="is in use by another program; 'fuser -v"):
            await serial(line).__aenter__()
    async with serial(line) as probe:
        assert (await probe.ask(1, LEVEL.ask)).result.outcome is Outcome.REPLY


async def test_a_port_or_server_that_is_not_there_says_where_to_look() -> None:
    with pytest.raises(LinkError, match="there is no such port; 'ls /dev/ttyS"):
        await Probe(ModbusRtuLink(type="modbus-rtu", port="/dev/ttyNONE")).__aenter__()
    port = free_port()
    with pytest.raises(LinkError, match=f"127.0.0.1:{port} cannot be reached.*nothing listens there"):
        await tcp(port).__aenter__()
