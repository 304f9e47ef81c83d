"""What users of other gateways have reported, by project and number: each situation, and that ours gets out of it.

Those about devices that went away stand in ``test_named_faults_return``, those about the link to the platform in
``tests/edge/test_named_faults.py``. Every register holds a number that says whose it is, so that a value on the wrong
sensor shows at once.
"""

import asyncio
import random
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from config.sample import Reason
from tests.drivers.fault_devices import Devices, FaultServer, Replier, Request
from tests.drivers.sites import Fields, Readings, device, driving, site_of
from tests.drivers.test_bus import FOREVER_S, only
from tests.drivers.virtual import Network, Wire, World
from tests.hil_sim.sites import until

NAMED = {
    ("telegraf", 11782),
    ("openems", 6),
    ("thingsboard", 2132),
    ("thingsboard", 1339),
    ("thingsboard", 829),
    ("home_assistant", 55076),
    ("home_assistant", 148329),
    ("home_assistant", 51103),
    ("grid_x_modbus", 78),
    ("home_assistant", 68161),
    ("openems", 3875),
}

KINDS = ("tcp", "converter", "serial")
TIMEOUT_S, RETRY_S = 0.2, 1.0
FIRST = {"a": 0, "b": 10, "c": 20}
"""Three blocks of one shape: nothing but order or a number tells their replies apart."""
READ = FIRST | {"i": 40}
LIMIT, LIMIT_VALUE = 60, 30
"""A register that a device has forgotten when it starts, and that it is to be told."""
SIGNALS: Fields = {name: {"table": "holding", "address": at} for name, at in FIRST.items()} | {
    "i": {"table": "input", "address": 40},
    "w": {"table": "holding", "address": 50, "type": "int32", "writable": True},
    "limit": {"table": "holding", "address": LIMIT, "writable": True},
}
PROFILE = {
    "protocol": "modbus",
    "limits": {"response_delay": "0 s"},
    "signals": SIGNALS,
    "on_connect": {"limit": LIMIT_VALUE},
}
HOUR_S = 3600.0


def link_of(kind: str, **more: object) -> dict[str, object]:
    pace: dict[str, object] = {"timeout": f"{TIMEOUT_S} s", "retry": f"{RETRY_S} s"}
    link: dict[str, object] = {"type": "modbus-tcp", "host": "127.0.0.1"}
    if kind == "serial":
        link = {"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 19200}
    elif kind == "converter":
        link["framing"] = "rtu"
    return link | pace | more


def units(count: int, poll: str = "1 s") -> dict[str, object]:
    return {f"D-{unit}": device("bus", unit, poll, PROFILE) for unit in range(1, count + 1)}


def own(unit: int, address: int) -> int:
    return 1000 * unit + address + 1


def mark(far: Devices, count: int) -> None:
    """Gives every register of so many units the number that says whose it is; none is zero."""
    far.registers |= {(unit, at): own(unit, at) for unit in range(1, count + 1) for at in READ.values()}


def check_own(readings: Readings, count: int) -> None:
    """No sensor ever had a value that is not its own."""
    for unit in range(1, count + 1):
        for name, at in READ.items():
            assert set(readings.values(f"D-{unit}.{name}")) == {own(unit, at)}, f"D-{unit}.{name}"


def all_good(readings: Readings, *numbers: int) -> bool:
    return all(readings.is_good(f"D-{unit}.{name}", own(unit, at)) for unit in numbers for name, at in READ.items())


def good_since(readings: Readings, number: int, since: float) -> int:
    """How many readings of ``a`` of a unit there were since a time, of which every one was good."""
    later = [sample for sample in readings.of[f"D-{number}.a"] if sample.received >= since]
    assert all(sample.good for sample in later)
    return len(later)


def opened(network: Network) -> bool:
    return bool(network.wires) and network.wires[-1].open


# -- one dead unit on a bus -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["off", "busy"])
@pytest.mark.parametrize("kind", KINDS)
def test_telegraf_11782_one_unit_off_or_busy_costs_no_reading_of_the_others(
    world: World, kind: str, state: str
) -> None:
    """With one slave off all data of the bus were thrown away, and with one busy all slaves were read once more."""
    loaded = world.site({"bus": link_of(kind)}, units(4))

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        mark(far, 4)

        def answer(request: Request, to: Replier) -> None:
            if request.unit != 2:
                to.reply(request, far.answer(request))
            elif state == "busy":
                to.reply(request, bytes([request.function | 0x80, 6]))

        # It is so from the very start: nobody has ever seen this unit.
        far.behave(answer)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(30)
            since, asked = loop.time(), len(far.requests)
            await asyncio.sleep(120)
            for unit in (1, 3, 4):
                assert good_since(drivers.readings, unit, since) >= 118
                assert len(far.to(unit, 3, 0)) <= 151
            assert len(far.requests) - asked >= 3 * 5 * 118
            assert not any(drivers.readings.values(f"D-2.{name}") for name in SIGNALS)
            reason = Reason.DEVICE_BUSY if state == "busy" else Reason.NO_COMMUNICATION
            assert drivers.readings.is_bad("D-2.a", reason)
            far.behave(None)
            await until(lambda: all_good(drivers.readings, 1, 2, 3, 4), 10)
            await asyncio.sleep(5)
            check_own(drivers.readings, 4)

    world.run(story)


@pytest.mark.parametrize("kind", KINDS)
def test_openems_6_a_unit_that_is_disconnected_blocks_nobody(world: World, kind: str) -> None:
    """When one device of an RS-485 bus was unplugged, the update of all others was blocked too."""
    loaded = world.site({"bus": link_of(kind)}, units(5))

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        mark(far, 5)
        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(10)
            connections, unplugged = len(world["bus"].wires), loop.time()
            far.behave(only(far, 1, 2, 4, 5))
            await asyncio.sleep(HOUR_S / 6)
            assert drivers.readings.all_bad("D-3")
            assert len(world["bus"].wires) == connections
            for unit in (1, 2, 4, 5):
                assert good_since(drivers.readings, unit, unplugged) >= 0.99 * HOUR_S / 6
                at = [sample.received for sample in drivers.readings.of[f"D-{unit}.a"]]
                assert max(after - before for before, after in pairwise(at)) < 1.0 + 2.5 * TIMEOUT_S
            # The bus waits for it seldom, but for good never stops to.
            waited = [r for r in far.to(3) if r.at >= unplugged + 60]
            assert 0 < len(waited) * TIMEOUT_S <= 0.06 * HOUR_S / 6
            far.behave(None)
            await until(lambda: all_good(drivers.readings, 3), 10)
            check_own(drivers.readings, 5)

    world.run(story)


# -- the wrong value, or none at all --------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["unasked", "asked"])
@pytest.mark.parametrize("kind", KINDS)
def test_home_assistant_55076_what_was_asked_before_a_reconnect_answers_nothing_after_it(
    world: World, kind: str, moment: str
) -> None:
    """After a device had been connected anew its sensors showed the values of others."""
    random.seed(55076)
    loaded = world.site({"bus": link_of(kind)}, units(2))

    async def story() -> None:
        network, far = world["bus"], world["bus"].devices
        mark(far, 2)
        owed: list[bytes] = []
        asked: set[int] = set()

        def keep_waiting(request: Request, to: Replier) -> None:
            asked.add(request.address)
            owed.append(to.frame(request, far.answer(request)))

        def first_what_is_owed(request: Request, to: Replier) -> None:
            while owed:
                to.send(owed.pop(0))
            to.reply(request, far.answer(request))

        def greet(wire: Wire) -> None:
            while moment == "unasked" and owed:
                wire.far.send(owed.pop(0))

        network.greeting = greet
        async with driving(loaded, FOREVER_S) as drivers:
            for round_ in range(40):
                await asyncio.sleep(5 + 0.13 * round_)
                assert all_good(drivers.readings, 1, 2)
                far.behave(keep_waiting)
                await until(lambda: bool(owed), 5)
                far.behave(None if moment == "unasked" else first_what_is_owed)
                network.hang_up()
            await asyncio.sleep(5)
            assert asked >= set(FIRST.values())
            assert all_good(drivers.readings, 1, 2)
            check_own(drivers.readings, 2)

    world.run(story)


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_home_assistant_148329_no_moment_of_a_reconnect_gives_a_value_to_the_wrong_sensor(
    world: World, kind: str, pieces: int
) -> None:
    """When a reconnect fell between request and reply, a value could be returned to the wrong sensor."""
    random.seed(148329)
    poll = {"D-1": "0.5 s", "D-2": "0.3 s"}
    devices = {tag: device("bus", int(tag[-1]), period, PROFILE) for tag, period in poll.items()}
    loaded = world.site({"bus": link_of(kind)}, devices)

    async def story() -> None:
        network, far, loop = world["bus"], world["bus"].devices, asyncio.get_running_loop()
        mark(far, 2)
        owed: list[bytes] = []
        strays = 0

        def pass_on(data: bytes) -> None:
            if opened(network):
                network.wires[-1].far.send(data)
            else:
                owed.append(data)

        def greet(wire: Wire) -> None:
            # As a gateway does: what nobody was there for goes to whoever is connected now, in order.
            nonlocal strays
            strays += len(owed)
            while owed:
                loop.call_later(0.01, wire.far.send, owed.pop(0))

        def answer(request: Request, to: Replier) -> None:
            frame = to.frame(request, far.answer(request))
            middle = len(frame) // pieces
            loop.call_later(0.02, pass_on, frame[:middle] if pieces > 1 else frame)
            if pieces > 1:
                loop.call_later(0.03, pass_on, frame[middle:])

        far.behave(answer)
        network.greeting = greet
        async with driving(loaded, FOREVER_S) as drivers:
            for cut in range(200):
                await asyncio.sleep(1.0 + 0.0017 * cut)
                network.hang_up()
            # What is owed comes before the device is quick: it never answers out of turn.
            await asyncio.sleep(1)
            far.behave(None)
            await asyncio.sleep(10)
            assert strays > 20
            assert all_good(drivers.readings, 1, 2)
            check_own(drivers.readings, 2)
            assert drivers.links["bus"].status().connects >= 200

    world.run(story)


@pytest.mark.parametrize("code", [5, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_home_assistant_51103_a_busy_device_is_never_read_as_zero(world: World, kind: str, code: int) -> None:
    """A slave that answered that it was busy was recorded as 0."""
    loaded = world.site({"bus": link_of(kind)}, units(2, "5 s"))

    async def story() -> None:
        far = world["bus"].devices
        mark(far, 2)
        refusals = 0

        def busy_for(times: int) -> Callable[[Request, Replier], None]:
            left = dict.fromkeys(FIRST.values(), times)

            def answer(request: Request, to: Replier) -> None:
                nonlocal refusals
                if request.unit == 1 and left.get(request.address, 0) > 0:
                    left[request.address] -= 1
                    refusals += 1
                    to.reply(request, bytes([request.function | 0x80, code]))
                else:
                    to.reply(request, far.answer(request))

            return answer

        async with driving(loaded, FOREVER_S) as drivers:
            await asyncio.sleep(20)
            # Busy for a moment, as once or twice a day: it is asked again, and nobody sees anything of it.
            far.behave(busy_for(1))
            await asyncio.sleep(30)
            assert refusals == 3
            assert all(sample.good for sample in drivers.readings.of["D-1.a"])
            # Busy all the time: that is said, and no number.
            far.behave(busy_for(1000))
            await asyncio.sleep(30)
            for name in FIRST:
                assert drivers.readings.is_bad(f"D-1.{name}", Reason.DEVICE_BUSY)
            assert all_good(drivers.readings, 2)
            far.behave(None)
            await until(lambda: all_good(drivers.readings, 1), 10)
            check_own(drivers.readings, 2)

    world.run(story)


# -- out of step ----------------------------------------------------------------------------------------------------


class Slow:
    """A device that answers in the order in which it was asked, each request after so many seconds."""

    def __init__(self, far: Devices) -> None:
        self.delay = 0.0
        self._far = far
        self._free_at = 0.0

    def __call__(self, request: Request, to: Replier) -> None:
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time()) + self.delay
        loop.call_at(self._free_at, to.reply, request, self._far.answer(request))


class OneBehind:
    """A device that answers a request when it is asked the next one, if it is behind."""

    def __init__(self, far: Devices) -> None:
        self.behind = True
        self._far = far
        self._held: tuple[Request, Replier] | None = None

    def __call__(self, request: Request, to: Replier) -> None:
        held, self._held = self._held, (request, to)
        if held is not None:
            held[1].reply(held[0], self._far.answer(held[0]))
        if not self.behind:
            self._held = None
            to.reply(request, self._far.answer(request))


@pytest.mark.parametrize("how", ["slow", "one behind"])
@pytest.mark.parametrize("kind", KINDS)
def test_grid_x_modbus_78_a_device_that_was_slow_is_in_step_again_by_itself(world: World, kind: str, how: str) -> None:
    """After one time-out every answer was taken for that of the request before it, until a restart."""
    loaded = world.site({"bus": link_of(kind)}, units(1))

    async def story() -> None:
        far, loop = world["bus"].devices, asyncio.get_running_loop()
        mark(far, 1)
        async with driving(loaded, FOREVER_S) as drivers:
            for _ in range(20):
                await asyncio.sleep(5)
                timeouts = drivers.links["bus"].status().devices["D-1"].timeouts
                slow, behind = Slow(far), OneBehind(far)
                slow.delay = 1.5 * TIMEOUT_S
                far.behave(slow if how == "slow" else behind)
                await asyncio.sleep(2.3)
                assert drivers.links["bus"].status().devices["D-1"].timeouts > timeouts
                slow.delay, behind.behind = 0.0, False
                # It is in step within two retries, and remains so.
                await asyncio.sleep(2 * RETRY_S + 1)
                since = loop.time()
                await asyncio.sleep(10.2)
                assert good_since(drivers.readings, 1, since) >= 10
            check_own(drivers.readings, 1)

    world.run(story)


async def test_grid_x_modbus_78_over_a_real_socket(tmp_path: Path) -> None:
    """After one time-out every answer was taken for that of the request before it, until a restart."""
    server = FaultServer()
    await server.open()
    try:
        far = server.devices
        mark(far, 1)
        loaded = site_of(tmp_path, {"bus": link_of("tcp", port=server.port, retry="0.2 s")}, units(1, "40 ms"))
        async with driving(loaded) as drivers:
            await until(lambda: all_good(drivers.readings, 1))
            for _ in range(2):
                timeouts = drivers.links["bus"].status().devices["D-1"].timeouts
                late = OneBehind(far)
                far.behave(late)
                await until(lambda: drivers.links["bus"].status().devices["D-1"].timeouts > timeouts)  # noqa: B023
                late.behind = False
                replies = drivers.links["bus"].status().devices["D-1"].replies
                await until(lambda: drivers.links["bus"].status().devices["D-1"].replies >= replies + 30)  # noqa: B023
                await until(lambda: all_good(drivers.readings, 1))
            check_own(drivers.readings, 1)
    finally:
        server.close()
    assert far.broken == []


# -- all of them ----------------------------------------------------------------------------------------------------


def test_every_named_fault_has_its_test() -> None:
    files = Path(__file__).parents[1].glob("*/test_named_faults*.py")
    found = [name for file in files for name in re.findall(r"def test_([a-z_]+?)_(\d+)_", file.read_text("utf-8"))]
    assert {(project, int(number)) for project, number in found} == NAMED
