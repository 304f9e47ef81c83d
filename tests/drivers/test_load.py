"""How much of a serial line the planned polls take."""

from pathlib import Path

import pytest

from config.load import LoadedSite
from drivers.modbus.load import serial_loads
from tests.drivers.sites import device, site_of, tcp_link

ONE = {"protocol": "modbus", "signals": {"flow": {"table": "holding", "address": 0, "type": "float32"}}}
HEAVY = {
    "protocol": "modbus",
    "signals": {"text": {"table": "holding", "address": 0, "type": "string", "length": 125}},
}


def bench(folder: Path, baudrate: int = 9600, **link: object) -> LoadedSite:
    line = {"type": "modbus-rtu", "port": "/dev/ttyS1", "baudrate": baudrate} | link
    return site_of(
        folder,
        {"line": line, "net": tcp_link(502)},
        {
            "LIGHT": device("line", 1, "1 s", ONE),
            "HEAVY": device("line", 2, "0.5 s", HEAVY),
            "ELSEWHERE": device("net", 1, "10 ms", HEAVY),
        },
    )


def test_the_load_is_what_the_frames_take_on_the_line(tmp_path: Path) -> None:
    [load] = serial_loads(bench(tmp_path))
    assert [one.device for one in load.devices] == ["HEAVY", "LIGHT"]
    heavy, light = load.devices
    # 8 bytes of request, 255 of reply, 11 bits each; 3.5 characters of silence before both; 20 ms to think.
    assert heavy.share == pytest.approx(2 * (263 * 11 / 9600 + 2 * 0.005 + 0.02), rel=0.05)
    assert light.share == pytest.approx(17 * 11 / 9600 + 2 * 0.005 + 0.02, rel=0.05)
    assert (heavy.requests, heavy.fastest) == (2.0, 0.5)
    assert load.share == pytest.approx(heavy.share + light.share)


def test_a_faster_line_is_less_loaded_and_a_line_behind_a_gateway_counts(tmp_path: Path) -> None:
    [slow], [fast] = serial_loads(bench(tmp_path)), serial_loads(bench(tmp_path, 115200))
    assert fast.share < slow.share / 5
    behind = site_of(tmp_path, {"gw": tcp_link(502, line={"baudrate": 9600})}, {"LIGHT": device("gw", 1, "1 s", ONE)})
    [load] = serial_loads(behind)
    assert load.devices[0].share == pytest.approx(slow.devices[1].share)
