"""A bus in virtual time: who is asked when, and what becomes of the answers."""

import asyncio
import struct
from itertools import pairwise

import pytest

from drivers.modbus.bus import ModbusBus
from drivers.port import WriteResult
from tests.drivers.fault_devices import Behaviour, Devices, Replier, Request
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


def test_bits_of_one_register_that_are_written_at_once_do_not_undo_each_other(world: World) -> None:
    """Even where the server takes many requests at a time, and is asked for another bit by a reading in between."""
    bits = {f"b{i}": {"table": "holding", "address": 5, "type": "bool", "bit": i, "writable": True} for i in range(6)}
    signals = bits | {f"r{i}": {"table": "holding", "address": 20 + 2 * i} for i in range(6)}
    profile = {"protocol": "modbus", "signals": signals}
    loaded = world.site({"bus": tcp_link(502, in_flight=4)}, {"D-1": device("bus", 1, "50 ms", profile)})

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        far.behave(lambda r, to: loop.call_later(0.02, lambda: to.reply(r, far.answer(r))))
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(1)
            results = await asyncio.gather(*(drivers.write(f"D-1.b{i}", True) for i in range(6)))
            assert all(result.ok for result in results)
            assert far.registers[1, 5] == 0b111111
            reads = [r for r in far.requests if r.address >= 20]
            assert any(after.at < before.at + 0.02 for before, after in pairwise(reads)), "nothing was asked at once"

    world.run(story)


def test_a_demand_that_a_reading_leads_to_waits_for_the_job_in_hand(world: World) -> None:
    """The sink writes another bit of the register in the very callback that checks what the first one needs."""
    needs = {"command": {"require": {"remote": True}}}
    bits = {f"b{i}": {"table": "holding", "address": 5, "type": "bool", "bit": i, "writable": True} for i in range(2)}
    signals = {"b0": bits["b0"] | needs, "b1": bits["b1"], "remote": {"table": "coil", "address": 0, "type": "bool"}}
    profile = {"protocol": "modbus", "signals": signals}
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "10 s", profile)})

    async def story() -> None:
        far = world["bus"].devices
        far.coils.add((1, 0))
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(1)
            more: list[asyncio.Future[WriteResult]] = []

            def demand(names: list[str]) -> None:
                if not more:
                    more.append(drivers.write("D-1.b1", True))

            drivers.readings.also = demand
            assert (await drivers.write("D-1.b0", True)).ok
            assert (await more[0]).ok
            assert far.registers[1, 5] == 0b11
            jobs = [(r.function, r.address) for r in far.requests[2:]]
            assert jobs == [(1, 0), (3, 5), (6, 5), (3, 5), (3, 5), (6, 5), (3, 5)]

    world.run(story)


@pytest.mark.parametrize("allowed", [False, True])
def test_nothing_is_written_to_every_device_of_a_bus_unless_that_is_meant(world: World, allowed: bool) -> None:
    """By nobody and on no occasion: a demand, a raw write, an action, at the start, as a heartbeat."""
    profile = {
        "protocol": "modbus",
        "on_connect": {"mode": 3},
        "watchdog": {"timeout": "30 s", "heartbeat": {"signal": "beat", "period": "1 s"}},
        "actions": {"wipe": {"request": "10 31 00 00 00 00", "reply": "10 31 00 00 00"}},
        "signals": {
            "level": {"table": "holding", "address": 0},
            "mode": {"table": "holding", "address": 1, "writable": True},
            "beat": {"table": "holding", "address": 2, "writable": True},
        },
    }
    probe = device("bus", 0, "1 s", profile) | {"broadcast_writes": allowed}
    serial = {"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 9600}
    loaded = world.site({"bus": serial}, {"D-1": probe})

    async def story() -> None:
        far = world["bus"].devices
        # It answers as unit 0 what it is asked as unit 0, but nobody answers a broadcast.
        far.behave(lambda r, to: to.reply(r, far.answer(r)) if r.function == 3 else None)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(5)
            bus = drivers.links["bus"]
            assert isinstance(bus, ModbusBus)
            written = drivers.write("D-1.mode", 1)
            raw = bus.write_raw("D-1", bytes.fromhex("06 00 01 00 02"))
            wiped = bus.act("D-1", "wipe")
            await asyncio.sleep(5)
            assert written.done()
            assert raw.result().ok is wiped.result().ok is allowed
            assert allowed or "broadcast_writes" in written.result().detail
            writes = {r.pdu.hex() for r in far.requests if r.function != 3}
            expected = {"0600010001", "0600010002", "103100000000", "0600020001", "0600020000"}
            assert writes == (expected if allowed else set())
            assert allowed or drivers.readings.is_good("D-1.level", 0)

    world.run(story)


def test_the_bus_is_quiet_after_a_broadcast_has_gone_out(world: World) -> None:
    """For as long as the frame takes on the line, and then for what the devices need to carry it out."""
    signals = {f"r{i}": {"table": "holding", "address": i, "writable": True} for i in range(1)}
    profile = {
        "protocol": "modbus",
        "signals": signals,
        "writing": {"allow": [{"table": "holding", "first": 0, "last": 200}]},
    }
    everybody = device("bus", 0, "60 s", profile) | {"broadcast_writes": True}
    serial = {"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 1200}
    loaded = world.site({"bus": serial}, {"ALL": everybody, "D-1": device("bus", 1, "20 ms")})

    async def story() -> None:
        far = world["bus"].devices
        far.behave(only(far, 1))
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(20)
            bus = drivers.links["bus"]
            assert isinstance(bus, ModbusBus)
            long = bytes.fromhex("10 0000 0064 C8") + bytes(200)
            assert (await bus.write_raw("ALL", long)).ok
            await asyncio.sleep(10)
            [at] = [place for place, r in enumerate(far.requests) if r.pdu == long]
            following = far.requests[at + 1]
            begun = following.at - 8 * 11 / 1200
            assert begun - far.requests[at].at > 0.19

    world.run(story)


# -- rhythm ---------------------------------------------------------------------------------------------------------


def test_what_is_put_off_on_purpose_is_not_counted_as_missed(world: World) -> None:
    """A refused block that is tried less and less, a unit that is let alone after a time-out."""
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far = world["bus"].devices
        lost = iter([True])

        def answer(request: Request, to: Replier) -> None:
            if (request.function, request.address) == (3, 0):
                to.reply(request, b"\x83\x02")
            elif request.address != 10 or not next(lost, False):
                to.reply(request, far.answer(request))

        far.behave(answer)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(200)
            assert drivers.links["bus"].status().devices["D-1"].missed == 0
            assert 5 < len(far.to(1, 3, 0)) < 12
            assert len(far.to(1, 3, 10)) == pytest.approx(200, abs=2)

    world.run(story)


@pytest.mark.parametrize("code", [5, 6])
def test_a_read_that_is_made_again_at_once_costs_no_later_one(world: World, code: int) -> None:
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "2 s")})

    async def story() -> None:
        far = world["bus"].devices
        far.registers[1, 0] = 7
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            busy = iter([True, True])
            far.behave(
                lambda r, to: to.reply(
                    r, bytes([0x83, code]) if (r.function, r.address) == (3, 0) and next(busy, False) else far.answer(r)
                )
            )
            await asyncio.sleep(10)
            samples = drivers.readings.of["D-1.level"]
            assert all(sample.good for sample in samples)
            gaps = [after.received - before.received for before, after in pairwise(samples)]
            assert max(gaps) < 2.5
            assert drivers.links["bus"].status().devices["D-1"].exceptions == 2

    world.run(story)


def test_polls_that_a_slow_bus_leaves_out_are_counted(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502, timeout="2 s")}, {"D-1": device("bus", 1, "0.5 s")})

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        far.behave(lambda r, to: loop.call_later(0.2, to.reply, r, far.answer(r)))
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(100)
            status = drivers.links["bus"].status().devices["D-1"]
            assert status.polls + status.missed == pytest.approx(5 * 100 / 0.5, abs=12)
            assert status.missed > 400

    world.run(story)


# -- totals of several parts ----------------------------------------------------------------------------------------

TOTAL = {"table": "holding", "address": 0, "type": "uint32", "unit": "m3", "fraction": {"address": 2}}
TOTALS: dict[str, object] = {
    "protocol": "modbus",
    "signals": {
        "total": TOTAL,
        "level": {"table": "holding", "address": 20, "type": "uint32"},
    },
}


def total_words(whole: int, fraction: float) -> bytes:
    return struct.pack(">If", whole, fraction)


def test_a_total_is_never_a_new_part_beside_an_old_one(world: World) -> None:
    """The device changes its whole number some milliseconds before or after its decimals."""
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "1 s", TOTALS)})

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        begun = loop.time()

        def now(lag: float) -> float:
            return 100 + 0.3 * (loop.time() - begun - lag)

        def answer(request: Request, to: Replier) -> None:
            if request.address == 0:
                # For a quarter of the time the whole number lags behind, for another it runs ahead.
                lag = {0: 0.02, 1: -0.02}.get(int(loop.time()) % 4, 0.0)
                to.reply(request, b"\x03\x08" + total_words(int(now(lag)), now(0.0) % 1))
            else:
                to.reply(request, far.answer(request))

        far.behave(answer)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(600)
            for sample in drivers.readings.of["D-1.total"]:
                true = 100 + 0.3 * (sample.received - begun)
                assert sample.value == pytest.approx(true, abs=0.05)
            assert len(drivers.readings.of["D-1.total"]) == pytest.approx(600, abs=5)

    world.run(story)


def test_a_probe_gives_no_total_that_may_be_torn(world: World) -> None:
    totals = {"protocol": "modbus", "signals": {"total": TOTAL}}
    loaded = world.site({"bus": tcp_link(502, retry="1 s")}, {"D-1": device("bus", 1, "1 s", totals)})

    async def story() -> None:
        far = world["bus"].devices
        whole, torn = 5, [False]

        def answer(request: Request, to: Replier) -> None:
            to.reply(request, b"\x03\x08" + total_words(whole, 0.01 if torn[0] else 0.99))
            torn[0] = False

        far.behave(answer)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(5)
            far.behave(lambda request, to: None)
            await asyncio.sleep(10)
            # The first answer after the silence has the decimals of the next whole number already.
            torn[0] = True
            far.behave(answer)
            await asyncio.sleep(10)
            values = {round(value, 2) for value in drivers.readings.values("D-1.total") if isinstance(value, float)}
            assert values == {5.99}

    world.run(story)
