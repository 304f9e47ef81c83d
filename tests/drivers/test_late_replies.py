"""On a line whose replies name no request, no late reply is ever taken for the answer to a later request.

The device of these stories is any that answers in order: after a healthy beginning it may take as long as it likes for
each request, leave it unanswered, refuse it, and its replies may come after the connection was opened anew. Every
register holds the number of the request that it answers, so that a reading tells by itself what it is an answer to.
"""

import asyncio
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.load import LoadedSite
from config.sample import Sample
from config.signals import Signal
from drivers.modbus.decoder import modbus
from tests.drivers.fault_devices import Request
from tests.drivers.sites import Fields, device, driving, site_of
from tests.drivers.virtual import Network, World

TIMEOUT_S = 0.2
HEALTHY_S, SECONDS = 1.5, 14.0
"""Of a story: the devices are polled each second, and are in order at first."""
NEVER = -1.0
IN_TURN_S = 1e-4
"""Between two replies at least: timers for the same moment go off in any order."""
REFUSED = st.sampled_from([0x02, 0x04, 0x06])

LINKS: dict[str, dict[str, object]] = {
    "serial": {"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 115200},
    "converter": {"type": "modbus-tcp", "host": "127.0.0.1", "framing": "rtu"},
    "ids of zero": {"type": "modbus-tcp", "host": "127.0.0.1", "strict_ids": False},
}


def registers(**places: tuple[str, int, str]) -> Fields:
    return {name: {"table": table, "address": at, "type": kind} for name, (table, at, kind) in places.items()}


DEVICES: dict[str, Fields] = {
    "many of one shape": registers(
        a=("holding", 0, "uint16"),
        b=("holding", 10, "uint16"),
        c=("holding", 20, "uint16"),
        w=("holding", 30, "uint32"),
    ),
    "two tables": registers(a=("holding", 0, "uint16"), b=("holding", 10, "uint16"), i=("input", 0, "uint16")),
    "three sizes": registers(a=("holding", 0, "uint16"), w=("holding", 10, "uint32"), d=("holding", 20, "uint64")),
}
ALIKE: dict[str, Fields] = {
    "one register": registers(a=("holding", 0, "uint16")),
    "two of one shape": registers(a=("holding", 0, "uint16"), b=("holding", 10, "uint16")),
}
"""Nothing can be told apart here; what helps is that late replies come within three time-outs."""


class InOrder:
    """A device that answers in order, as slowly and as incompletely as it is told: by ``delays`` of its requests."""

    def __init__(self, network: Network, fates: list[tuple[float, int | None]], zero_ids: bool) -> None:
        self.asked: list[Request] = []
        self._network = network
        self._fates = fates
        self._zero_ids = zero_ids
        self._answered_until: dict[int, float] = {}
        self._begun = asyncio.get_running_loop().time()

    def took(self, request: Request, to: object) -> None:
        number = len(self.asked)
        self.asked.append(request)
        loop = asyncio.get_running_loop()
        healthy = not self._fates or loop.time() < self._begun + HEALTHY_S
        delay, refusal = (0.0, None) if healthy else self._fates[number % len(self._fates)]
        if delay == NEVER:
            return
        at = max(self._answered_until.get(request.unit, 0.0) + IN_TURN_S, loop.time() + delay)
        self._answered_until[request.unit] = at
        loop.call_at(at, self._answer, request, number, refusal)

    def _answer(self, request: Request, number: int, refusal: int | None) -> None:
        count = struct.unpack(">H", request.pdu[3:5])[0]
        data = struct.pack(">H", number) * count
        pdu = bytes([request.function, len(data)]) + data
        if refusal is not None:
            pdu = bytes([request.function | 0x80, refusal])
        # Whoever is connected then gets it: a converter does not know for whom it was.
        far = self._network.wires[-1].far
        far.reply(request, pdu, transaction=0 if self._zero_ids else None)


def check(loaded: LoadedSite, of: Mapping[str, list[Sample]], asked: list[Request]) -> None:
    """Every good reading is the answer to a request that was made for it, within the time that it is awaited."""
    for signal in loaded.signals.field:
        for sample in of[signal.name]:
            if sample.good:
                request = asked[number_of(sample)]
                assert request.unit == loaded.site.devices[signal.device].unit
                assert covers(request, signal), f"{signal.name} has what {request.pdu.hex(' ')} was answered"
                assert sample.received - request.at < TIMEOUT_S + 0.05, f"{signal.name} is of an earlier request"


def number_of(sample: Sample) -> int:
    return int.from_bytes(sample.raw[-2:])


def covers(request: Request, signal: Signal) -> bool:
    first, count = request.address, int.from_bytes(request.pdu[3:5])
    definition = modbus(signal)
    at = definition.address
    return request.function == {"holding": 3, "input": 4}[definition.table] and first <= at < first + count


def story(loaded: LoadedSite, fates: list[tuple[float, int | None]], breaks: list[float], zero_ids: bool) -> int:
    """Runs one story; how many good readings there were."""
    good = 0
    with pytest.MonkeyPatch.context() as patch:
        world = World(patch, loaded.path.parent)
        world.lay(loaded)

        async def run() -> None:
            nonlocal good
            loop = asyncio.get_running_loop()
            far = InOrder(world["bus"], fates, zero_ids)
            world["bus"].devices.behave(far.took)
            async with driving(loaded, 1e6) as drivers:
                for after in breaks:
                    loop.call_later(after, world["bus"].hang_up)
                await asyncio.sleep(SECONDS)
                check(loaded, drivers.readings.of, far.asked)
                good = sum(sample.good for samples in drivers.readings.of.values() for sample in samples)

        world.run(run)
    return good


def fates_up_to(longest: float) -> st.SearchStrategy[list[tuple[float, int | None]]]:
    delay = st.just(0.001) | st.just(NEVER) | st.floats(0, longest)
    return st.lists(st.tuples(delay, st.none() | st.none() | REFUSED), max_size=40)


BREAKS = st.lists(st.floats(HEALTHY_S, SECONDS - 1), max_size=3)


def laid_out(folder: Path, link: str, fields: Fields) -> LoadedSite:
    profile = {"protocol": "modbus", "limits": {"response_delay": "0 s"}, "signals": dict(fields)}
    devices = {"D-1": device("bus", 1, "1 s", profile), "D-2": device("bus", 2, "1 s", profile)}
    settings = {"timeout": f"{TIMEOUT_S} s", "retry": "0.5 s"}
    return site_of(folder, {"bus": LINKS[link] | settings}, devices)


FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("fields", DEVICES)
def test_a_late_reply_is_never_taken_for_another_however_late_it_is(tmp_path: Path, link: str, fields: str) -> None:
    loaded = laid_out(tmp_path, link, DEVICES[fields])

    @FEW
    @given(fates_up_to(10.0), BREAKS if link == "converter" else st.just([]))
    def any_story(fates: list[tuple[float, int | None]], breaks: list[float]) -> None:
        story(loaded, fates, breaks, link == "ids of zero")

    any_story()
    assert story(loaded, [], [], link == "ids of zero") > 60


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("fields", ALIKE)
def test_where_nothing_can_be_told_apart_a_late_reply_is_let_lie(tmp_path: Path, link: str, fields: str) -> None:
    loaded = laid_out(tmp_path, link, ALIKE[fields])

    @FEW
    @given(fates_up_to(3 * TIMEOUT_S))
    def any_story(fates: list[tuple[float, int | None]]) -> None:
        story(loaded, fates, [], link == "ids of zero")

    any_story()
    assert story(loaded, [], [], link == "ids of zero") > 20
