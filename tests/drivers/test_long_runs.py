"""What only shows after hours, or when things overlap: in virtual time, on one link."""

import asyncio
import time
from pathlib import Path

import pytest

from config.sample import Quality, Reason
from drivers.modbus.transaction import Outcome
from tests.drivers.fault_devices import Replier, Request, fault_server
from tests.drivers.sites import Fields, device, driving, site_of, tcp_link
from tests.drivers.test_bus import FOREVER_S
from tests.drivers.test_bus_by_hand import FIRST, bus_of
from tests.drivers.test_quirks import SERIAL, UNIT_BY_CODE, profile
from tests.drivers.virtual import World
from tests.hil_sim.sites import until

HOUR_S = 3600.0
TWO: Fields = {"a": {"table": "holding", "address": 0}, "b": {"table": "holding", "address": 40, "type": "float32"}}


@pytest.mark.parametrize("refusal", [b"\x83\x02", None])
def test_a_register_that_is_not_there_may_be_asked_for_years(world: World, refusal: bytes | None) -> None:
    """Each time in vain it is left alone for longer; after a thousand times that is no number a float can hold."""
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "10 s", profile(TWO))})

    async def story() -> None:
        far = world["bus"].devices

        def answer(request: Request, to: Replier) -> None:
            reply = far.answer(request) if request.address == 0 else refusal
            if reply is not None:
                to.reply(request, reply)

        far.behave(answer)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(20 * HOUR_S)
            assert len(drivers.readings.of["D-1.a"]) > 0.99 * 20 * HOUR_S / 10
            assert len(far.to(1, 3, 40)) > 1100

    world.run(story)


def test_a_unit_that_is_commanded_while_it_is_down_is_found_as_soon_as_it_is_back(world: World) -> None:
    setpoint: Fields = {"setpoint": {"table": "holding", "address": 0, "writable": True}}
    devices = {"D-1": device("bus", 1, "1 s", profile(setpoint)), "D-3": device("bus", 3, "1 s", profile(TWO))}
    loaded = world.site({"bus": SERIAL}, devices)

    async def story() -> None:
        far = world["bus"].devices
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            far.behave(lambda r, to: to.reply(r, far.answer(r)) if r.unit == 3 else None)
            for demand in range(1800):
                drivers.write("D-1.setpoint", demand)
                await asyncio.sleep(1)
            far.behave(None)
            await until(lambda: drivers.readings.is_good("D-1.setpoint", 0), 20)

    world.run(story)


def test_a_slow_poll_that_is_lost_does_not_wait_for_its_next_turn(world: World) -> None:
    loaded = world.site({"bus": SERIAL}, {"D-1": device("bus", 1, "600 s", profile(TWO))})

    async def story() -> None:
        far = world["bus"].devices
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(30)
            lost = iter([True])
            far.behave(lambda r, to: None if next(lost, False) else to.reply(r, far.answer(r)))
            await asyncio.sleep(600)
            [lost_at] = {sample.received for sample in drivers.readings.of["D-1.a"] if sample.quality is Quality.BAD}
            assert any(0 < sample.received - lost_at < 5 for sample in drivers.readings.of["D-1.a"] if sample.good)

    world.run(story)


def test_a_code_that_can_be_read_no_more_says_nothing_of_other_readings(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "10 s", profile(UNIT_BY_CODE))})

    async def story() -> None:
        far = world["bus"].devices
        far.registers[1, 0] = 36
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(30)
            assert drivers.readings.is_good("D-1.flow", 36)
            far.behave(lambda r, to: to.reply(r, b"\x83\x02" if r.address == 40 else far.answer(r)))
            await asyncio.sleep(5 * HOUR_S)
            last = drivers.readings.last("D-1.flow")
            assert last is not None
            assert last.reason is Reason.NOT_YET_READ

    world.run(story)


def test_what_was_read_before_a_write_is_not_shown_after_it(world: World) -> None:
    """With two requests under way the reply to the earlier one may come last."""
    setpoint: Fields = {"setpoint": {"table": "holding", "address": 0, "writable": True}}
    link = tcp_link(502, in_flight=2, timeout="1 s")
    loaded = world.site({"bus": link}, {"D-1": device("bus", 1, "5 s", profile(setpoint))})

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(12)
            slow = iter([True])

            def answer(request: Request, to: Replier) -> None:
                reply = far.answer(request)
                if request.function == 3 and next(slow, False):
                    loop.call_later(0.5, to.reply, request, reply)
                else:
                    to.reply(request, reply)

            far.behave(answer)
            before = len(far.requests)
            await until(lambda: len(far.requests) > before)
            assert (await drivers.write("D-1.setpoint", 7)).ok
            await asyncio.sleep(4)
            values = drivers.readings.values("D-1.setpoint")
            assert values[values.index(7.0) :] == [7.0] * len(values[values.index(7.0) :])

    world.run(story)


def test_a_connection_for_each_round_is_one_for_each_round(world: World) -> None:
    link = tcp_link(502, connection="per-cycle")
    devices = {f"D-{unit}": device("bus", unit, "5 s", profile(TWO)) for unit in (1, 2)}
    loaded = world.site({"bus": link}, devices)

    async def story() -> None:
        async with driving(loaded, FOREVER_S):
            await asyncio.sleep(101)
            assert len(world["bus"].wires) == pytest.approx(21, abs=1)

    world.run(story)


def test_on_a_link_whose_one_unit_answers_as_any_no_other_is_asked(world: World) -> None:
    loaded = world.site({"bus": SERIAL}, {"D-1": device("bus", 1) | {"accept_any_unit": True}})

    async def story() -> None:
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(2)
            refused = await bus_of(drivers).ask(2, FIRST.ask)
            assert refused.outcome is Outcome.LOST
            assert b"unit 1" in refused.pdu
            assert not world["bus"].devices.to(2)

    world.run(story)


async def test_a_reply_that_lay_in_the_socket_while_the_process_stood_still_is_too_late(tmp_path: Path) -> None:
    async with fault_server() as server:
        link = tcp_link(server.port, timeout="0.1 s")
        loaded = site_of(tmp_path, {"bus": link}, {"D-1": device("bus", 1, "60 s", profile(TWO))})
        loop = asyncio.get_running_loop()

        def answer(request: Request, to: Replier) -> None:
            to.reply(request, server.devices.answer(request))
            loop.call_soon(time.sleep, 0.5)

        server.devices.behave(answer)
        async with driving(loaded) as drivers:
            await until(lambda: bool(drivers.readings.of["D-1.a"]))
            assert drivers.readings.is_bad("D-1.a")
