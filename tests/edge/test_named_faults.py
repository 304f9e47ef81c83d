"""What users of other gateways have reported of the link to the platform, by number: the field is read on and on.

The reports about the field itself stand in ``tests/drivers/test_named_faults.py``. Controller and forwarder run in one
loop here, closer together than the two processes that they are: what ended one would end the other.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.load import LoadedSite, load_site
from config.sample import Value
from edge import rpc, sparkplug
from edge.cli.client import forwarder_status
from edge.cli.relay import Relay
from edge.controller.process import run_controller
from edge.forwarder.forwarder import run_forwarder
from edge.forwarder.receiver import Completeness, listening
from edge.store import database, ledger, spool, writer
from tests.drivers.fault_devices import Devices, Replier, Request, fault_server
from tests.drivers.virtual import World
from tests.edge.brokers import embedded, free_port
from tests.edge.sites import site_data
from tests.hil_sim.sites import until

LINKS: dict[str, dict[str, object]] = {
    "tcp": {"type": "modbus-tcp", "host": "127.0.0.1"},
    "converter": {"type": "modbus-tcp", "host": "127.0.0.1", "framing": "rtu"},
    "serial": {"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 19200},
}
FLOW, TURBIDITY = 0, 6
"""Where the flow and the turbidity of the small site are, as input registers."""
NOBODY = "mqtt://127.0.0.1:1"
"""A broker that refuses every connection."""
POLL_S = 3.0
OUTAGE_S = 2400.0
"""The polling that stopped is said to have done so after 24 to 33 minutes."""
REAL_DEADLINE_S = 20.0


def field_site(folder: Path, kind: str, broker: str) -> LoadedSite:
    """The small site at any kind of link, at the pace of a slow plant."""
    data = site_data(1, broker)
    data["scan"] = {"period": f"{POLL_S} s"}
    data["record"] = {"interval": "2 s"}
    data["links"]["io"] = LINKS[kind] | {"timeout": "0.5 s", "retry": "10 s"}
    data["devices"]["D-1"]["poll"] = f"{POLL_S} s"
    data["uplink"] |= {"retry": "20 s"}
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), "utf-8")
    return load_site(path)


class Field:
    """A device whose flow is another with each poll. ``busy``: it answers so instead."""

    def __init__(self, devices: Devices) -> None:
        self.devices = devices
        self.busy = False
        devices.registers[1, FLOW] = 0x4100
        devices.behave(self)

    def __call__(self, request: Request, to: Replier) -> None:
        if self.busy and request.function == 4:
            to.reply(request, b"\x84\x06")
            return
        if request.function == 4:
            self.devices.registers[1, FLOW + 1] = len(self.devices.requests) % 0x10000
        to.reply(request, self.devices.answer(request))

    def polled_at(self, since: float) -> list[float]:
        return [request.at for request in self.devices.requests if request.function == 4 and request.at >= since]


def longest_pause(times: list[float]) -> float:
    return max(after - before for before, after in pairwise(times))


@contextlib.asynccontextmanager
async def station(loaded: LoadedSite, state: Path) -> AsyncIterator[None]:
    """Controller and forwarder; that either ends by itself is an error."""
    tasks = [asyncio.create_task(run(loaded, state)) for run in (run_controller, run_forwarder)]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
                raise AssertionError("it ended by itself")
    finally:
        for task in reversed(tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class Platform:
    """What has arrived at the broker."""

    def __init__(self) -> None:
        self.completeness = Completeness()

    async def take(self, port: int) -> None:
        async with listening(f"mqtt://127.0.0.1:{port}", "changzhi") as messages:
            async for message in messages:
                self.completeness.take(message)


@contextlib.asynccontextmanager
async def platform_at(port: int) -> AsyncIterator[Platform]:
    async with embedded(port):
        platform = Platform()
        task = asyncio.create_task(platform.take(port))
        try:
            yield platform
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def records(state: Path) -> list[spool.Record]:
    """Every record that waits."""
    opened = spool.Spool(state / spool.FILE_NAME)
    try:
        return opened.read(0, 10**6)
    finally:
        opened.close()


def produced(state: Path) -> int:
    """How many records there were since the first start."""
    opened = spool.Spool(state / spool.FILE_NAME)
    try:
        return opened.last_sequence(1)
    finally:
        opened.close()


def recorded(state: Path, signal: str) -> list[tuple[Value, int]]:
    """What waits of a signal of the device: value and Sparkplug quality."""
    opened = spool.Spool(state / spool.FILE_NAME)
    [alias] = [alias for alias, one in opened.metrics().items() if (one.device, one.name) == ("D-1", signal)]
    opened.close()
    metrics = (
        metric for one in records(state) if one.kind == "data" for metric in sparkplug.parse(one.payload).metrics
    )
    return [
        (sparkplug.metric_value(metric), sparkplug.metric_quality(metric))
        for metric in metrics
        if metric.alias == alias
    ]


async def delivered(folder: Path, state: Path) -> None:
    """There is a broker again: everything that waits arrives there."""
    last, port = produced(state), free_port()
    loaded = field_site(folder, "tcp", f"mqtt://127.0.0.1:{port}")
    async with platform_at(port) as platform:
        forwarding = asyncio.create_task(run_forwarder(loaded, state))
        try:
            await until(lambda: platform.completeness.has_all("small-01", 1, last), REAL_DEADLINE_S)
        finally:
            forwarding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await forwarding
    assert platform.completeness.missing() == {}


# -- the link to the platform ---------------------------------------------------------------------------------------


def test_thingsboard_2132_a_long_time_without_the_platform_does_not_stop_the_polling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an hour after the internet had gone, the local Modbus devices were not polled any more, until a restart."""
    state = tmp_path / "state"
    loaded = field_site(tmp_path, "tcp", NOBODY)
    world = World(monkeypatch, tmp_path)
    world.lay(loaded)

    async def story() -> None:
        field, loop = Field(world["io"].devices), asyncio.get_running_loop()
        async with station(loaded, state):
            await asyncio.sleep(10)
            began = loop.time()
            await asyncio.sleep(OUTAGE_S)
            polls = field.polled_at(began)
            assert len(polls) >= OUTAGE_S / POLL_S - 1
            assert longest_pause(polls) < 1.1 * POLL_S
            uplink = forwarder_status(state)
            assert uplink is not None
            assert (uplink["connects"], uplink["connected"]) == (0, False)
            assert uplink["last_error"]

    world.run(story)
    flows = [value for value, _ in recorded(state, "flow") if value is not None]
    assert len(set(flows)) > 0.9 * OUTAGE_S / POLL_S
    asyncio.run(delivered(tmp_path, state))


def test_thingsboard_2132_not_even_when_what_waits_for_the_platform_fills_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an hour after the internet had gone, the local Modbus devices were not polled any more, until a restart."""
    state = tmp_path / "state"
    loaded = field_site(tmp_path, "tcp", NOBODY)
    world = World(monkeypatch, tmp_path)
    world.lay(loaded)
    files: list[sqlite3.Connection] = []

    def small_disk(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = database.open_database(*arguments, **options)
        connection.execute("PRAGMA max_page_count=24")
        files.append(connection)
        return connection

    monkeypatch.setattr(spool, "open_database", small_disk)
    monkeypatch.setattr(writer, "MAX_WAITING", 100)
    # The store's thread lives in real time.
    monkeypatch.setattr(writer, "COMMIT_S", 0.01)
    monkeypatch.setattr(writer, "RETRY_S", 0.01)

    async def store() -> dict[str, Any]:
        status: dict[str, Any] = (await rpc.call(state, {"op": "status"}))["store"]
        return status

    async def story() -> None:
        field, loop = Field(world["io"].devices), asyncio.get_running_loop()
        async with station(loaded, state):
            await asyncio.sleep(10)
            async with asyncio.timeout(OUTAGE_S):
                while (await store())["fault"] is None:  # noqa: ASYNC110 - it is asked over a socket
                    await asyncio.sleep(10)
            began = loop.time()
            await asyncio.sleep(OUTAGE_S / 4)
            polls = field.polled_at(began)
            assert len(polls) >= OUTAGE_S / 4 / POLL_S - 1
            assert longest_pause(polls) < 1.1 * POLL_S
            full = await store()
            assert "full" in full["fault"]
            assert full["waiting"] <= 100 + 20
            assert full["dropped"] > 0
            # Somebody makes room.
            for connection in files:
                connection.execute("PRAGMA max_page_count=1000000")
            async with asyncio.timeout(OUTAGE_S):
                while (await store())["fault"] is not None:  # noqa: ASYNC110 - it is asked over a socket
                    await asyncio.sleep(1)

    world.run(story)
    kept = ledger.Ledger(state / ledger.FILE_NAME, read_only=True)
    assert "telemetry-dropped" in [event["name"] for event in kept.latest("event", 100)]
    kept.close()
    written = records(state)
    assert [record.sequence for record in written] == list(range(1, len(written) + 1))


async def test_thingsboard_1339_a_night_of_bad_connections_stops_nothing(tmp_path: Path) -> None:
    """After a night of short troubles on the way to the platform the Modbus connector was found stopped."""
    port, state = free_port(), tmp_path / "state"
    relay = Relay("127.0.0.1", port)
    await relay.restore()
    async with fault_server() as server, platform_at(port) as platform:
        data = site_data(server.port, f"mqtt://127.0.0.1:{relay.port}")
        data["uplink"]["retry"] = "20 ms"
        path = tmp_path / "site.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False), "utf-8")
        loaded, field = load_site(path), Field(server.devices)

        def polls() -> int:
            return len(field.polled_at(0.0))

        def connects() -> int:
            status = forwarder_status(state)
            return 0 if status is None else status["connects"]

        async with station(loaded, state):
            await until(lambda: polls() >= 3, REAL_DEADLINE_S)
            for trouble in range(12):
                before = polls()
                # It is cut before, while or after the forwarder has connected.
                if trouble % 3:
                    await asyncio.sleep(0.01 * trouble)
                else:
                    received = platform.completeness.received
                    await until(lambda: platform.completeness.received > received, REAL_DEADLINE_S)  # noqa: B023
                await relay.cut()
                await until(lambda: polls() >= before + 2)  # noqa: B023 - it is awaited in the round
                await relay.restore()
            before = polls()
            await until(lambda: polls() >= before + 3)
            last = produced(state)
            await until(lambda: platform.completeness.has_all("small-01", 1, last), REAL_DEADLINE_S)
            await until(lambda: connects() >= 4)
            status = await rpc.call(state, {"op": "status"})
            assert status["links"]["io"]["connects"] == 1
            assert status["links"]["io"]["devices"]["D-1"]["online"]
        await relay.cut()


@pytest.mark.parametrize("kind", LINKS)
def test_thingsboard_829_platform_and_device_away_together_are_both_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A gateway that had lost its Modbus device had to be started anew before it spoke with it again."""
    state = tmp_path / "state"
    loaded = field_site(tmp_path, kind, NOBODY)
    world = World(monkeypatch, tmp_path)
    world.lay(loaded)

    async def story() -> None:
        network, loop = world["io"], asyncio.get_running_loop()
        field = Field(network.devices)
        async with station(loaded, state):
            for away_s in (60.0, OUTAGE_S / 4):
                await asyncio.sleep(60)
                network.refuses = True
                network.hang_up()
                gone = loop.time()
                await asyncio.sleep(away_s)
                assert field.polled_at(gone + 1) == []
                network.refuses = False
                back = loop.time()
                await asyncio.sleep(60)
                polls = field.polled_at(back)
                assert polls[0] <= back + 12
                assert longest_pause(polls) < 1.1 * POLL_S

    world.run(story)
    # The platform is told of both times, and never of a number that was not read.
    flows = recorded(state, "flow")
    gone = [index for index, (value, quality) in enumerate(flows) if value is None and quality == sparkplug.BAD]
    assert len(gone) >= 2
    assert flows[-1][1] == sparkplug.GOOD
    kinds = [record.kind for record in records(state) if record.device == "D-1" and record.kind != "data"]
    assert kinds == ["offline", "online", "offline", "online", "offline", "online"]
    if kind == "tcp":
        asyncio.run(delivered(tmp_path, state))


# -- what is recorded -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LINKS)
def test_home_assistant_51103_a_busy_device_is_never_recorded_as_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A slave that answered that it was busy was recorded as 0."""
    state = tmp_path / "state"
    loaded = field_site(tmp_path, kind, NOBODY)
    world = World(monkeypatch, tmp_path)
    world.lay(loaded)

    async def story() -> None:
        field = Field(world["io"].devices)
        field.devices.registers[1, TURBIDITY] = 0x40A0
        async with station(loaded, state):
            for _ in range(5):
                await asyncio.sleep(20)
                field.busy = True
                await asyncio.sleep(20)
                field.busy = False
            await asyncio.sleep(20)

    world.run(story)
    told = [pair for pair in recorded(state, "turbidity") if pair[1] != sparkplug.STALE]
    assert {value for value, _ in told} == {5.0, None}
    assert all((value is None) == (quality == sparkplug.BAD) for value, quality in told)
    assert sum(value is None for value, _ in told) >= 5
    assert told[-1] == (5.0, sparkplug.GOOD)
