"""What a person asks of a bus that is polled: between the polls, and without harm to what is said of its devices."""

import asyncio
from pathlib import Path

import pytest

from config.encoding import Table
from config.errors import DeviceError
from drivers.modbus.bus import ModbusBus
from drivers.modbus.procedure import Ask
from drivers.modbus.raw import Place
from drivers.modbus.transaction import Outcome
from tests.drivers.fault_devices import FaultServer, Replier, Request, fault_server
from tests.drivers.sites import Drivers, device, driving, site_of, tcp_link
from tests.hil_sim.sites import until

FIRST = Place(Table.HOLDING, 0, 1)


def bus_of(drivers: Drivers) -> ModbusBus:
    bus = drivers.links["bus"]
    assert isinstance(bus, ModbusBus)
    return bus


def only_unit_1(server: FaultServer) -> None:
    def behave(request: Request, replier: Replier) -> None:
        if request.unit == 1:
            replier.reply(request, server.devices.answer(request))

    server.devices.registers[1, 0] = 42
    server.devices.behave(behave)


async def test_a_unit_that_the_site_does_not_list_can_be_asked(tmp_path: Path) -> None:
    async with fault_server() as server:
        server.devices.registers[7, 0] = 99
        async with driving(site_of(tmp_path, {"bus": tcp_link(server.port)}, {"D-1": device("bus", 1)})) as drivers:
            await until(lambda: drivers.links["bus"].status().connected)
            result = await bus_of(drivers).ask(7, FIRST.ask)
    assert (result.outcome, result.pdu.hex(" ")) == (Outcome.REPLY, "03 02 00 63")


async def test_the_silence_of_strangers_neither_ends_the_connection_nor_spoils_a_device(tmp_path: Path) -> None:
    async with fault_server() as server:
        only_unit_1(server)
        async with driving(site_of(tmp_path, {"bus": tcp_link(server.port)}, {"D-1": device("bus", 1)})) as drivers:
            await until(lambda: drivers.readings.is_good("D-1.level", 42))
            for unit in (20, 21, 22, 23):
                assert (await bus_of(drivers).ask(unit, FIRST.ask)).outcome is Outcome.TIMEOUT
            await drivers.readings.more("D-1.level")
            assert all(sample.good for sample in drivers.readings.of["D-1.level"])
            status = drivers.links["bus"].status()
            assert status.connects == 1
            assert list(status.devices) == ["D-1"]
            assert status.devices["D-1"].timeouts == 0


async def test_what_a_device_says_nothing_to_does_not_take_it_down(tmp_path: Path) -> None:
    async with fault_server() as server:

        def behave(request: Request, replier: Replier) -> None:
            if request.function != 4:
                replier.reply(request, server.devices.answer(request))

        server.devices.registers[1, 0] = 42
        server.devices.behave(behave)
        async with driving(site_of(tmp_path, {"bus": tcp_link(server.port)}, {"D-1": device("bus", 1)})) as drivers:
            await until(lambda: drivers.readings.is_good("D-1.level", 42))
            for address in range(4):
                result = await bus_of(drivers).ask(1, Place(Table.INPUT, address, 1).ask)
                assert result.outcome is Outcome.TIMEOUT
            await drivers.readings.more("D-1.level")
            assert all(sample.good for sample in drivers.readings.of["D-1.level"])
            status = drivers.links["bus"].status()
            assert (status.connects, status.devices["D-1"].online, status.devices["D-1"].timeouts) == (1, True, 0)


async def test_a_refusal_that_a_person_got_is_no_fault_of_the_device(tmp_path: Path) -> None:
    async with fault_server() as server:

        def behave(request: Request, replier: Replier) -> None:
            replier.reply(request, b"\x84\x02" if request.function == 4 else server.devices.answer(request))

        server.devices.behave(behave)
        async with driving(site_of(tmp_path, {"bus": tcp_link(server.port)}, {"D-1": device("bus", 1)})) as drivers:
            await until(lambda: drivers.readings.is_good("D-1.level", 0))
            result = await bus_of(drivers).ask(1, Place(Table.INPUT, 0, 1).ask)
            assert result.outcome is Outcome.EXCEPTION
            status = drivers.links["bus"].status().devices["D-1"]
            assert (status.exceptions, status.last_error) == (0, "")


async def test_a_link_that_is_down_says_so_at_once(tmp_path: Path) -> None:
    async with fault_server() as server:
        port = server.port
    async with driving(site_of(tmp_path, {"bus": tcp_link(port)}, {"D-1": device("bus", 1)})) as drivers:
        async with asyncio.timeout(2):
            result = await bus_of(drivers).ask(7, FIRST.ask)
        assert result.outcome is Outcome.LOST
        assert b"link bus is down" in result.pdu


async def test_nothing_is_written_by_the_way_of_a_question(tmp_path: Path) -> None:
    async with fault_server() as server:
        loaded = site_of(tmp_path, {"bus": tcp_link(server.port)}, {"D-1": device("bus", 1)})
        async with driving(loaded) as drivers:
            await drivers.readings.more("D-1.level")
            with pytest.raises(DeviceError, match="function 06 is no read"):
                bus_of(drivers).ask(1, Ask(bytes.fromhex("06 0063 0007"), b"\x06", 5))
            await drivers.readings.more("D-1.level")
    assert (1, 0x63) not in server.devices.registers
