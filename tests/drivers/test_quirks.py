"""The quirks of real devices and lines (shared field notes, section 2), by their number: none of them can pass.

Also what the notes found wrong in the starting assumptions (section 0) and in the best-known library (section 4.1), as
far as it concerns Modbus. Some of it is tested more closely elsewhere; here each has its test by name.
"""

import ast
import asyncio
import re
import struct
from itertools import pairwise
from pathlib import Path

import pytest

import drivers.modbus
from config.link import ModbusRtuLink
from config.load import DEVICES, load_profile
from config.profile import ModbusProfile
from config.sample import Quality, Reason
from drivers.modbus.framing import Expected, RtuFraming
from drivers.modbus.torn import LONGEST_PAUSE_S, SETTLED_S
from drivers.modbus.transport import line_timing
from tests.drivers.fault_devices import Devices, Replier, Request, framed
from tests.drivers.sites import Fields, device, driving, tcp_link
from tests.drivers.test_block import Device, is_bad, one
from tests.drivers.test_bus import FOREVER_S, TOTALS, only, total_words
from tests.drivers.test_command import TIMED_OUT, bench, fc06, fc16, register, switch
from tests.drivers.test_plan import bits, registers, spans
from tests.drivers.virtual import World
from tests.hil_sim.sites import until

SERIAL: dict[str, object] = {
    "type": "modbus-rtu",
    "port": "/dev/nowhere",
    "baudrate": 9600,
    "timeout": "0.2 s",
    "retry": "1 s",
}
CONVERTER: dict[str, object] = {"type": "modbus-tcp", "host": "127.0.0.1", "framing": "rtu", "timeout": "0.2 s"}
LEVEL: Fields = {"level": {"table": "holding", "address": 0}, "run": {"table": "holding", "address": 5}}
LINKS = {"tcp": tcp_link(502), "converter": CONVERTER, "serial": SERIAL}


def profile(signals: Fields, **more: object) -> dict[str, object]:
    return {"protocol": "modbus", "signals": dict(signals), "limits": {"response_delay": "0 s"}} | more


def is_level(request: Request, unit: int = 1) -> bool:
    return (request.unit, request.function, request.address) == (unit, 3, 0)


# -- decoding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "data", "value"),
    [
        ("DCBA", "00 00 8D 41", 17.625),
        ("DCBA", "33 33 F3 40", 7.6),
        ("DCBA", "85 EB D1 C0", -6.56),
        ("CDAB", "72 37 41 DB", 27.4308),
        ("ABCD", "41 8D 00 00", 17.625),
        ("BADC", "8D 41 00 00", 17.625),
    ],
)
def test_quirk_01_word_orders(order: str, data: str, value: float) -> None:
    assert one(data, type="float32", order=order).value == pytest.approx(value, abs=5e-5)
    wide = struct.pack(">d", 17.625)
    places = {"ABCD": wide, "DCBA": wide[::-1], "CDAB": b"".join(wide[i : i + 2] for i in (6, 4, 2, 0))}
    places["BADC"] = places["CDAB"][::-1]
    assert one(places[order], type="float64", order=order).value == 17.625


def test_quirk_02_totals_of_64_bit_least_significant_word_first() -> None:
    exact = 123_456_789_012_345
    words = struct.pack(">Q", exact)
    swapped = b"".join(words[i : i + 2] for i in (6, 4, 2, 0))
    assert one(swapped, type="uint64", order="CDAB").value == exact
    litres = one(swapped, type="uint64", order="CDAB", unit="mm3")
    assert litres.value == pytest.approx(exact * 1e-9, rel=1e-15)
    assert one(struct.pack("<d", 12_345_678.9), type="float64", order="DCBA").value == 12_345_678.9


def test_quirk_03_whole_number_and_fraction_in_one_request_and_reread_when_it_has_moved(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "1 s", TOTALS)})

    async def story() -> None:
        far = world["bus"].devices
        parts = iter([*[(5, 0.9)] * 12, (5, 0.05), (6, 0.05)])
        last = [(6, 0.05)]

        def answer(request: Request, to: Replier) -> None:
            if request.address == 0:
                last[0] = next(parts, last[0])
                to.reply(request, b"\x03\x08" + total_words(*last[0]))
            else:
                to.reply(request, far.answer(request))

        far.behave(answer)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            assert {request.pdu for request in far.to(1, 3, 0)} == {struct.pack(">BHH", 3, 0, 4)}
            values = [value for value in drivers.readings.values("D-1.total") if isinstance(value, float)]
            assert {round(value, 2) for value in values} == {5.9, 6.05}

    world.run(story)


def test_quirk_04_carry_hundreds_and_powers_of_ten() -> None:
    hundreds = {"address": 0, "type": "uint16", "scale": 100}
    fields: Fields = {"total": {"table": "holding", "address": 1, "type": "float32", "unit": "m3", "carry": hundreds}}
    assert Device(fields).read(struct.pack(">Hf", 12, 34.5))["total"].value == pytest.approx(1234.5)
    power: Fields = {
        "total": {"table": "holding", "address": 0, "type": "uint32", "exponent_from": {"signal": "n", "offset": -3}},
        "n": {"table": "holding", "address": 2},
    }
    assert Device(power).read("00003039 0002")["total"].value == pytest.approx(1234.5)


UNIT_BY_CODE: Fields = {
    "flow": {
        "table": "holding",
        "address": 0,
        "unit": "m3/h",
        "unit_from": {"signal": "code", "codes": {0: "m3/h", 1: "L/s"}},
    },
    "code": {"table": "holding", "address": 40, "poll": "1 h"},
}


def test_quirk_05_unit_codes_are_read_at_connect_and_hourly_and_a_change_is_told(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "10 s", profile(UNIT_BY_CODE))})

    async def story() -> None:
        far = world["bus"].devices
        far.registers[1, 0] = 36
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(30)
            assert drivers.readings.is_good("D-1.flow", 36)
            far.registers[1, 40] = 1
            await asyncio.sleep(3600)
            last = drivers.readings.last("D-1.flow")
            assert last is not None
            assert last.value == pytest.approx(36 * 3.6)
            assert (last.quality, last.reason) == (Quality.UNCERTAIN, Reason.UNIT_CHANGED)
            assert [(event.name, event.body["now"]) for event in drivers.events] == [("unit-changed", 1)]
            # After the link was gone nothing is read by a code of before.
            far.registers[1, 40] = 7
            far.behave(lambda r, to: None if r.address == 40 else to.reply(r, far.answer(r)))
            world["bus"].hang_up()
            await asyncio.sleep(30)
            last = drivers.readings.last("D-1.flow")
            assert last is not None
            assert last.reason is Reason.NOT_YET_READ

    world.run(story)


def test_quirk_06_a_rollover_is_a_reading_like_any_other(world: World) -> None:
    """What it means is for the totaliser to say; a total that falls must come through, and soon."""
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "1 s", TOTALS)})

    async def story() -> None:
        far, whole = world["bus"].devices, [9_999_999]
        far.behave(
            lambda r, to: to.reply(r, b"\x03\x08" + total_words(whole[0], 0.5) if r.address == 0 else far.answer(r))
        )
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(5)
            whole[0] = 0
            await asyncio.sleep(1.0 + SETTLED_S + LONGEST_PAUSE_S)
            assert drivers.readings.is_good("D-1.total", 0.5)

    world.run(story)


def test_quirk_07_sign_and_magnitude() -> None:
    frame = framed(1, bytes.fromhex("03 02 80 10"))
    # The manual prints E8 06, which is wrong.
    assert frame == bytes.fromhex("01 03 02 80 10 D8 48")
    awaited = Expected(1, b"\x03\x02", 4)
    framing = RtuFraming()
    framing.frame(1, bytes.fromhex("03 00 00 00 01"), 1)
    assert framing.feed(bytes.fromhex("01 03 02 80 10 E8 06"), {1: awaited}) == []
    [(_, pdu)] = RtuFraming().feed(frame, {1: awaited})
    assert one(pdu[2:], type="sm16").value == -16


def test_quirk_08_digits_above_nine() -> None:
    assert one("1234", type="bcd16").value == 1234
    for data in ("123A", "A234", "FFFF"):
        assert is_bad(one(data, type="bcd16"), Reason.NOT_A_NUMBER)


@pytest.mark.parametrize(
    ("kind", "data", "invalid"),
    [
        ("float32", "7FA00000", []),
        ("float32", "7FC00000", []),
        ("float32", "FF800000", []),
        ("uint16", "FFFF", [0xFFFF]),
        ("int16", "7FFF", [32767, -32768]),
        ("int16", "8000", [32767, -32768]),
        ("int16", "D8F1", [-9999]),
        ("float32", "C61C3C00", [-9999]),
    ],
)
def test_quirk_09_sentinels_are_no_number(kind: str, data: str, invalid: list[float]) -> None:
    assert is_bad(one(data, type=kind, invalid=invalid), Reason.NOT_A_NUMBER)


def test_quirk_10_the_status_that_stands_elsewhere_is_read_in_the_same_request(world: World) -> None:
    quality = {"signal": "state", "codes": {0: "ok", 1: "maintenance"}}
    fields: Fields = {
        "x": {"table": "holding", "address": 0, "quality_from": quality},
        "state": {"table": "holding", "address": 7},
    }
    assert spans(fields) == [(3, 0, 8)]
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "1 s", profile(fields))})

    async def story() -> None:
        far = world["bus"].devices
        async with driving(loaded, FOREVER_S) as drivers:
            for state, good in ((0, True), (1, False), (9, False), (0, True)):
                far.registers[1, 7] = state
                await asyncio.sleep(1.5)
                last = drivers.readings.last("D-1.x")
                assert last is not None
                assert last.good is good
                assert (last.value is None) is not good

    world.run(story)


def test_quirk_11_a_manual_counts_from_0_or_1() -> None:
    assert spans({"x": {"table": "holding", "address": 40}}, base=0) == [(3, 40, 1)]
    assert spans({"x": {"table": "holding", "address": 40}}, base=1) == [(3, 39, 1)]


# -- reading --------------------------------------------------------------------------------------------------------


def test_quirk_12_no_request_is_longer_than_the_standard_or_the_device_allows() -> None:
    assert spans(registers(*range(300))) == [(3, 0, 125), (3, 125, 125), (3, 250, 50)]
    assert spans(bits(*range(2100))) == [(1, 0, 2000), (1, 2000, 100)]
    assert spans(registers(*range(20)), registers=8) == [(3, 0, 8), (3, 8, 8), (3, 16, 4)]
    device = bench({"x": register(0)}, writing={"allow": [{"table": "holding", "first": 0, "last": 300}]})
    assert device.play(device.commands.raw(fc16(0, *range(123)))).ok
    with pytest.raises(Exception, match="no whole write"):
        device.commands.raw(fc16(0, *range(124)))


def test_quirk_13_holes_and_the_borders_of_areas_are_not_crossed() -> None:
    assert spans(registers(4, 6)) == [(3, 4, 1), (3, 6, 1)]
    assert spans(registers(4, 6), gap=1) == [(3, 4, 3)]
    assert spans(registers(*range(8)), areas=[[0, 3], [4, 9]]) == [(3, 0, 4), (3, 4, 4)]


@pytest.mark.parametrize("refusal", [b"\x83\x02", None], ids=["exception 02", "silence"])
@pytest.mark.parametrize("link", LINKS)
def test_quirk_14_a_failing_block_does_not_poison_good_values(world: World, link: str, refusal: bytes | None) -> None:
    """One of eight registers in a row is not there. What was found out holds across a reconnect."""
    fields = registers(*range(8))
    loaded = world.site({"bus": LINKS[link]}, {"D-1": device("bus", 1, "1 s", profile(fields))})

    async def story() -> None:
        far = world["bus"].devices

        def answer(request: Request, to: Replier) -> None:
            first, count = request.address, int.from_bytes(request.pdu[3:5])
            if not first <= 5 < first + count:
                to.reply(request, far.answer(request))
            elif refusal is not None:
                to.reply(request, refusal)

        far.behave(answer)
        async with driving(loaded, FOREVER_S) as drivers:
            good = [f"D-1.r{i}" for i in range(8) if i != 5]
            await asyncio.sleep(90)
            assert all(drivers.readings.is_good(name, 0) for name in good)
            assert not any(sample.good for sample in drivers.readings.of["D-1.r5"])
            apart = sum(event.name == "block-taken-apart" for event in drivers.events)
            assert 1 <= apart <= 3
            if link != "serial":
                world["bus"].hang_up()
                far.requests.clear()
                await asyncio.sleep(5)
                assert all(drivers.readings.is_good(name, 0) for name in good)
                assert max(int.from_bytes(r.pdu[3:5]) for r in far.requests) <= 4
                assert sum(event.name == "block-taken-apart" for event in drivers.events) == apart

    world.run(story)


def test_quirk_15_busy_and_acknowledge_mean_what_the_standard_says_and_0b_concerns_the_unit(world: World) -> None:
    acknowledged = bench({"x": register(5)})
    acknowledged.answer = lambda pdu: b"\x86\x05" if pdu[0] == 6 else None
    acknowledged.write("x", 7)
    assert acknowledged.functions.count(6) == 1
    busy = bench({"x": register(5)})
    refusals = iter([b"\x86\x06"])
    busy.answer = lambda pdu: next(refusals, None) if pdu[0] == 6 else None
    assert busy.write("x", 7).ok
    assert busy.functions.count(6) == 2

    loaded = world.site({"bus": tcp_link(502)}, {f"D-{unit}": device("bus", unit, "1 s") for unit in (1, 2)})

    async def story() -> None:
        far = world["bus"].devices
        far.behave(lambda r, to: to.reply(r, bytes([r.function | 0x80, 0x0B]) if r.unit == 1 else far.answer(r)))
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(3600)
            assert len(world["bus"].wires) == 1
            assert drivers.readings.all_bad("D-1")
            assert all(sample.good for sample in drivers.readings.of["D-2.level"])
            far.behave(None)
            await asyncio.sleep(10)
            assert drivers.readings.is_good("D-1.level", 0)

    world.run(story)


@pytest.mark.parametrize(
    ("baudrate", "silence_ms", "reply_ms"),
    [(1200, 32.1, 2300), (9600, 4.0, 292), (19200, 2.0, 146), (115200, 1.75, 24)],
)
def test_quirk_16_silence_and_deadlines_follow_from_the_line_speed(
    world: World, baudrate: int, silence_ms: float, reply_ms: float
) -> None:
    timing = line_timing(ModbusRtuLink(type="modbus-rtu", port="/dev/nowhere", baudrate=baudrate))
    assert 1000 * timing.silence_s == pytest.approx(silence_ms + 1, abs=0.1)
    assert 1000 * timing.frame_s(2 + 250) == pytest.approx(reply_ms, rel=0.02)
    link = SERIAL | {"baudrate": baudrate, "timeout": "0.1 s"}
    loaded = world.site({"bus": link}, {"D-1": device("bus", 1, "5 s", profile(registers(*range(125))))})

    async def story() -> None:
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(60)
            # The longest reply is awaited although it takes far longer than the link's own time-out.
            assert drivers.readings.is_good("D-1.r124", 0)
            assert drivers.links["bus"].status().devices["D-1"].timeouts == 0
        [wire] = world["bus"].wires
        assert 1000 * min(wire.silences) >= silence_ms

    world.run(story)


@pytest.mark.parametrize("declared", [True, False])
def test_quirk_17_an_adapter_that_echoes_and_a_slow_turnaround(world: World, declared: bool) -> None:
    link = SERIAL | {"local_echo": declared, "turnaround": "30 ms"}
    loaded = world.site({"bus": link}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()

        def answer(request: Request, to: Replier) -> None:
            to.send(framed(request.unit, request.pdu))
            loop.call_later(0.1, lambda: to.reply(request, far.answer(request)))

        far.behave(answer)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            assert (await drivers.write("D-1.setpoint", 7)).ok
            assert (await drivers.write("D-1.run", True)).ok
            # A device that has died is not taken for one that agrees to every write.
            far.behave(lambda r, to: to.send(framed(r.unit, r.pdu)))
            assert not (await drivers.write("D-1.setpoint", 8)).ok
            await asyncio.sleep(10)
            assert drivers.readings.all_bad("D-1")
        assert min(world["bus"].wires[0].silences) >= 0.03

    world.run(story)


@pytest.mark.parametrize("link", ["converter", "serial"])
def test_quirk_18_after_a_time_out_something_of_another_length_is_asked(world: World, link: str) -> None:
    loaded = world.site({"bus": LINKS[link]}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            lost = iter([True])

            begun = [0.0]

            def answer(request: Request, to: Replier) -> None:
                if is_level(request) and next(lost, False):
                    far.requests[:] = [request]
                    begun[0] = loop.time()
                    loop.call_at(begun[0] + 3.0, to.reply, request, b"\x03\x02\x02\x9a")
                    return
                # What is asked meanwhile is answered in its turn.
                turn = begun[0] + 3.0 + 0.1 * len(far.requests)
                right = far.answer(request)
                loop.call_at(turn if loop.time() < begun[0] + 3.0 else loop.time(), to.reply, request, right)

            far.behave(answer)
            await asyncio.sleep(10)
            following = far.requests[1].pdu
            assert (following[0], following[3:5]) != (3, b"\0\1")
            assert not any(666 in drivers.readings.values(name) for name in drivers.readings.of)
            assert drivers.readings.is_good("D-1.level", 0)

    world.run(story)


def lost_to(devices: Devices, dead: range, since: float, timeout: float) -> float:
    """For how many seconds a bus waited for dead units: until their time-out, or until it asked the next."""
    requests = [request for request in devices.requests if request.at >= since]
    return sum(min(after.at - before.at, timeout) for before, after in pairwise(requests) if before.unit in dead)


@pytest.mark.parametrize("dead", [1, 5, 10])
@pytest.mark.parametrize("link", ["serial", "tcp"])
def test_quirk_19_dead_units_cost_a_bus_at_most_a_twentieth_of_its_time(world: World, link: str, dead: int) -> None:
    """Of twelve units; and the living are read as if the dead were not there."""
    settings = LINKS[link] | {"timeout": "0.3 s", "retry": "0.5 s"}
    devices = {f"D-{unit}": device("bus", unit, "1 s", profile(LEVEL)) for unit in range(1, 13)}
    loaded = world.site({"bus": settings}, devices)
    timeout_s = 0.3 + line_timing(loaded.site.links["bus"]).transfer_s(5, 4)  # type: ignore[arg-type]

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            far.behave(only(far, *range(dead + 1, 13)))
            # Probes of a unit that was quick are short at first; how short cannot be seen from here.
            await asyncio.sleep(300)
            since, connections = loop.time(), len(world["bus"].wires)
            counts = {name: len(samples) for name, samples in drivers.readings.of.items()}
            await asyncio.sleep(600)
            # A window may begin and end with a probe.
            assert lost_to(far, range(1, dead + 1), since, timeout_s) <= 0.05 * 600 + timeout_s
            assert len(world["bus"].wires) == connections
            for unit in range(dead + 1, 13):
                samples = drivers.readings.of[f"D-{unit}.level"][counts[f"D-{unit}.level"] :]
                assert all(sample.good for sample in samples)
                assert len(samples) > 0.97 * 600
                # No two probes in a row: what a unit is late by is one time-out, and a turn of the others.
                assert (
                    max(after.received - before.received for before, after in pairwise(samples)) < 1.0 + 2 * timeout_s
                )
            # Each of the dead is still asked, and found when it is back.
            asked = {r.unit for r in far.requests if r.at >= since}
            assert asked == set(range(1, 13))
            far.behave(None)
            await asyncio.sleep(0.3 * 19 * dead * 1.5 + 30)
            assert all(drivers.readings.is_good(f"D-{unit}.level", 0) for unit in range(1, 13))

    world.run(story)


def test_quirk_19_a_unit_that_comes_and_goes_does_not_have_the_dead_probed_each_time(world: World) -> None:
    devices = {f"D-{unit}": device("bus", unit, "1 s", profile(LEVEL)) for unit in range(1, 13)}
    loaded = world.site({"bus": tcp_link(502, timeout="0.3 s", retry="0.5 s")}, devices)

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            since = loop.time()
            for _ in range(40):
                far.behave(only(far, 1, 2))
                await asyncio.sleep(10)
                assert not drivers.links["bus"].status().devices["D-3"].online
                far.behave(only(far, 1, 2, 3))
                await until(lambda: drivers.readings.is_good("D-3.level", 0), 60)
            dead = range(4, 13)
            assert lost_to(far, dead, since, 0.3) <= 0.1 * (loop.time() - since)

    world.run(story)


def test_quirk_19_where_all_are_dead_nobody_is_hurt_and_each_is_tried_soon(world: World) -> None:
    devices = {f"D-{unit}": device("bus", unit, "1 s") for unit in range(1, 6)}
    loaded = world.site({"bus": SERIAL | {"retry": "2 s"}}, devices)

    async def story() -> None:
        far = world["bus"].devices
        far.behave(only(far))
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(120)
            assert drivers.readings.all_bad()
            far.requests.clear()
            await asyncio.sleep(60)
            for unit in range(1, 6):
                assert len(far.to(unit)) >= 60 / 2 / 2
            far.behave(None)
            await asyncio.sleep(5)
            assert all(drivers.readings.is_good(f"D-{unit}.level", 0) for unit in range(1, 6))

    world.run(story)


def test_quirk_20_a_gateway_has_one_connection_and_one_request_at_a_time(world: World) -> None:
    devices = {f"D-{unit}": device("bus", unit, "100 ms") for unit in range(1, 6)}
    loaded = world.site({"bus": tcp_link(502)}, devices)

    async def story() -> None:
        far, loop, pending = world["bus"].devices, asyncio.get_running_loop(), [0, 0]

        def reply(request: Request, to: Replier) -> None:
            pending[0] -= 1
            to.reply(request, far.answer(request))

        def answer(request: Request, to: Replier) -> None:
            pending[0] += 1
            pending[1] = max(pending)
            loop.call_later(0.01, reply, request, to)

        far.behave(answer)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(20)
            await asyncio.gather(*(drivers.write(f"D-{unit}.setpoint", 7) for unit in range(1, 6)))
            assert pending[1] == 1
            assert len(world["bus"].wires) == 1

    world.run(story)


def test_quirk_20_an_idle_connection_is_kept_alive(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502, keep_alive="20 s")}, {"D-1": device("bus", 1, "5 min")})

    async def story() -> None:
        far = world["bus"].devices
        async with driving(loaded, FOREVER_S):
            await asyncio.sleep(3600)
        assert max(after.at - before.at for before, after in pairwise(far.requests)) < 21

    world.run(story)


def test_quirk_20_a_connection_per_cycle_is_given_up_between_the_rounds(world: World) -> None:
    link = tcp_link(502, connection="per-cycle")
    loaded = world.site({"bus": link}, {f"D-{unit}": device("bus", unit, "10 s") for unit in (1, 2)})

    async def story() -> None:
        far = world["bus"].devices
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(100)
            wires = world["bus"].wires
            assert 9 <= len(wires) <= 12
            assert sum(wire.open for wire in wires) <= 1
            assert all(sample.good for sample in drivers.readings.of["D-2.level"])
            await until(lambda: not any(wire.open for wire in wires), 20)
            # A write does not wait for the next round.
            begun = asyncio.get_running_loop().time()
            assert (await drivers.write("D-1.setpoint", 7)).ok
            assert asyncio.get_running_loop().time() - begun < 0.1
            assert drivers.links["bus"].status().connected
            far.behave(None)
            world["bus"].refuses = True
            written = drivers.write("D-1.setpoint", 8)
            await asyncio.sleep(12)
            assert written.done()
            assert drivers.readings.all_bad()
            world["bus"].refuses = False
            await asyncio.sleep(12)
            assert drivers.readings.is_good("D-1.level", 0)

    world.run(story)


@pytest.mark.parametrize("link", LINKS)
def test_quirk_21_framing_is_independent_of_transport(world: World, link: str) -> None:
    loaded = world.site({"bus": LINKS[link]}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far = world["bus"].devices
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(5)
            assert drivers.readings.is_good("D-1.level", 0)
            assert (await drivers.write("D-1.wide", 1.5)).ok
            assert far.broken == []

    world.run(story)


@pytest.mark.parametrize("any_unit", [True, False])
def test_quirk_22_a_probe_that_answers_as_another_unit_is_taken_only_where_that_is_said(
    world: World, any_unit: bool
) -> None:
    # Supmea: 00 03 00 04 00 01 C4 1A is answered by 02 03 02 34 7D 2A A5.
    assert framed(0, bytes.fromhex("03 00 04 00 01")) == bytes.fromhex("00 03 00 04 00 01 C4 1A")
    assert framed(2, bytes.fromhex("03 02 34 7D")) == bytes.fromhex("02 03 02 34 7D 2A A5")
    fields: Fields = {"x": {"table": "holding", "address": 4, "writable": True}}
    probe = device("bus", 0, "1 s", profile(fields)) | {"accept_any_unit": any_unit}
    loaded = world.site({"bus": SERIAL}, {"D-1": probe})

    async def story() -> None:
        far = world["bus"].devices
        far.behave(lambda r, to: to.reply(r, bytes.fromhex("03 02 34 7D"), unit=2))
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            assert drivers.readings.is_good("D-1.x", 0x347D) is any_unit
            # And unit 0 is everybody: nothing is written to it unasked.
            written = drivers.write("D-1.x", 1)
            assert written.done()
            assert not written.result().ok

    world.run(story)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("odd", ["transaction", "unit"])
def test_quirk_23_ids_of_zero_are_refused_or_taken_and_counted(world: World, strict: bool, odd: str) -> None:
    loaded = world.site({"bus": tcp_link(502, strict_ids=strict)}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far = world["bus"].devices
        far.behave(
            lambda r, to: to.reply(
                r, far.answer(r), transaction=0 if odd == "transaction" else None, unit=0 if odd == "unit" else None
            )
        )
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            assert drivers.readings.is_good("D-1.level", 0) is not strict
            status = drivers.links["bus"].status()
            assert (status.stray_bytes > 0) is strict
            assert bool(status.details.get("replies with ids of 0")) is not strict

    world.run(story)


@pytest.mark.parametrize("link", LINKS)
def test_quirk_24_what_nobody_asked_for_is_discarded_and_counted(world: World, link: str) -> None:
    """A probe in auto-report mode."""
    loaded = world.site({"bus": LINKS[link]}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far = world["bus"].devices
        report = framed(1, b"\x03\x02\x02\x9a")
        if link == "tcp":
            report = struct.pack(">HHHB", 0, 0, 5, 1) + b"\x03\x02\x02\x9a"
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(5)
            for _ in range(100):
                world["bus"].wires[0].noise(report)
                await asyncio.sleep(0.0371)
                await until(lambda: not world["bus"].asked)
            assert not any(666 in drivers.readings.values(name) for name in drivers.readings.of)
            assert drivers.links["bus"].status().stray_bytes >= 90 * len(report)
            assert all(sample.good for sample in drivers.readings.of["D-1.level"])
            assert far.broken == []

    world.run(story)


# -- writing --------------------------------------------------------------------------------------------------------


def test_quirk_25_a_request_outside_the_register_model_is_an_action() -> None:
    assert framed(1, bytes.fromhex("10 31 00 00 00 00")) == bytes.fromhex("01 10 31 00 00 00 00 74 94")
    assert framed(1, bytes.fromhex("10 31 00 00 00")) == bytes.fromhex("01 10 31 00 00 00 CE F5")
    probe = load_profile(DEVICES / "yosemitech-y511.yaml")
    assert isinstance(probe, ModbusProfile)
    assert any(action.request_pdu == bytes.fromhex("10 31 00 00 00 00") for action in probe.actions.values())
    device = bench({"x": register(5)}, actions={"wipe": {"request": "10 31 00 00 00 00", "reply": "10 31 00 00 00"}})
    assert device.play(device.commands.action("wipe")).ok


def test_quirk_26_a_write_is_checked_sent_once_read_back_and_confirmed() -> None:
    confirm = {"signal": "opened", "within": "2 s"}
    fields: Fields = {
        "open": switch(require={"remote": True}, safe=False, confirm=confirm),
        "remote": {"table": "coil", "address": 0, "type": "bool"},
        "opened": {"table": "coil", "address": 3, "type": "bool"},
    }
    device = bench(fields)
    assert "must be on first" in device.write("open", True).detail
    device.device.coils |= {(1, 0), (1, 3)}
    device.asked.clear()
    assert device.write("open", True).ok
    assert device.functions == [1, 6, 3, 1]
    assert device.effects == [("open", "")]
    lost = bench({"x": register(5)})
    lost.answer = lambda pdu: TIMED_OUT if pdu[0] == 6 else None
    assert not lost.write("x", 7).ok
    assert lost.functions == [6]


def test_quirk_27_a_watchdog_is_set_at_connect_and_fed_between_slow_polls(world: World) -> None:
    fields: Fields = {
        "limit": {"table": "holding", "address": 1, "writable": True},
        "beat": {"table": "holding", "address": 2, "writable": True},
    }
    watchdog = {"timeout": "30 s", "heartbeat": {"signal": "beat", "period": "5 s"}}
    feeding = profile(fields, watchdog=watchdog, on_connect={"limit": 30})
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "10 s", feeding)})

    async def story() -> None:
        far = world["bus"].devices
        async with driving(loaded, FOREVER_S):
            await asyncio.sleep(300)
            assert far.registers[1, 1] == 30
            assert len(far.to(1, 6, 1)) == 1
            beats = [request.at for request in far.to(1, 6, 2)]
            assert max(after - before for before, after in pairwise(beats)) < 5.5
            world["bus"].hang_up()
            far.registers[1, 1] = 0
            await asyncio.sleep(20)
            assert far.registers[1, 1] == 30

    world.run(story)


def test_quirk_28_a_device_is_written_by_the_functions_that_it_has() -> None:
    for writing, first in (
        ({}, fc06(5, 7)),
        ({"registers": "single"}, fc06(5, 7)),
        ({"registers": "multiple"}, fc16(5, 7)),
    ):
        device = bench({"x": register(5)}, writing=writing)
        assert device.write("x", 7).ok
        assert device.asked[0] == first
    coil = {"table": "coil", "address": 5, "type": "bool", "writable": True}
    for writing, first in (({}, b"\x05\0\x05\xff\0"), ({"coils": "multiple"}, b"\x0f\0\x05\0\x01\x01\x01")):
        device = bench({"c": coil}, writing=writing)
        assert device.write("c", True).ok
        assert device.asked[0] == first
    bit = {"b": register(5, type="bool", bit=3)}
    for writing, masks in (({}, False), ({"bits": "mask"}, True)):
        device = bench(bit, writing=writing)
        assert device.write("b", True).ok
        assert (22 in device.functions) == masks


def test_every_quirk_of_the_notes_has_its_test() -> None:
    numbers = {int(found[1]) for name in globals() if (found := re.match(r"test_quirk_(\d\d)_", name))}
    assert numbers == set(range(1, 29))


# -- section 0: what was found otherwise than assumed ---------------------------------------------------------------


def test_assumption_ammonium_is_y560_and_cod_is_y551() -> None:
    profiles = {name: load_profile(DEVICES / f"yosemitech-{name}.yaml") for name in ("y560", "y551")}
    assert any("ammon" in field for field in profiles["y560"].signals)
    assert any("cod" in field for field in profiles["y551"].signals)


@pytest.mark.parametrize("link", ["converter", "serial"])
def test_assumption_a_stale_reply_on_rtu_is_not_taken_for_the_next(world: World, link: str) -> None:
    """Asked for address 10, and given what address 0 was asked for before."""
    loaded = world.site({"bus": LINKS[link]}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far = world["bus"].devices
        held: list[tuple[Request, Replier]] = []

        def answer(request: Request, to: Replier) -> None:
            if is_level(request) and not held:
                held.append((request, to))
                return
            if len(held) == 1:
                to.reply(held[0][0], b"\x03\x02\x02\x9a")
                held.append((request, to))
            to.reply(request, far.answer(request))

        far.behave(answer)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(20)
            assert len(held) == 2
            assert not any(666 in drivers.readings.values(name) for name in drivers.readings.of)
            assert drivers.readings.is_good("D-1.flow", 0)

    world.run(story)


def test_assumption_the_length_of_a_reply_is_checked(world: World) -> None:
    """Asked for ten registers, and given one."""
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "1 s", profile(registers(*range(10))))})

    async def story() -> None:
        world["bus"].devices.behave(lambda r, to: to.reply(r, b"\x03\x02\x02\x9a"))
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            assert drivers.readings.all_bad("D-1")
            assert not any(drivers.readings.values(name) for name in drivers.readings.of)
            assert drivers.links["bus"].status().devices["D-1"].malformed >= 5

    world.run(story)


# -- section 4.1: what the library at hand lets through -------------------------------------------------------------


def test_library_of_a_changing_interface_only_the_check_sum_and_the_port_are_used() -> None:
    found: set[str] = set()
    for path in Path(drivers.modbus.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pymodbus"):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith("pymodbus") for alias in node.names)
    assert found == {
        "pymodbus.framer.rtu.FramerRTU",
        "pymodbus.transport.serialtransport.SerialTransport",
    }


def test_library_the_order_of_bits_is_our_own(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "1 s", profile(bits(*range(20))))})

    async def story() -> None:
        far = world["bus"].devices
        on = {0, 3, 9, 15, 16, 19}
        far.coils |= {(1, i) for i in on}
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(3)
            assert {i for i in range(20) if drivers.readings.is_good(f"D-1.b{i}", True)} == on

    world.run(story)


def test_library_cancellation_is_not_turned_into_an_error(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        world["bus"].devices.behave(lambda request, to: None)
        async with driving(loaded, FOREVER_S) as drivers:
            bus = drivers.links["bus"]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await bus.run()

    world.run(story)


def test_library_a_half_open_connection_is_given_up_after_two_time_outs(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502, timeout="1 s")}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        loop = asyncio.get_running_loop()
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            world["bus"].devices.behave(lambda request, to: None)
            begun = loop.time()
            await until(lambda: len(world["bus"].wires) > 1)
            assert loop.time() - begun < 5
            assert drivers.readings.all_bad("D-1")

    world.run(story)


@pytest.mark.parametrize("link", LINKS)
def test_library_a_write_without_an_answer_is_one_frame(world: World, link: str) -> None:
    loaded = world.site({"bus": LINKS[link]}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far = world["bus"].devices
        far.behave(lambda r, to: to.reply(r, far.answer(r)) if r.function != 6 else None)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(5)
            assert not (await drivers.write("D-1.setpoint", 7)).ok
            await asyncio.sleep(30)
            assert len(far.to(1, 6)) == 1

    world.run(story)


def test_library_a_silent_serial_port_is_closed_and_opened_anew(world: World) -> None:
    loaded = world.site({"bus": SERIAL}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        wires = world["bus"].wires

        def answer(request: Request, to: Replier) -> None:
            # The adapter has lost its way; only opening it anew helps.
            if len(wires) > 1:
                to.reply(request, world["bus"].devices.answer(request))

        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            world["bus"].devices.behave(answer)
            await asyncio.sleep(120)
            assert drivers.readings.is_good("D-1.level", 0)
            assert len(wires) == 2

    world.run(story)


def test_library_a_frame_with_a_bad_check_sum_does_not_cost_the_good_one_behind_it() -> None:
    framing = RtuFraming()
    framing.frame(1, bytes.fromhex("03 26 00 00 05"), 1)
    good = bytes.fromhex("01 03 0A 00 00 8D 41 00 00 8D 41 00 00 C7 33")
    bad = good[:-1] + b"\x34"
    awaited = Expected(1, b"\x03\x0a", 12)
    assert framing.feed(bad + good, {1: awaited}) == [(1, good[1:-2])]


def test_library_reconnects_follow_each_other_at_the_links_own_pace(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502, retry="30 s")}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        network = world["bus"]
        network.refuses = True
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(24 * 3600)
            assert drivers.readings.all_bad("D-1")
            network.refuses = False
            await asyncio.sleep(1.2 * 30 + 1)
            assert drivers.readings.is_good("D-1.level", 0)

    world.run(story)


def test_library_a_broadcast_waits_for_no_answer(world: World) -> None:
    everybody = device("bus", 0, "1 s", profile({"x": register(5)})) | {"broadcast_writes": True}
    loaded = world.site({"bus": SERIAL}, {"ALL": everybody, "D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        far.behave(only(far, 1))
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(5)
            begun = loop.time()
            await drivers.write("ALL.x", 7)
            assert loop.time() - begun < 0.1
            await asyncio.sleep(5)
            assert len(far.to(0, 6)) == 1
            assert all(sample.good for sample in drivers.readings.of["D-1.level"])

    world.run(story)


def test_library_one_dead_unit_does_not_delay_the_others_behind_a_gateway(world: World) -> None:
    devices = {f"D-{unit}": device("bus", unit, "1 s") for unit in (1, 2)}
    loaded = world.site({"bus": tcp_link(502, timeout="1 s", retry="5 s")}, devices)

    async def story() -> None:
        far = world["bus"].devices
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            far.behave(only(far, 2))
            await asyncio.sleep(30)
            first = len(drivers.readings.of["D-2.level"])
            await asyncio.sleep(300)
            samples = drivers.readings.of["D-2.level"][first:]
            gaps = [after.received - before.received for before, after in pairwise(samples)]
            assert max(gaps) < 2.1
            assert sum(gap > 1.1 for gap in gaps) < 0.1 * len(gaps)

    world.run(story)


def test_library_a_devices_exception_is_never_a_reading(world: World) -> None:
    loaded = world.site({"bus": tcp_link(502)}, {"D-1": device("bus", 1, "1 s")})

    async def story() -> None:
        far = world["bus"].devices
        for code in (*range(1, 12), 0, 255):
            far.behave(lambda r, to, code=code: to.reply(r, bytes([r.function | 0x80, code])))  # type: ignore[misc]
            async with driving(loaded, FOREVER_S) as drivers:
                await asyncio.sleep(10)
                assert not any(drivers.readings.values(name) for name in drivers.readings.of), code
                assert drivers.links["bus"].status().devices["D-1"].exceptions > 0

    world.run(story)
