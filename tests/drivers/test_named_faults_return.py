"""What users of other gateways have reported of devices that went away: ours come back, by project and number."""

import asyncio
import re
from pathlib import Path

import pytest

from drivers.links import open_links
from drivers.port import LinkDriver
from tests.drivers.fault_devices import Devices, FaultLine, FaultServer
from tests.drivers.sites import Readings, driving, site_of
from tests.drivers.test_bus import FOREVER_S, only
from tests.drivers.test_named_faults import (
    HOUR_S,
    KINDS,
    LIMIT,
    LIMIT_VALUE,
    all_good,
    check_own,
    good_since,
    link_of,
    mark,
    units,
)
from tests.drivers.virtual import World
from tests.hil_sim.sites import until

# -- found again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away_s", [20.0, 2 * HOUR_S], ids=["a-moment", "hours"])
@pytest.mark.parametrize("how", ["refused", "vanished", "half-open"])
@pytest.mark.parametrize("kind", KINDS)
def test_home_assistant_68161_a_device_is_found_again_after_its_reboot(
    world: World, kind: str, how: str, away_s: float
) -> None:
    """A device that had been away for a while was never connected to again."""
    loaded = world.site({"bus": link_of(kind, retry="10 s")}, units(2))

    async def story() -> None:
        network, far, loop = world["bus"], world["bus"].devices, asyncio.get_running_loop()
        mark(far, 2)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            if how == "refused":  # its port is closed while it boots
                network.refuses = True
                network.hang_up()
            elif how == "vanished":  # its power is gone: it does not even hang up, and cannot be reached
                network.refuses = True
                far.behave(only(far))
            else:  # it takes connections and says nothing on them
                far.behave(only(far))
            await asyncio.sleep(away_s)
            assert drivers.readings.all_bad()
            assert not any(one.online for one in drivers.links["bus"].status().devices.values())

            network.refuses = False
            before = tuple(network.wires)
            if how == "refused" or kind == "serial":
                far.behave(None)
            else:  # the connections of before its reboot it knows nothing of
                far.behave(
                    lambda r, to: to.reply(r, far.answer(r)) if all(wire.far is not to for wire in before) else None
                )
            back = loop.time()
            await until(lambda: all_good(drivers.readings, 1, 2), 30)
            assert loop.time() - back <= 10 * 1.2 + 3
            await asyncio.sleep(5)
            since = loop.time()
            await asyncio.sleep(60)
            assert min(good_since(drivers.readings, unit, since) for unit in (1, 2)) >= 59
            check_own(drivers.readings, 2)

    world.run(story)


class Place:
    """Where real devices are: behind a socket, always on the same port, or at a terminal that a link leads to."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.devices = Devices()
        self.kind = kind
        self.path = folder / "ttyUSB0"
        self.server = FaultServer(self.devices, "rtu" if kind == "converter" else "tcp")
        self._line: FaultLine | None = None

    @property
    def port(self) -> object:
        return str(self.path) if self.kind == "serial" else self.server.port

    async def on(self) -> None:
        if self.kind == "serial":
            self._line = FaultLine(self.devices)
            self.path.symlink_to(self._line.path)
        else:
            await self.server.open()

    def off(self) -> None:
        self.server.close()
        if self._line is not None:
            self.path.unlink(missing_ok=True)
            self._line.close()
        self._line = None


@pytest.mark.parametrize("kind", KINDS)
async def test_home_assistant_68161_over_a_real_link(tmp_path: Path, kind: str) -> None:
    """A device that had been away for a while was never connected to again."""
    place = Place(kind, tmp_path)
    mark(place.devices, 2)
    await place.on()
    pace = {"timeout": "0.6 s", "retry": "0.2 s"}
    loaded = site_of(tmp_path, {"bus": link_of(kind, port=place.port, **pace)}, units(2, "50 ms"))
    try:
        async with driving(loaded) as drivers:
            status = drivers.links["bus"].status
            for _ in range(2):
                await until(lambda: all_good(drivers.readings, 1, 2))
                place.off()
                await until(drivers.readings.all_bad)
                # Tried in vain, too.
                await until(lambda: bool(re.search("Connect call failed|no such port", status().last_error)))
                await place.on()
                await until(lambda: all_good(drivers.readings, 1, 2))
            check_own(drivers.readings, 2)
            assert status().connects == 3
    finally:
        place.off()
    assert place.devices.broken == []


# -- enabled again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["driver", "links", "unit"])
@pytest.mark.parametrize("kind", KINDS)
def test_openems_3875_what_is_enabled_again_and_again_reads_and_writes(world: World, kind: str, what: str) -> None:
    """A device disabled and enabled a second time stayed without readings, its writes were lost, and no error told."""
    loaded = world.site({"bus": link_of(kind)}, units(2))

    async def story() -> None:
        network, far = world["bus"], world["bus"].devices
        mark(far, 2)
        readings = Readings(loaded)

        def laid() -> LinkDriver:
            [link] = open_links(loaded, readings, lambda event: None, loaded.path)
            return link

        bus = laid()
        running = asyncio.create_task(bus.run())
        setpoint = loaded.signals["D-1.w"]
        for round_ in range(1, 6):
            await asyncio.sleep(10)
            assert all_good(readings, 1, 2)
            assert far.registers[1, LIMIT] == LIMIT_VALUE
            count = len(readings.of["D-1.a"])
            await asyncio.sleep(10)
            assert len(readings.of["D-1.a"]) - count >= 9
            assert (await bus.write(setpoint.index, round_ * 70000)).ok
            assert (far.registers[1, 50] << 16 | far.registers[1, 51]) == round_ * 70000
            assert readings.is_good("D-1.w", round_ * 70000)

            if what == "unit":
                far.behave(only(far, 2))
                await asyncio.sleep(20)
                assert all_good(readings, 2)
            else:
                running.cancel()
                await asyncio.wait({running})
                await asyncio.sleep(1)  # what was under way arrives
                asked = len(far.requests)
                await asyncio.sleep(20)
                assert len(far.requests) == asked
                assert not bus.status().connected
            # While it is off that is told, and nothing is lost in silence.
            assert not bus.status().devices["D-1"].online
            far.registers[1, LIMIT] = 0
            refused = await bus.write(setpoint.index, 1)
            assert not refused.ok
            assert refused.detail
            if what == "unit":
                far.behave(None)
                continue
            assert not network.wires[-1].open
            if what == "links":
                bus = laid()
            running = asyncio.create_task(bus.run())
        running.cancel()
        await asyncio.wait({running})
        check_own(readings, 2)

    world.run(story)
