"""What the links of a site file can say: framing, TLS, the line behind, echo, turnaround, units that are none."""

import asyncio
import ssl
import termios
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from config.load import LoadedSite, load_site
from hil_sim.base_station import Settings
from hil_sim.errors import SimulatorError
from hil_sim.modbus_rtu import ModbusRtuServer
from hil_sim.modbus_tcp import ModbusTcpServer, ServerTls
from hil_sim.simulator import Simulator
from tests.hil_sim.certificates import Authority
from tests.hil_sim.sites import BENCH_PROFILE, bench_site, simulated, until
from tests.hil_sim.wires import Wire, connected, mbap, opened, rtu

TCP: dict[str, object] = {"type": "modbus-tcp", "host": "192.0.2.1"}
SERIAL: dict[str, object] = {"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 115200}
READ = "04 0005 0001"
READING = "04 02 0000"


def site_of(folder: Path, link: dict[str, object], devices: dict[str, dict[str, object]]) -> LoadedSite:
    """A site of one link ``bus`` with these devices of the bench's profile."""
    path = folder / "site.yaml"
    text = {
        "site": {"id": "bench"},
        "links": {"bus": link},
        "devices": {
            tag: {"link": "bus", "poll": "100 ms", "profile": BENCH_PROFILE} | more for tag, more in devices.items()
        },
    }
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    return load_site(path)


def port_of(simulator: Simulator) -> int:
    server = simulator.servers["bus"]
    assert isinstance(server, ModbusTcpServer)
    return server.port


def path_of(simulator: Simulator) -> str:
    server = simulator.servers["bus"]
    assert isinstance(server, ModbusRtuServer)
    return server.path


@asynccontextmanager
async def far_end(simulator: Simulator) -> AsyncIterator[Wire]:
    """The controller's end of the link, whatever it is."""
    if isinstance(simulator.servers["bus"], ModbusRtuServer):
        with opened(path_of(simulator)) as terminal:
            yield terminal
    else:
        async with connected(port_of(simulator)) as socket:
            yield socket


# -- RTU over TCP ----------------------------------------------------------------------------------------------


async def test_a_converter_passes_frames_in_pieces_and_together(tmp_path: Path) -> None:
    async with (
        simulated(bench_site(tmp_path, {**TCP, "framing": "rtu"})) as simulator,
        connected(port_of(simulator)) as wire,
    ):
        request, reply = rtu("02" + READ), rtu("02" + READING)
        wire.send(request[:3])
        await asyncio.sleep(0)
        wire.send(request[3:] + rtu("01" + READ))
        assert await wire.receive(2 * len(reply)) == reply + rtu("01" + READING)


async def test_a_converter_says_nothing_for_who_is_not_there(tmp_path: Path) -> None:
    async with (
        simulated(bench_site(tmp_path, {**TCP, "framing": "rtu"})) as simulator,
        connected(port_of(simulator)) as wire,
    ):
        wire.send(rtu("09" + READ))
        wire.send(bytes.fromhex("01 04 0005 0001 0000"))  # a wrong CRC: what follows at once is out of step
        server = simulator.servers["bus"]
        await until(lambda: server.counts == {"connections": 1, "bad_frames": 1})
        wire.send(rtu("01" + READ))
        assert await wire.receive(7) == rtu("01" + READING)
    assert server.counts == {"connections": 0, "bad_frames": 1}


async def test_a_broadcast_through_a_converter_is_obeyed_by_all(tmp_path: Path) -> None:
    async with (
        simulated(bench_site(tmp_path, {**TCP, "framing": "rtu"})) as simulator,
        connected(port_of(simulator)) as wire,
    ):
        wire.send(rtu("00 05 0010 FF00"))
        points = simulator.station.points
        await until(lambda: points["D-1.out0"].get() is True and points["D-2.out0"].get() is True)
        wire.send(rtu("01" + READ))
        assert await wire.receive(7) == rtu("01" + READING)


# -- the serial line behind ------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_the_line_behind_a_gateway_takes_its_time_one_by_one(tmp_path: Path, framing: str) -> None:
    link = {**TCP, "framing": framing, "line": {"baudrate": 2400}}
    async with simulated(bench_site(tmp_path, link)) as simulator:
        port = port_of(simulator)
        requests = [mbap(n, n, READ) if framing == "tcp" else rtu(f"0{n}" + READ) for n in (1, 2)]
        replies = [mbap(n, n, READING) if framing == "tcp" else rtu(f"0{n}" + READING) for n in (1, 2)]
        async with connected(port) as one, connected(port) as other:
            began_s = time.monotonic()
            one.send(requests[0])
            other.send(requests[1])
            assert await one.receive(len(replies[0])) == replies[0]
            assert await other.receive(len(replies[1])) == replies[1]
            took_s = time.monotonic() - began_s
    # 8 characters of request and 7 of reply each, of 11 bits.
    assert 2 * 15 * 11 / 2400 < took_s < 2 * 15 * 11 / 2400 + 0.3


@pytest.mark.parametrize("kind", ["serial", "converter"])
async def test_a_bus_does_not_hear_who_comes_before_its_turnaround(tmp_path: Path, kind: str) -> None:
    turnaround_s = 0.2
    settings: dict[str, object] = {"baudrate": 115200, "turnaround": f"{turnaround_s} s"}
    link = {**SERIAL, **settings} if kind == "serial" else {**TCP, "framing": "rtu", "line": settings}
    async with simulated(bench_site(tmp_path, link)) as simulator, far_end(simulator) as wire:
        for pause_s in (0.0, turnaround_s + 0.05):
            await asyncio.sleep(pause_s)
            wire.send(rtu("01" + READ))
            assert await wire.receive(7) == rtu("01" + READING)
            wire.send(rtu("01" + READ))
            assert await wire.quiet(0.02) == b""
        assert simulator.servers["bus"].counts["hurried"] == 2


# -- TLS -------------------------------------------------------------------------------------------------------


async def test_a_link_with_tls_lets_in_who_has_a_certificate(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    server, client = authority.issue("plc.example", "127.0.0.1"), authority.issue("gateway")
    forged = stranger.issue("forged")
    site = bench_site(tmp_path, {**TCP, "port": 802, "tls": {"ca_file": str(authority.file)}})
    tls = ServerTls(server.cert, server.key, authority.file)
    async with simulated(site, tls=tls) as simulator:
        good = ssl.create_default_context(cafile=str(authority.file))
        good.load_cert_chain(client.cert, client.key)
        async with connected(port_of(simulator), good) as wire:
            wire.send(mbap(1, 1, READ))
            assert await wire.receive(11) == mbap(1, 1, READING)
        bad = ssl.create_default_context(cafile=str(authority.file))
        bad.load_cert_chain(forged.cert, forged.key)
        for context in (bad, ssl.create_default_context(cafile=str(authority.file))):
            async with connected(port_of(simulator), context) as wire:
                # In TLS 1.3 the client learns only afterwards that it is not let in.
                wire.send(mbap(1, 1, READ))
                assert await wire.hung_up()
        foreign = ssl.create_default_context(cafile=str(stranger.file))
        with pytest.raises(ssl.SSLCertVerificationError):
            async with connected(port_of(simulator), foreign):
                pass
        async with connected(port_of(simulator)) as wire:
            wire.send(mbap(1, 1, READ))
            assert await wire.hung_up()


async def test_rtu_frames_go_through_tls_as_well(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("plc.example", "127.0.0.1")
    site = bench_site(tmp_path, {**TCP, "framing": "rtu", "tls": {"ca_file": str(authority.file)}})
    async with (
        simulated(site, tls=ServerTls(server.cert, server.key)) as simulator,
        connected(port_of(simulator), ssl.create_default_context(cafile=str(authority.file))) as wire,
    ):
        wire.send(rtu("01" + READ))
        assert await wire.receive(7) == rtu("01" + READING)


def test_a_link_with_tls_cannot_be_served_without_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    site = bench_site(tmp_path, {**TCP, "tls": {"ca_file": str(authority.file)}})
    with pytest.raises(SimulatorError, match="link 'bus' has tls; give --tls-cert"):
        Simulator(site, Settings())
    wrong = ServerTls(authority.file, tmp_path / "none.key")
    with pytest.raises(SimulatorError, match=r"none\.key"):
        Simulator(site, Settings(), tls=wrong)


# -- the terminal ----------------------------------------------------------------------------------------------


async def test_an_adapter_with_local_echo_hears_what_it_sends(tmp_path: Path) -> None:
    async with simulated(bench_site(tmp_path, {**SERIAL, "local_echo": True})) as simulator:
        with opened(path_of(simulator)) as line:
            request = rtu("01" + READ)
            line.send(request)
            assert await line.receive(15) == request + rtu("01" + READING)
            # Nobody answers: the echo comes all the same.
            line.send(rtu("09" + READ))
            assert await line.receive(8) == rtu("09" + READ)
            await simulator.request({"op": "fault", "link": "bus", "name": "collision", "on": True, "count": 1})
            line.send(request)
            changed = await line.receive(len(request))
            assert await line.quiet(0.03) == b""
            assert sum(a != b for a, b in zip(changed, request, strict=True)) == 1
            line.send(request)
            assert await line.receive(15) == request + rtu("01" + READING)


async def test_only_an_echo_can_collide(tmp_path: Path) -> None:
    async with simulated(bench_site(tmp_path, SERIAL)) as simulator:
        with pytest.raises(SimulatorError, match="'collision' is for a link with local_echo"):
            await simulator.request({"op": "fault", "link": "bus", "name": "collision", "on": True})


async def test_a_bus_at_another_speed_is_found_at_that_speed(tmp_path: Path) -> None:
    async with simulated(bench_site(tmp_path, {**SERIAL, "baudrate": 9600})) as simulator:
        fault = {"op": "fault", "link": "bus", "name": "wrong-speed", "on": True, "baudrate": 19200}
        await simulator.request(fault)
        with opened(path_of(simulator)) as line:
            for speed, heard in ((termios.B9600, False), (termios.B19200, True), (termios.B4800, False)):
                attributes = termios.tcgetattr(line.file)
                attributes[4] = attributes[5] = speed
                termios.tcsetattr(line.file, termios.TCSANOW, attributes)
                line.send(rtu("01" + READ))
                if heard:
                    assert await line.receive(7) == rtu("01" + READING)
                else:
                    assert await line.quiet(0.05) == b""
            await simulator.request({**fault, "on": False})
            line.send(rtu("01" + READ))
            assert await line.receive(7) == rtu("01" + READING)
        assert simulator.servers["bus"].counts["bad_frames"] == 2


# -- units that are none ---------------------------------------------------------------------------------------


async def test_a_probe_that_is_alone_may_answer_with_a_unit_of_its_own(tmp_path: Path) -> None:
    """Yunyi level probe: asked as unit 0 it answers as unit 2 (field notes, golden frames)."""
    profile = {"protocol": "modbus", "signals": {"level": {"table": "holding", "address": 4}}}
    probe: dict[str, object] = {"unit": 0, "accept_any_unit": True, "profile": profile}
    async with simulated(site_of(tmp_path, SERIAL, {"LIT-1": probe})) as simulator:
        await simulator.request({"op": "set", "name": "LIT-1.level", "value": 0x347D})
        with opened(path_of(simulator)) as line:
            line.send(bytes.fromhex("00 03 00 04 00 01 C4 1A"))
            assert await line.receive(7) == bytes.fromhex("02 03 02 34 7D 2A A5")
        wire = await simulator.request({"op": "wire", "signal": "LIT-1.level"})
        assert isinstance(wire["events"], list)
        assert [event["signals"] for event in wire["events"]] == [{"LIT-1.level": 0x347D}]


async def test_a_probe_asked_as_unit_0_answers_as_unit_0(tmp_path: Path) -> None:
    async with simulated(site_of(tmp_path, SERIAL, {"AIT-1": {"unit": 0}})) as simulator:
        with opened(path_of(simulator)) as line:
            line.send(rtu("00" + READ))
            assert await line.receive(7) == rtu("00" + READING)


@pytest.mark.parametrize("link", [SERIAL, TCP])
async def test_a_device_that_is_all_devices_is_obeyed_by_all_and_answers_nothing(
    tmp_path: Path, link: dict[str, object]
) -> None:
    devices: dict[str, dict[str, object]] = {
        "D-1": {"unit": 1},
        "D-2": {"unit": 2},
        "ALL": {"unit": 0, "broadcast_writes": True},
    }
    async with simulated(site_of(tmp_path, link, devices)) as simulator:
        points = simulator.station.points
        async with far_end(simulator) as wire:
            wire.send(rtu("00 06 0003 01F4") if link is SERIAL else mbap(1, 0, "06 0003 01F4"))
            await until(lambda: points["D-2.setpoint"].get() == 50)
            assert await wire.quiet(0.03) == b""
        assert [points[f"{tag}.setpoint"].get() for tag in devices] == [50.0, 50.0, 50.0]
        log = await simulator.request({"op": "wire"})
        assert isinstance(log["events"], list)
        assert sorted(event["device"] for event in log["events"]) == sorted(devices)


# -- actions ---------------------------------------------------------------------------------------------------


async def test_the_zero_register_write_and_the_malformed_reply_of_a_wiped_probe(tmp_path: Path) -> None:
    """Yosemitech: wipe is a write of no registers; start is a read whose reply says 0 bytes and brings 2."""
    profile = {
        "protocol": "modbus",
        "signals": {"turbidity": {"table": "holding", "address": 0x2602, "type": "float32", "order": "DCBA"}},
        "actions": {
            "wipe": {"request": "10 31 00 00 00 00", "reply": "10 31 00 00 00"},
            "start": {"request": "03 25 00 00 01", "reply": "03 00", "reply_bytes": 4},
        },
    }
    async with simulated(site_of(tmp_path, SERIAL, {"AIT-1": {"unit": 1, "profile": profile}})) as simulator:
        with opened(path_of(simulator)) as line:
            line.send(bytes.fromhex("01 10 31 00 00 00 00 74 94"))
            assert await line.receive(8) == bytes.fromhex("01 10 31 00 00 00 CE F5")
            line.send(rtu("01 03 2500 0001"))
            assert await line.receive(7) == rtu("01 03 00 00 00")
        state = await simulator.request({"op": "state"})
        assert state["actions"] == {"AIT-1": {"wipe": 1, "start": 1}}


async def test_an_action_of_another_function_is_cut_out_by_the_silence_behind_it(tmp_path: Path) -> None:
    profile = {
        "protocol": "modbus",
        "signals": {"level": {"table": "holding", "address": 0}},
        "actions": {"hello": {"request": "41 01 02 03", "reply": "41 99"}},
    }
    async with simulated(site_of(tmp_path, SERIAL, {"D-1": {"unit": 1, "profile": profile}})) as simulator:
        with opened(path_of(simulator)) as line:
            line.send(rtu("01 41 01 02 03"))
            assert await line.receive(5) == rtu("01 41 99")


@pytest.mark.parametrize(
    ("request_pdu", "reply_pdu"),
    [
        ("08 0000 A537", "08 0000 A537"),
        ("16 0003 FFFF 0000", "96 01"),
        ("17 0003 0001 0003 0002 04 0001 0002", "97 02"),
        ("17 0003 0001 0003 0001 02 0007", "17 02 0007"),
    ],
)
async def test_requests_of_every_length_are_cut_out_at_once(tmp_path: Path, request_pdu: str, reply_pdu: str) -> None:
    async with simulated(bench_site(tmp_path, SERIAL)) as simulator:
        with opened(path_of(simulator)) as line:
            reply = rtu("01" + reply_pdu)
            # Two in one: without its length, the first could not be told from the second.
            line.send(2 * rtu("01" + request_pdu))
            assert await line.receive(2 * len(reply)) == 2 * reply
