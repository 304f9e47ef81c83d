"""``penstock-sim serve`` as a process: from the ready line to a clean end, and every control operation."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pymodbus.client import ModbusTcpClient

from config.link import ModbusRtuLink, ModbusTcpLink, OpcUaLink
from config.load import load_site
from tests.hil_sim.certificates import Authority
from tests.hil_sim.sites import SITES

READY_S = 20.0
REPLY_S = 5.0


class Served:
    """A running ``penstock-sim`` and its control channel."""

    def __init__(self, site: Path, out: Path, *options: str) -> None:
        self.out = out
        self.control = out.parent / "control.sock"
        command = [sys.executable, "-m", "hil_sim", "serve", str(site), "--site-out", str(out)]
        self.process = subprocess.Popen(
            [*command, "--control", str(self.control), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        # The pipe has no deadline of its own: a process that is never ready is ended after READY_S.
        signal.signal(signal.SIGALRM, lambda *_: self.process.kill())
        signal.setitimer(signal.ITIMER_REAL, READY_S)
        line = self.process.stdout.readline()
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert line, self.process.communicate()[1]
        self.ready = json.loads(line)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(REPLY_S)
        self._socket.connect(str(self.control))
        self._lines = self._socket.makefile("rw", encoding="utf-8")

    def raw(self, line: str) -> dict[str, Any]:
        self._lines.write(line + "\n")
        self._lines.flush()
        reply: dict[str, Any] = json.loads(self._lines.readline())
        return reply

    def call(self, op: str, **fields: object) -> dict[str, Any]:
        reply = self.raw(json.dumps({"op": op, **fields}))
        assert reply["ok"], reply
        return reply

    def refused(self, op: str, **fields: object) -> str:
        reply = self.raw(json.dumps({"op": op, **fields}))
        assert reply["ok"] is False
        error = reply["error"]
        assert isinstance(error, str)
        return error

    def until(self, condition: Callable[[dict[str, Any]], bool], deadline_s: float = 5.0) -> dict[str, Any]:
        """The first state that meets ``condition``."""
        end_s = time.monotonic() + deadline_s
        while time.monotonic() < end_s:
            state = self.call("state")
            if condition(state):
                return state
            time.sleep(0.02)
        raise AssertionError(f"not within {deadline_s} s: {state}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self._lines.close()
        self._socket.close()
        self.process.send_signal(number)
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()
            self.process.communicate()


def quick_fill_station(folder: Path) -> Path:
    """The example site with a faster valve and a shorter watchdog, so that a fill fits into a test."""
    data = yaml.safe_load((SITES / "fill-station.yaml").read_text(encoding="utf-8"))
    data["valves"]["XV-101"]["travel"] = "1 s"
    data["devices"]["RIO-101"]["profile"]["watchdog"]["timeout"] = "0.8 s"
    path = folder / "quick.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def fill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("fill")
    served = Served(quick_fill_station(folder), folder / "deep" / "site.yaml", "--seed", "7")
    yield served
    assert served.stop() == 0
    assert not served.control.exists()


def test_ready_line_and_site_file_lead_to_the_simulator(fill: Served) -> None:
    assert fill.ready == {"ready": True, "site": str(fill.out), "control": str(fill.control)}
    original, copy = load_site(fill.out.parents[1] / "quick.yaml"), load_site(fill.out)
    io, field, plc = (copy.site.links[name] for name in ("io", "field", "plc"))
    assert isinstance(io, ModbusTcpLink)
    assert isinstance(field, ModbusRtuLink)
    assert isinstance(plc, OpcUaLink)
    assert (io.host, field.baudrate, io.timeout) == ("127.0.0.1", 19200, 0.5)
    assert Path(field.port).is_char_device()
    assert plc.url.startswith("opc.tcp://127.0.0.1:")
    assert copy.site.model_dump(exclude={"links"}) == original.site.model_dump(exclude={"links"})
    assert not list(fill.out.parent.glob(".*"))


def test_state_shows_every_signal_and_good_water(fill: Served) -> None:
    state = fill.call("state")
    assert set(state["signals"]) == {signal.name for signal in load_site(fill.out).signals.field}
    assert 2 <= state["truth"]["water"]["turbidity"] <= 3
    assert state["signals"]["AIT-102.flag"] == 0
    assert abs(state["signals"]["AIT-102.result_time"] - time.time()) < 30
    assert abs(state["truth"]["now_s"] - time.time()) < 1
    assert state["signals"]["RIO-101.zsc_101"] is True


def test_upset_reaches_the_probe_and_calms_again(fill: Served) -> None:
    fill.call("upset", parameter="turbidity", value=12.0, ramp_s=0.2)
    state = fill.until(lambda s: s["signals"]["AIT-101.turbidity"] > 8)
    assert state["truth"]["upsets"] == ["turbidity"]
    fill.call("calm", parameter="turbidity")
    fill.until(lambda s: s["signals"]["AIT-101.turbidity"] < 8)
    fill.call("upset", parameter="ph", value=4.0, for_s=0.1)
    fill.until(lambda s: s["truth"]["upsets"] == [])


def test_analyzer_publishes_when_told(fill: Served) -> None:
    before = fill.call("state")["signals"]["AIT-102.result_time"]
    fill.call("analyzer", device="AIT-102", value=45.0, flag=0)
    signals = fill.call("state")["signals"]
    assert (signals["AIT-102.cod"], signals["AIT-102.flag"]) == (45.0, 0)
    assert signals["AIT-102.result_time"] > before
    fill.call("analyzer", device="AIT-103", flag=2, alarm=1)
    signals = fill.call("state")["signals"]
    assert (signals["AIT-103.flag"], signals["AIT-103.alarm"]) == (2, 1)
    fill.call("analyzer", device="AIT-101", error=255)
    assert fill.call("state")["signals"]["AIT-101.error"] == 255
    fill.call("analyzer", device="AIT-101", error=0)


def test_analyzers_can_be_sped_up(fill: Served) -> None:
    results = fill.call("state")["truth"]["results"]
    fill.call("speed", factor=7200)
    fill.until(lambda s: all(s["truth"]["results"][tag] > results[tag] for tag in results))
    fill.call("speed", factor=1)


def test_level_is_set_and_booked(fill: Served) -> None:
    fill.call("level", value=0.4)
    tank = fill.call("state")["truth"]["tank"]
    assert tank["level_m"] == pytest.approx(0.4, abs=0.001)
    fill.until(lambda s: s["signals"]["PLC-100.level"] < 0.5)
    fill.call("level", value=3.0)


def test_a_fill_through_the_wire_with_a_stuck_valve_and_a_tripped_pump(fill: Served) -> None:
    io = load_site(fill.out).site.links["io"]
    assert isinstance(io, ModbusTcpLink)
    client = ModbusTcpClient(io.host, port=io.port, timeout=2)
    assert client.connect()  # type: ignore[no-untyped-call]
    began_ns = fill.call("state")["t_ns"]

    def polled(condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def poll(state: dict[str, Any]) -> bool:
            client.read_discrete_inputs(0, count=3, device_id=1)
            return condition(state)

        return fill.until(poll)

    client.write_coils(16, [True, True], device_id=1)
    polled(lambda s: s["truth"]["valves"]["XV-101"]["opening_percent"] > 10)
    fill.call("valve", tag="XV-101", stuck=True)
    stuck = fill.call("state")["truth"]["valves"]["XV-101"]
    polled(lambda s: s["truth"]["pumps"]["P-101"]["speed"] == 1.0)
    assert fill.call("state")["truth"]["valves"]["XV-101"] == stuck
    fill.call("valve", tag="XV-101", stuck=False)
    state = polled(lambda s: s["signals"]["RIO-101.zso_101"])
    assert state["signals"]["FIT-101.flow"] == pytest.approx(60, rel=0.05)
    fill.call("pump", tag="P-101", tripped=True)
    polled(lambda s: not s["signals"]["RIO-101.yl_101"])
    fill.call("pump", tag="P-101", tripped=False)
    polled(lambda s: s["signals"]["RIO-101.yl_101"])
    # Nobody polls any more: the remote I/O drops its outputs, pump and valve go home.
    state = fill.until(lambda s: s["signals"]["RIO-101.zsc_101"])
    client.close()  # type: ignore[no-untyped-call]
    assert state["watchdogs"] == {"RIO-101": True}
    assert state["signals"]["RIO-101.xv_101"] is False
    truth = state["truth"]
    assert truth["dispensed_m3"]["FIT-101"] > 0.03
    tank = truth["tank"]
    balance = tank["volume_m3"] + tank["drawn_m3"] + tank["overflow_m3"] - tank["inflow_m3"] - tank["adjusted_m3"]
    assert balance == pytest.approx(450.0, abs=1e-9)
    writes = fill.call("wire", since_ns=began_ns, kind="write")["events"]
    assert [event["signals"] for event in writes] == [{"RIO-101.xv_101": True, "RIO-101.p_101": True}]
    switches = fill.call("wire", since_ns=began_ns, signal="RIO-101.zso_101", limit=5000)["events"]
    assert any(event["signals"]["RIO-101.zso_101"] for event in switches)


def test_requests_that_make_no_sense_are_refused_in_words(fill: Served) -> None:
    assert "no operation 'dance'" in fill.refused("dance")
    assert "AIT-102" in fill.refused("analyzer", device="AIT-999", value=1)
    assert "turbidity" in fill.refused("upset", parameter="colour", value=1)
    assert "XV-101" in fill.refused("valve", tag="XV-1", stuck=True)
    assert "P-101" in fill.refused("pump", tag="P-1", tripped=True)
    assert "5.5" in fill.refused("level", value=9)
    assert "io" in fill.refused("refuse", link="nowhere", on=True)
    assert "true or false" in fill.refused("silence", device="AIT-102", on=1)
    assert "number" in fill.refused("upset", parameter="ph", value="high")
    assert "valve or pump" in fill.refused("follow", name="RIO-101.zso_101", on=False)
    assert "no Modbus device 'PLC-100'" in fill.refused("fault", device="PLC-100", name="late", on=True)
    assert "here can be: none" in fill.refused("fault", link="plc", name="late", on=True)
    assert "upset" in fill.refused("set", name="AIT-101.turbidity", value=3)
    assert fill.raw("not json")["code"] == "bad-request"
    assert fill.raw("[]")["code"] == "bad-request"
    assert fill.raw("{}")["code"] == "bad-request"
    assert fill.call("state")["ok"]


def test_the_fill_station_is_served_as_it_ships(tmp_path: Path) -> None:
    served = Served(SITES / "fill-station.yaml", tmp_path / "site.yaml")
    try:
        assert load_site(served.out).site.valves == load_site(SITES / "fill-station.yaml").site.valves
        assert served.call("state")["signals"]["RIO-101.zsc_101"] is True
    finally:
        assert served.stop() == 0


def test_plant_outlet_is_served_and_ends_on_interrupt(tmp_path: Path) -> None:
    served = Served(SITES / "plant-outlet.yaml", tmp_path / "site.yaml", "--analyzer-interval", "0.5")
    try:
        loaded = load_site(served.out)
        link, bus = loaded.site.links["valves"], loaded.site.links["field"]
        assert isinstance(link, ModbusTcpLink)
        assert isinstance(bus, ModbusRtuLink)
        terminal = os.open(bus.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        client = ModbusTcpClient(link.host, port=link.port, timeout=2)
        client.write_register(6, 500, device_id=1)
        state = served.until(lambda s: s["signals"]["FCV-201.position"] > 2)
        assert client.read_holding_registers(0, count=1, device_id=1).registers == [0x20]
        assert client.write_register(6, 1001, device_id=1).exception_code == 3
        client.close()  # type: ignore[no-untyped-call]
        assert state["signals"]["FIT-201.flow"] > 0
        assert state["signals"]["FIT-202.flow"] == 0
        served.until(lambda s: s["truth"]["results"]["AIT-202"] >= 3)
    finally:
        assert served.stop(signal.SIGINT) == 0
    # The name may already be another process's terminal; this one has hung up.
    with pytest.raises(OSError, match="Input/output"):
        os.write(terminal, b"?")
    os.close(terminal)


def test_a_profile_beside_the_site_is_found_from_the_copy(tmp_path: Path) -> None:
    (tmp_path / "box.yaml").write_text(
        yaml.safe_dump({"protocol": "modbus", "signals": {"x": {"table": "holding", "address": 1}}})
    )
    site = {
        "site": {"id": "own"},
        "links": {"io": {"type": "modbus-tcp", "host": "192.0.2.1"}},
        "devices": {f"D-{n}": {"link": "io", "unit": n, "profile": "box"} for n in (1, 2)},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(site))
    served = Served(tmp_path / "own.yaml", tmp_path / "elsewhere" / "site.yaml")
    try:
        assert {signal.name for signal in load_site(served.out).signals.field} == {"D-1.x", "D-2.x"}
        served.call("set", name="D-2.x", value=7)
        link = load_site(served.out).site.links["io"]
        assert isinstance(link, ModbusTcpLink)
        client = ModbusTcpClient(link.host, port=link.port, timeout=2)
        assert client.read_holding_registers(1, count=1, device_id=2).registers == [7]
        client.close()  # type: ignore[no-untyped-call]
        assert "text" in served.refused("set", name=5, value=7)
        assert "no signal" in served.refused("set", name="D-9.x", value=7)
        assert "no value" in served.refused("set", name="D-1.x", value=None)
        assert "no station model" in served.refused("upset", parameter="turbidity", value=7)
    finally:
        assert served.stop() == 0


def test_a_link_with_tls_is_served_with_the_certificate_that_is_given(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue("plc.example", "127.0.0.1"), authority.issue("gateway")
    link = {"type": "modbus-tcp", "host": "plc.example", "port": 802, "tls": {"ca_file": str(authority.file)}}
    profile = {"protocol": "modbus", "signals": {"x": {"table": "holding", "address": 1}}}
    site = {
        "site": {"id": "own"},
        "links": {"io": link},
        "devices": {"D": {"link": "io", "unit": 1, "profile": profile}},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(site))
    certificate = ["--tls-cert", str(server.cert), "--tls-key", str(server.key), "--tls-client-ca", str(authority.file)]
    served = Served(tmp_path / "own.yaml", tmp_path / "site.yaml", *certificate)
    try:
        served.call("set", name="D.x", value=7)
        served.call("fault", device="D", name="wrong-unit", on=True, unit=9)
        assert served.call("state")["faults"] == {"D": {"wrong-unit": {"unit": 9}}}
        context = ssl.create_default_context(cafile=str(authority.file))
        context.load_cert_chain(client.cert, client.key)
        copy = load_site(served.out).site.links["io"]
        assert isinstance(copy, ModbusTcpLink)
        with (
            socket.create_connection((copy.host, copy.port), 5) as plain,
            context.wrap_socket(plain, server_hostname=copy.host) as wire,
        ):
            wire.sendall(bytes.fromhex("0001 0000 0006 01 03 0001 0001"))
            assert wire.recv(64) == bytes.fromhex("0001 0000 0005 09 03 02 0007")
    finally:
        assert served.stop() == 0


def test_half_of_a_tls_identity_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hil_sim", "serve", str(SITES / "fill-station.yaml"), "--tls-cert", "x.pem"]
    command += ["--site-out", str(tmp_path / "out.yaml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=READY_S)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--tls-cert and --tls-key go together" in done.stderr


def test_signals_that_no_model_provides_are_named(tmp_path: Path) -> None:
    data = yaml.safe_load((SITES / "fill-station.yaml").read_text(encoding="utf-8"))
    data["devices"]["AIT-101"]["profile"] = "cnemc-cod"
    del data["devices"]["AIT-101"]["signals"]
    data["dispensers"]["FILL-1"]["guards"].pop("turbidity")
    del data["interlocks"]["turbidity-disagrees"]
    site = tmp_path / "site.yaml"
    site.write_text(yaml.safe_dump(data), encoding="utf-8")
    command = [sys.executable, "-m", "hil_sim", "serve", str(site), "--site-out", str(tmp_path / "out.yaml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=READY_S)
    assert done.returncode == 1
    assert "AIT-101.cod (unknown to the model)" in done.stderr
    assert "--model generic" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out.yaml").exists()


def test_a_site_file_with_a_fault_ends_with_its_problems(tmp_path: Path) -> None:
    site, out = tmp_path / "none.yaml", tmp_path / "out.yaml"
    command = [sys.executable, "-m", "hil_sim", "serve", str(site), "--site-out", str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=READY_S)
    assert (done.returncode, done.stdout) == (1, "")
    assert "none.yaml" in done.stderr
