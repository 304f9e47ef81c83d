"""Opening a link: on sockets, through TLS and on a terminal, and being stopped at any moment of it."""

import asyncio
import gc
import os
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from config.errors import LinkError
from config.link import ModbusLink, ModbusRtuLink, ModbusTcpLink
from drivers.links import open_links
from drivers.modbus.framing import RtuFraming, TcpFraming
from drivers.modbus.transport import SettingsRefused, connect, framing_of, has_transaction_ids, line_timing
from tests.drivers.fault_devices import Devices, FaultLine, FaultServer, fault_server
from tests.drivers.sites import device, driving, free_port, site_of, tcp_link
from tests.hil_sim.certificates import Authority
from tests.hil_sim.sites import until

TICK_S = 0.001
PATIENCE = {"timeout": "80 ms", "retry": "50 ms"}


def tcp(**more: object) -> ModbusTcpLink:
    return ModbusTcpLink.model_validate({"type": "modbus-tcp", "host": "127.0.0.1"} | more)


def serial(**more: object) -> ModbusRtuLink:
    return ModbusRtuLink.model_validate({"type": "modbus-rtu", "port": "/dev/nowhere"} | more)


@pytest.mark.parametrize(
    ("link", "byte_s", "silence_s"),
    [
        # Shared field notes, section 2, row 16.
        (serial(baudrate=1200), 11 / 1200, 0.0321),
        (serial(baudrate=2400), 11 / 2400, 0.0160),
        (serial(baudrate=4800), 11 / 4800, 0.0080),
        (serial(baudrate=9600), 11 / 9600, 0.0040),
        (serial(baudrate=19200), 11 / 19200, 0.0020),
        (serial(baudrate=38400), 11 / 38400, 0.00175),
        (serial(baudrate=115200), 11 / 115200, 0.00175),
        (serial(baudrate=9600, turnaround="50 ms"), 11 / 9600, 0.05),
        (serial(baudrate=1200, turnaround="1 ms"), 11 / 1200, 0.0321),
        (tcp(framing="rtu"), 0.0, 0.00175),
        (tcp(framing="rtu", line={"baudrate": 1200}), 11 / 1200, 0.0321),
        (tcp(line={"baudrate": 9600, "turnaround": "10 ms"}), 11 / 9600, 0.01),
    ],
)
def test_the_silence_of_a_line_follows_from_its_speed(link: ModbusLink, byte_s: float, silence_s: float) -> None:
    timing = line_timing(link)
    assert timing.byte_s == byte_s
    assert timing.silence_s == pytest.approx(silence_s + TICK_S, rel=0.01)


def test_a_network_needs_no_silence() -> None:
    assert line_timing(tcp()) == (0.0, 0.0)


def test_the_longest_reply_at_1200_baud_is_awaited_for_as_long_as_it_takes() -> None:
    assert line_timing(serial(baudrate=1200)).transfer_s(5, 252) == pytest.approx(2.41, abs=0.01)
    assert line_timing(serial(baudrate=9600)).transfer_s(5, 252) == pytest.approx(0.301, abs=0.01)


@pytest.mark.parametrize(
    ("link", "framing", "ids"),
    [
        (tcp(), TcpFraming, True),
        (tcp(strict_ids=False), TcpFraming, False),
        (tcp(framing="rtu"), RtuFraming, False),
        (tcp(tls={"ca_file": "ca.pem"}), TcpFraming, True),
        (serial(), RtuFraming, False),
    ],
)
def test_the_framing_of_a_link_does_not_depend_on_its_transport(link: ModbusLink, framing: type, ids: bool) -> None:
    assert isinstance(framing_of(link), framing)
    assert has_transaction_ids(link) is ids


# -- what cannot be opened ------------------------------------------------------------------------------------------


async def refusal(link: ModbusLink) -> str:
    with pytest.raises(LinkError) as refused:
        await connect(link, lambda why: None)
    return refused.value.message


async def test_a_closed_port_is_named() -> None:
    port = free_port()
    assert str(port) in await refusal(tcp(port=port))


async def test_a_host_that_is_none_is_named() -> None:
    assert await refusal(tcp(host="no-such-host.invalid", timeout="5 s"))
    assert await refusal(tcp(host="a..b"))


@pytest.fixture
async def line() -> AsyncIterator[FaultLine]:
    line = FaultLine(Devices())
    yield line
    line.close()


async def test_a_port_that_cannot_be_set_so_is_told_from_one_that_is_not_there(line: FaultLine, tmp_path: Path) -> None:
    for parity in ("E", "O"):
        with pytest.raises(SettingsRefused, match=f"this port cannot do 9600 8{parity}1: .*; choose another speed or"):
            await connect(serial(port=line.path, parity=parity), lambda why: None)
        # It is let go of at once, whoever keeps the error.
        (await connect(serial(port=line.path), lambda why: None)).close("done")
    assert "there is no such port; 'ls /dev/ttyS" in await refusal(serial())
    (tmp_path / "file").touch()
    assert "file is no serial port" in await refusal(serial(port=str(tmp_path / "file")))


async def test_a_port_that_another_program_has_says_how_to_see_which(line: FaultLine) -> None:
    exchange = await connect(serial(port=line.path), lambda why: None)
    assert f"in use by another program; 'fuser -v {line.path}' shows which" in await refusal(serial(port=line.path))
    exchange.close("done")


async def test_a_port_that_cannot_be_set_so_leaves_the_other_links_alone(line: FaultLine, tmp_path: Path) -> None:
    async with fault_server() as server:
        links = {
            "bad": {"type": "modbus-rtu", "port": line.path, "parity": "E", **PATIENCE},
            "good": tcp_link(server.port, **PATIENCE),
        }
        devices = {"D-1": device("bad", 1), "D-2": device("good", 1)}
        async with driving(site_of(tmp_path, links, devices)) as drivers:
            bad = drivers.links["bad"]
            await until(lambda: "this port cannot do 9600 8E1" in bad.status().last_error)
            await drivers.readings.more("D-2.level", 3)
            assert not bad.status().connected


async def test_a_server_that_shakes_no_hands_costs_one_time_out(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        link = tcp(port=port, tls={"ca_file": str(Authority(tmp_path).file)}, timeout="80 ms")
        assert await refusal(link) == "no connection within 0.08 s"


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    identity = theirs.issue("meter", "127.0.0.1")
    async with fault_server(tls=server_tls(identity.cert, identity.key)) as server:
        assert "certificate is refused" in await refusal(tcp(port=server.port, tls={"ca_file": str(ours.file)}))
        assert "certificate is refused" in await refusal(
            tcp(port=server.port, tls={"ca_file": str(theirs.file), "server_name": "another"})
        )
        assert await refusal(tcp(port=server.port, tls={"ca_file": str(tmp_path / "gone.pem")}))


async def test_what_is_no_serial_port_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    assert await refusal(serial(port=str(plain)))
    assert await refusal(serial(port=str(tmp_path)))
    assert "/dev/nowhere" in await refusal(serial())


@pytest.mark.parametrize("steps", range(5))
async def test_an_adapter_that_is_pulled_while_it_is_opened_ends_the_link_and_not_the_driver(
    tmp_path: Path, steps: int
) -> None:
    line = FaultLine(Devices())
    link = {"type": "modbus-rtu", "port": line.path, "baudrate": 9600, **PATIENCE}
    async with driving(site_of(tmp_path, {"bus": link}, {"D-1": device("bus", 1)})) as drivers:
        for _ in range(steps):
            await asyncio.sleep(0)
        line.close()
        await until(drivers.readings.all_bad)
        assert not drivers.links["bus"].status().connected


def server_tls(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


# -- connections that end at once -----------------------------------------------------------------------------------


@pytest.mark.parametrize("connection", ["keep", "per-cycle"])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_server_that_hangs_up_at_once_is_tried_again_and_not_without_a_pause(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], connection: str
) -> None:
    async def story() -> None:
        async with fault_server() as server:
            server.greeting = lambda made: made.close()
            link = tcp_link(server.port, connection=connection, **PATIENCE)
            loaded = site_of(tmp_path, {"bus": link}, {"D-1": device("bus", 1, "0.5 s")})
            async with driving(loaded) as drivers:
                begun = asyncio.get_running_loop().time()
                await until(lambda: len(server.connections) >= 4)
                assert asyncio.get_running_loop().time() - begun > 3 * 0.8 * 0.05
                await until(drivers.readings.all_bad)
                server.greeting = None
                await until(lambda: drivers.readings.is_good("D-1.level", 0))

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


async def test_a_new_connection_does_not_begin_with_the_ids_of_the_last(tmp_path: Path) -> None:
    """A gateway may still hold replies to requests of the connection before."""
    async with fault_server() as server:
        loaded = site_of(tmp_path, {"bus": tcp_link(server.port, **PATIENCE)}, {"D-1": device("bus", 1)})
        first = []
        async with driving(loaded) as drivers:
            for _ in range(4):
                await drivers.readings.more("D-1.level", 1)
                first.append(server.devices.requests[0].transaction)
                server.devices.requests.clear()
                server.hang_up()
                await until(lambda: bool(server.devices.requests))
        assert len(set(first)) > 1


# -- being stopped --------------------------------------------------------------------------------------------------

STEPS = 40
"""Loop steps after which a link of any kind is at work."""


def left_over(loop: asyncio.AbstractEventLoop) -> list[object]:
    """Tasks and timers that still wait."""
    tasks = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
    scheduled: list[asyncio.TimerHandle] = getattr(loop, "_scheduled")  # noqa: B009 - a private name
    return [*tasks, *(timer for timer in scheduled if not timer.cancelled())]


@pytest.mark.parametrize("kind", ["tcp", "tls", "converter", "serial", "per-cycle", "refused"])
def test_a_driver_can_be_stopped_at_every_moment_and_leaves_nothing_behind(tmp_path: Path, kind: str) -> None:
    authority = Authority(tmp_path)
    identity = authority.issue("meter", "127.0.0.1")
    failures: list[dict[str, Any]] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: failures.append(context))
        tls = server_tls(identity.cert, identity.key) if kind == "tls" else None
        server = FaultServer(framing="rtu" if kind == "converter" else "tcp", tls=tls)
        line = FaultLine(server.devices)
        if kind != "refused":
            await server.open()
        links: dict[str, dict[str, object]] = {
            "tls": tcp_link(server.port, tls={"ca_file": str(authority.file)}),
            "converter": tcp_link(server.port, framing="rtu"),
            "serial": {"type": "modbus-rtu", "port": line.path, "baudrate": 115200},
            "per-cycle": tcp_link(server.port, connection="per-cycle"),
        }
        link = links.get(kind, tcp_link(server.port))
        loaded = site_of(tmp_path, {"bus": link}, {"D-1": device("bus", 1, "10 ms")})
        await asyncio.sleep(0.01)
        descriptors = len(os.listdir("/proc/self/fd"))
        for steps in range(STEPS):
            [bus] = open_links(loaded, lambda indices, samples: None, lambda event: None, tmp_path)
            running = asyncio.create_task(bus.run())
            for _ in range(steps):
                await asyncio.sleep(0)
            written = bus.write(loaded.signals["D-1.setpoint"].index, 7)
            await asyncio.sleep(0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert written.done()
            for _ in range(10):
                await asyncio.sleep(0)
            assert left_over(loop) == [], steps
        await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
        if kind not in ("refused", "serial"):
            assert server.devices.requests
        line.close()
        server.close()

    with asyncio.Runner(debug=True) as runner:
        runner.run(story())
    gc.collect()
    # The server is in the same loop, and tells of a client that hung up in the middle of shaking hands.
    assert [failure for failure in failures if "incoming connection" not in failure["message"]] == []
