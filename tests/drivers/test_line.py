"""The way to the units of a link: opened, kept open, kept silent where it must be, and never left for dead."""

import asyncio
from collections.abc import Sequence

import pytest

from config.sample import Sample
from drivers.links import open_links
from tests.drivers.sites import device, driving, tcp_link
from tests.drivers.test_bus import FOREVER_S
from tests.drivers.virtual import World

SERIAL = {"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 9600, "timeout": "0.2 s", "retry": "1 s"}
BYTE_S = 11 / 9600
CONVERTER = {"type": "modbus-tcp", "host": "127.0.0.1", "framing": "rtu", "timeout": "0.2 s", "retry": "1 s"}


# -- the life of a driver -------------------------------------------------------------------------------------------


def test_a_driver_that_is_stopped_and_run_again_reads_again(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        readings: list[Sample] = []
        [bus] = open_links(loaded, lambda indices, samples: readings.extend(samples), lambda event: None, loaded.path)
        for _ in range(3):
            readings.clear()
            running = asyncio.create_task(bus.run())
            await asyncio.sleep(5)
            assert sum(sample.good for sample in readings) > 20
            assert (await bus.write(loaded.signals["D-1.setpoint"].index, 7)).ok
            world["bus"].hang_up()
            await asyncio.sleep(0.01)
            lost = len(readings)
            assert readings[-1].value is None
            await asyncio.sleep(5)
            assert all(sample.good for sample in readings[lost:])
            assert len(readings) > lost + 20

            running.cancel()
            await asyncio.wait({running})
            assert bus.status().last_error == "the driver was stopped"
            written = bus.write(loaded.signals["D-1.setpoint"].index, 8)
            assert written.done()
            assert "the driver was stopped" in written.result().detail
            # What was on the wire arrives still.
            await asyncio.sleep(0.01)
            asked = len(world["bus"].devices.requests)
            await asyncio.sleep(60)
            assert len(world["bus"].devices.requests) == asked

    world.run(story)


@pytest.mark.parametrize("moment", ["reply", "time-out", "down", "online"])
def test_an_error_of_the_controller_ends_the_driver_loudly_and_never_silently(world: World, moment: str) -> None:
    """A sink that raises is a programming error: the process is to end and start anew, not to read nothing any more."""
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far = world["bus"].devices
        wanted = {"reply": True, "online": True, "time-out": False, "down": False}[moment]

        def sink(indices: Sequence[int], samples: Sequence[Sample]) -> None:
            if armed and samples[0].good is wanted:
                raise KeyError("a fault of the controller")

        armed = moment == "online"
        [bus] = open_links(loaded, sink, lambda event: None, loaded.path)
        running = asyncio.create_task(bus.run())
        if moment != "online":
            await asyncio.sleep(5)
        waiting = asyncio.create_task(asyncio.sleep(0))
        armed = True
        if moment == "time-out":
            far.behave(lambda request, to: None)
        elif moment == "down":
            world["bus"].hang_up()
        await asyncio.wait({running, waiting}, timeout=10)
        assert running.done()
        with pytest.raises(KeyError, match="a fault of the controller"):
            running.result()
        assert bus.write(loaded.signals["D-1.setpoint"].index, 8).done()

    world.run(story)


# -- silence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [SERIAL, CONVERTER], ids=["serial", "converter"])
def test_a_line_on_which_somebody_talks_all_the_time_is_bad_and_stops_nothing(
    world: World, link: dict[str, object]
) -> None:
    loaded = world.site({"bus": link}, {"D-1": device("bus", 1, "0.5 s"), "D-2": device("bus", 2, "0.5 s")})

    async def story() -> None:
        loop = asyncio.get_running_loop()
        talking = True

        def talk() -> None:
            if talking:
                wires = [wire for wire in world["bus"].wires if wire.open]
                if wires:
                    wires[-1].noise(b"\x55")
                loop.call_later(0.001, talk)

        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(3)
            assert drivers.readings.is_good("D-1.level", 0)
            world["bus"].devices.behave(lambda request, to: None)
            talk()
            await asyncio.sleep(0.05)
            written = drivers.write("D-1.setpoint", 7)
            await asyncio.sleep(4)
            assert written.done()
            assert not written.result().ok
            assert drivers.readings.all_bad()
            await asyncio.sleep(60)
            assert drivers.readings.all_bad()

            talking = False
            world["bus"].devices.behave(None)
            # The pause before the line is opened anew is drawn by lot.
            await asyncio.sleep(30)
            assert drivers.readings.is_good("D-1.level", 0)
            assert drivers.readings.is_good("D-2.level", 0)

    world.run(story)


def test_a_long_late_reply_is_no_endless_talk(world: World) -> None:
    slow = SERIAL | {"baudrate": 1200}
    registers = {f"r{i}": {"table": "holding", "address": i} for i in range(125)}
    profile = {"protocol": "modbus", "limits": {"response_delay": "0 s"}, "signals": registers}
    loaded = world.site({"bus": slow}, {"D-1": device("bus", 1, "20 s", profile), "D-2": device("bus", 2, "5 s")})

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(30)
            far.behave(lambda r, to: loop.call_later(0.3 if r.unit == 1 else 0, lambda: to.reply(r, far.answer(r))))
            await asyncio.sleep(200)
            assert drivers.links["bus"].status().connects == 1
            assert drivers.readings.is_good("D-2.level", 0)

    world.run(story)


@pytest.mark.parametrize(
    ("link", "silence"),
    [
        (SERIAL, 3.5 * BYTE_S),
        (SERIAL | {"turnaround": "20 ms"}, 0.02),
        (SERIAL | {"baudrate": 115200}, 0.00175),
        (CONVERTER, 0.00175),
        (CONVERTER | {"line": {"baudrate": 1200}}, 3.5 * 11 / 1200),
    ],
)
def test_there_is_silence_before_every_request(world: World, link: dict[str, object], silence: float) -> None:
    """Between a reply and the next request, whatever that is: a poll, a write, its read-back."""
    loaded = world.site({"bus": link}, {"D-1": device("bus", 1, "50 ms"), "D-2": device("bus", 2, "50 ms")})

    async def story() -> None:
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(3)
            for value in range(10):
                assert (await drivers.write("D-1.setpoint", value)).ok
            await asyncio.sleep(2)
        [wire] = world["bus"].wires
        assert len(wire.silences) > 40
        assert min(wire.silences) >= silence

    world.run(story)


def test_replies_with_ids_of_zero_are_told(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502, strict_ids=False)}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far = world["bus"].devices
        far.behave(lambda r, to: to.reply(r, far.answer(r), transaction=0))
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            assert drivers.readings.is_good("D-1.level", 0)
            before = drivers.links["bus"].status().details["replies with ids of 0"]
            world["bus"].hang_up()
            await asyncio.sleep(10)
            assert drivers.links["bus"].status().details["replies with ids of 0"] >= before + 40

    world.run(story)
