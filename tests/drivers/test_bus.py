"""A bus in virtual time: who is asked when, and what becomes of the answers."""

import asyncio
from itertools import pairwise

import pytest

from tests.drivers.fault_devices import Behaviour, Devices
from tests.drivers.sites import device, driving, tcp_link
from tests.drivers.virtual import World

FOREVER_S = 1e8
"""Of virtual time: a story ends by itself."""


def only(devices: Devices, *units: int) -> Behaviour:
    """These units answer, no others."""
    return lambda request, to: to.reply(request, devices.answer(request)) if request.unit in units else None


# -- units that do not answer ---------------------------------------------------------------------------------------


def test_a_unit_that_answers_more_slowly_after_its_restart_is_found_again(world: World) -> None:
    devices = {f"D-{unit}": device("bus", unit, "1 s") for unit in (1, 2)}
    loaded = world.site({"bus": tcp_link(502, timeout="1 s", retry="1 s")}, devices)

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            far.behave(only(far, 2))
            await asyncio.sleep(20)
            assert drivers.readings.all_bad("D-1")

            far.behave(lambda r, to: loop.call_later(0.3 if r.unit == 1 else 0.0, to.reply, r, far.answer(r)))
            await asyncio.sleep(400)
            assert drivers.readings.is_good("D-1.level", 0)
            assert drivers.readings.is_good("D-2.level", 0)

    world.run(story)


HOLES = [
    pytest.param({"type": "modbus-tcp", "host": "127.0.0.1"}, id="tcp"),
    pytest.param({"type": "modbus-tcp", "host": "127.0.0.1", "framing": "rtu"}, id="converter"),
    pytest.param({"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 9600}, id="serial"),
]


@pytest.mark.parametrize("link", HOLES)
@pytest.mark.parametrize("alive", [10, 30])
def test_registers_that_are_met_with_silence_take_neither_their_unit_nor_the_link_down(
    world: World, link: dict[str, object], alive: int
) -> None:
    """The device says nothing to its smallest registers, and to two blocks that are asked one after the other."""
    loaded = world.site({"bus": link | {"timeout": "0.2 s", "retry": "1 s"}}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far = world["bus"].devices
        far.registers[1, alive] = 7
        far.behave(lambda r, to: to.reply(r, far.answer(r)) if r.address == alive else None)
        async with driving(loaded, FOREVER_S) as drivers:
            name = "D-1.flow" if alive == 10 else "D-1.wide"
            await asyncio.sleep(120)
            first, connections = len(drivers.readings.of[name]), len(world["bus"].wires)
            await asyncio.sleep(300)
            assert len(world["bus"].wires) == connections
            samples = drivers.readings.of[name][first:]
            good = sum(sample.good for sample in samples)
            assert good > 0.9 * 300
            # On a serial line the late reply of one lone register could be that of another: both are let lie a while.
            assert good == len(samples) or (alive == 10 and world["bus"].framing == "rtu")
            assert drivers.links["bus"].status().devices["D-1"].online
            assert drivers.readings.is_bad("D-1.level")

            far.behave(None)
            await asyncio.sleep(70)
            assert drivers.readings.is_good("D-1.level", 0)

    world.run(story)


def test_a_poll_is_not_put_off_by_the_read_that_keeps_the_link_alive(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502, keep_alive="3 s", timeout="2 s")}, {"D-1": device("bus", 1, "10 s")})

    async def story() -> None:
        far = world["bus"].devices
        async with driving(loaded, FOREVER_S):
            await asyncio.sleep(200)
        polls = [request.at for request in far.to(1, 3, 10)]
        assert all(after - before == pytest.approx(10, abs=0.1) for before, after in pairwise(polls))

    world.run(story)


# -- what is done to devices ----------------------------------------------------------------------------------------


def test_a_demand_that_no_register_can_hold_ends_alone(world: World) -> None:
    """``on_connect`` wants more of a register than it holds; it is found out when the device answers."""
    profile = {
        "protocol": "modbus",
        "on_connect": {"limit": 70000},
        "signals": {
            "limit": {"table": "holding", "address": 0, "writable": True},
            "level": {"table": "holding", "address": 10},
        },
    }
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "1 s", profile)})

    async def story() -> None:
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            assert len(drivers.readings.of["D-1.level"]) >= 9
            assert "limit" in drivers.links["bus"].status().devices["D-1"].last_error
            assert (await drivers.write("D-1.limit", 7)).ok

    world.run(story)
