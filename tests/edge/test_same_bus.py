"""One bus by two spellings is one bus."""

import os
from pathlib import Path

import pytest

from config.link import ModbusRtuLink, ModbusTcpLink
from edge.cli.same_bus import same_host, same_port, shared_link


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("127.0.0.1", "127.1", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "2130706433", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("Gateway.invalid", "gateway.invalid", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "x" * 300, False),
    ],
)
async def test_a_host_is_known_by_its_addresses(one: str, other: str, same: bool) -> None:
    assert await same_host(one, other) is same
    assert await same_host(other, one) is same


def test_a_port_is_known_through_links_that_lead_to_it(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    try:
        path = os.ttyname(terminal)
        by_id = tmp_path / "usb-FTDI_with space"
        by_id.symlink_to(path)
        assert same_port(path, str(by_id))
        assert same_port(str(by_id), path)
        assert not same_port(path, "/dev/null")
        assert not same_port(path, "/dev/none")
    finally:
        os.close(controller)
        os.close(terminal)


async def test_the_link_of_a_controller_is_found_by_kind_port_and_place(tmp_path: Path) -> None:
    spaced = tmp_path / "my port"
    spaced.symlink_to("/dev/null")
    links = {
        "io": {"type": "modbus-tcp", "address": "127.0.0.1:502"},
        "far": {"type": "modbus-tcp", "address": "::1:503"},
        "field": {"type": "modbus-rtu", "address": f"{spaced} 9600 8N1"},
        "plc": {"type": "opcua", "address": "opc.tcp://127.0.0.1:504"},
    }

    async def shared(host: str, port: int) -> str | None:
        return await shared_link({"links": links}, ModbusTcpLink(type="modbus-tcp", host=host, port=port))

    assert await shared("127.1", 502) == "io"
    assert await shared("localhost", 502) == "io"
    assert await shared("::1", 503) == "far"
    assert await shared("127.0.0.1", 503) is None
    assert await shared("127.0.0.1", 504) is None
    assert await shared_link({"links": links}, ModbusRtuLink(type="modbus-rtu", port="/dev/null")) == "field"
    assert await shared_link(None, ModbusRtuLink(type="modbus-rtu", port="/dev/null")) is None
