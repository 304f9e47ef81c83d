"""What is done to the devices of a bus, in virtual time: whose turn it is, and what is not done any more."""

import asyncio
import struct

import pytest

from drivers.port import WriteResult
from tests.drivers.fault_devices import Replier, Request
from tests.drivers.sites import Drivers, device, driving, tcp_link
from tests.drivers.virtual import World

FOREVER_S = 1e8
"""Of virtual time: a story ends by itself."""
SERIAL: dict[str, object] = {"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 9600, "retry": "1 s"}
COIL: dict[str, object] = {"table": "coil", "address": 0, "type": "bool", "writable": True}


def profile(signals: dict[str, object], **more: object) -> dict[str, object]:
    return {"protocol": "modbus", "limits": {"response_delay": "0 s"}, "signals": signals, **more}


# -- the newest demand counts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [0.0, 0.005, 0.1], ids=["waiting", "in flight", "paused"])
def test_an_older_demand_is_not_carried_out_after_a_newer_one(world: World, when: float) -> None:
    """The device is too busy for the opening; by the time it would take it, the closing has been demanded."""
    loaded = world.site(
        {"bus": SERIAL | {"timeout": "0.2 s"}}, {"V": device("bus", 1, "60 s", profile({"open": COIL}))}
    )

    async def story() -> None:
        far, orders = world["bus"].devices, list[Request]()

        def busy(request: Request, to: Replier) -> None:
            if request.function == 5:
                orders.append(request)
            to.reply(request, b"\x85\x06" if request.function == 5 and len(orders) == 1 else far.answer(request))

        far.behave(busy)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(5)
            opening = drivers.write("V.open", True)
            if when:
                await asyncio.sleep(when)
            closing = drivers.write("V.open", False)
            await asyncio.sleep(5)
            assert closing.result().ok
            assert opening.result() == (False, None, "another value was written meanwhile")
            assert orders[-1].pdu == bytes.fromhex("05 0000 0000")
            assert (1, 0) not in far.coils

    world.run(story)


def test_a_demand_that_its_own_reading_replaces_is_ended_between_its_steps(world: World) -> None:
    """The sink demands the other value in the very callback that reads the first one back."""
    loaded = world.site({"bus": tcp_link(502)}, {"V": device("bus", 1, "60 s", profile({"open": COIL}))})

    async def story() -> None:
        far = world["bus"].devices
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(1)
            closing: list[asyncio.Future[WriteResult]] = []

            def demand(names: list[str]) -> None:
                if not closing:
                    closing.append(drivers.write("V.open", False))

            drivers.readings.also = demand
            await drivers.write("V.open", True)
            assert (await closing[0]).ok
            assert (1, 0) not in far.coils

    world.run(story)


# -- a unit that does not answer holds nobody up --------------------------------------------------------------------


def alive_but(drivers: Drivers, world: World, dead: set[int]) -> None:
    far = world["bus"].devices
    far.behave(lambda request, to: None if request.unit in dead else to.reply(request, far.answer(request)))


OUTPUTS = profile({f"o{i}": {"table": "holding", "address": 2 * i, "writable": True} for i in range(20)})


@pytest.mark.parametrize("known", [True, False], ids=["known to be down", "just gone"])
def test_writes_to_a_unit_that_does_not_answer_hold_up_no_other(world: World, known: bool) -> None:
    devices = {"A": device("bus", 1, "1 s", OUTPUTS), "V": device("bus", 2, "1 s", profile({"open": COIL}))}
    loaded = world.site({"bus": SERIAL | {"timeout": "1 s"}}, devices)

    async def story() -> None:
        loop, dead = asyncio.get_running_loop(), set[int]()
        async with driving(loaded, FOREVER_S) as drivers:
            alive_but(drivers, world, dead)
            await asyncio.sleep(20)
            dead.add(1)
            if known:
                await asyncio.sleep(20)
            began = loop.time()
            opened = [drivers.write(f"A.o{i}", 1) for i in range(20)]
            assert (await drivers.write("V.open", False)).ok
            assert loop.time() - began < 2.5
            results = await asyncio.gather(*opened)
            assert not any(result.ok for result in results)
            assert loop.time() - began < 5.0, "each of them was awaited"

    world.run(story)


def test_writes_to_one_unit_that_answers_take_turns_with_those_to_another(world: World) -> None:
    devices = {"A": device("bus", 1, "60 s", OUTPUTS), "V": device("bus", 2, "60 s", profile({"open": COIL}))}
    loaded = world.site({"bus": SERIAL | {"timeout": "1 s"}}, devices)

    async def story() -> None:
        far = world["bus"].devices
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(5)
            before = len(far.requests)
            for i in range(20):
                drivers.write(f"A.o{i}", 1)
            assert (await drivers.write("V.open", False)).ok
            units = [request.unit for request in far.requests[before:] if request.function in (5, 6)]
            assert units.index(2) <= 2

    world.run(story)


@pytest.mark.parametrize("said", ["nothing", "0A", "0B"])
def test_a_demand_that_a_dead_unit_has_not_answered_costs_the_bus_no_more_than_its_probes(
    world: World, said: str
) -> None:
    """The controller writes each output that failed once a second; a gateway says that it found nobody."""
    levels = profile({"level": {"table": "holding", "address": 0}})
    twenty = device("bus", 1, "1 s", OUTPUTS)
    loaded = world.site(
        {"bus": tcp_link(502, timeout="2 s", retry="5 s")}, {"A": twenty, "B": device("bus", 2, "1 s", levels)}
    )

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()

        def gateway(request: Request, to: Replier) -> None:
            if request.unit != 1:
                loop.call_later(0.05, to.reply, request, far.answer(request))
            elif said != "nothing":
                loop.call_later(1.0, to.reply, request, bytes((request.function | 0x80, int(said, 16))))

        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            far.behave(gateway)
            await asyncio.sleep(60)

            async def keep(name: str) -> None:
                while True:
                    result = await drivers.write(name, 1)
                    await asyncio.sleep(1.0 if not result.ok else 60.0)

            outputs = [asyncio.create_task(keep(f"A.o{i}")) for i in range(20)]
            await asyncio.sleep(30)  # each was new once
            asked, read = len(far.to(1)), len(drivers.readings.of["B.level"])
            await asyncio.sleep(1000)
            took = 2.0 if said == "nothing" else 1.0
            assert (len(far.to(1)) - asked) * took < 0.06 * 1000
            assert len(drivers.readings.of["B.level"]) - read > 900

            # A new demand is tried at once, and all are carried out when the unit is back.
            before = len(far.to(1, 6))
            await drivers.write("A.o3", 7)
            assert far.to(1, 6)[before:][0].pdu == struct.pack(">BHH", 6, 6, 7)
            far.behave(None)
            await asyncio.sleep(150)
            assert all(far.registers.get((1, 2 * i)) for i in range(20))
            for output in outputs:
                output.cancel()

    world.run(story)


# -- pulses ---------------------------------------------------------------------------------------------------------

PULSE: dict[str, object] = {"reset": COIL | {"command": {"kind": "edge", "width": "0.5 s"}}}


@pytest.mark.parametrize("lost", [1, 2], ids=["the reply to the on", "the off itself"])
def test_a_pulse_does_not_stay_on_though_its_unit_was_never_gone(world: World, lost: int) -> None:
    loaded = world.site({"bus": SERIAL | {"timeout": "0.2 s"}}, {"V": device("bus", 1, "1 s", profile(PULSE))})

    async def story() -> None:
        far, orders = world["bus"].devices, list[Request]()

        def lossy(request: Request, to: Replier) -> None:
            if request.function == 5:
                orders.append(request)
                if len(orders) == lost:
                    if lost == 1:
                        far.answer(request)
                    return
            to.reply(request, far.answer(request))

        far.behave(lossy)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(5)
            await drivers.write("V.reset", True)
            await asyncio.sleep(3)
            assert (1, 0) not in far.coils
            assert drivers.links["bus"].status().devices["V"].online
            before = len(orders)
            await asyncio.sleep(60)
            assert len(orders) == before

    world.run(story)


@pytest.mark.parametrize("after", [0.0, 0.005, 0.2], ids=["waiting", "in flight", "on"])
def test_a_pulse_does_not_stay_on_when_the_controller_stops(world: World, after: float) -> None:
    loaded = world.site({"bus": SERIAL | {"timeout": "0.2 s"}}, {"V": device("bus", 1, "60 s", profile(PULSE))})

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(5)
            pressed = drivers.write("V.reset", True)
            if after:
                await asyncio.sleep(after)
            began = loop.time()
        assert loop.time() - began < 1.0
        assert (1, 0) not in far.coils
        assert not pressed.result().ok

    world.run(story)


def test_a_stop_does_not_wait_for_a_unit_that_has_gone_silent(world: World) -> None:
    loaded = world.site({"bus": SERIAL | {"timeout": "10 s"}}, {"V": device("bus", 1, "60 s", profile(PULSE))})

    async def story() -> None:
        loop = asyncio.get_running_loop()
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(5)
            drivers.write("V.reset", True)
            await asyncio.sleep(0.2)
            alive_but(drivers, world, {1})
            began = loop.time()
        assert loop.time() - began < 3.5

    world.run(story)


def test_an_error_of_ours_ends_one_job_and_not_the_link(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = world.site({"bus": tcp_link(502)}, {"A": device("bus", 1, "1 s", OUTPUTS)})

    def broken(*_: object) -> bool:
        raise ZeroDivisionError

    async def story() -> None:
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(1)
            with monkeypatch.context() as patch:
                patch.setattr("drivers.modbus.command.is_written", broken)
                assert "error of the program" in (await drivers.write("A.o1", 1)).detail
                patch.setattr("drivers.modbus.command.value_pdu", broken)
                assert "error of the program" in (await drivers.write("A.o1", 1)).detail
            assert (await drivers.write("A.o1", 2)).ok

    world.run(story)
