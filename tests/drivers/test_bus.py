"""A bus in virtual time: who is asked when, and what becomes of the answers."""

import asyncio

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
