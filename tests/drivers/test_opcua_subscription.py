"""What a subscription tells, loses, and leaves out: nothing of it passes for a value measured now."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.utils import ServiceError
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.ua.status_codes import StatusCodes

from config.sample import Reason, Sample
from drivers.opcua import session, subscription
from tests.drivers.opcua_plc import NODES, OVERFLOW, Plc, plc_site
from tests.drivers.sites import Drivers, driving
from tests.hil_sim.sites import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = {name: {"stale_after": "60 s"} for name in NODES}
"""Nothing is read for 24 s: what comes in comes from the subscription."""
SHORT = {name: {"stale_after": "0.3 s"} for name in NODES}


def causes(drivers: Drivers) -> list[str]:
    return [event.body["cause"] for event in drivers.events if event.name == "gap"]


def was_bad(samples: list[Sample]) -> bool:
    return any(sample.reason is Reason.NO_COMMUNICATION for sample in samples)


async def subscribed(drivers: Drivers) -> None:
    """Waits until the subscription has told its first values."""
    await until(lambda: drivers.readings.is_good("PLC.level", 2.5) and "stale_items" in drivers.details)


async def test_a_change_is_told_and_what_does_not_change_is_confirmed_by_reading(tmp_path: Path, server: Plc) -> None:
    async with driving(plc_site(tmp_path, server.port, signals=SHORT)) as drivers:
        await subscribed(drivers)
        await server.show("level", 260.0)
        await until(lambda: drivers.readings.is_good("PLC.level", 2.6))
        await drivers.readings.more("PLC.name", 5)
        silent = drivers.readings.of["PLC.name"]
        assert {sample.value for sample in silent} == {"清水池"}
        assert all(sample.good for sample in silent)
        ages = [after.received - before.received for before, after in itertools.pairwise(silent)]
        assert max(ages) < 0.3
        assert drivers.links["plc"].status().gaps == 0


async def test_what_the_server_made_of_the_intervals_is_shown(tmp_path: Path, server: Plc) -> None:
    site = plc_site(tmp_path, server.port, signals={"level": {"critical": True}}, publishing="0.2 s")
    async with driving(site) as drivers:
        await subscribed(drivers)
        shown = drivers.details["subscription"]
        assert shown["items"] == len(NODES)
        assert shown["publishing_s"] == pytest.approx(0.2)
        assert shown["keep_alive_s"] == pytest.approx(1.0)
        assert shown["lifetime_s"] == pytest.approx(60)
        # More than the four samples of 50 ms that fit between two messages.
        assert shown["queue"] > 4


def revising(server: Plc, monkeypatch: pytest.MonkeyPatch, changes: bool = False, keep_alive: int = 1) -> None:
    """The server publishes each second at most and never says that it lives sooner than each ``keep_alive`` times.

    ``changes``: whether it lets a subscription be changed, or answers with what it had.
    """
    service = server.server.iserver.subscription_service
    create = service.create_subscription

    async def create_slowly(params: ua.CreateSubscriptionParameters, *rest: Any, **more: Any) -> Any:
        params.RequestedPublishingInterval = max(params.RequestedPublishingInterval, 1000.0)
        return await create(params, *rest, **more)

    def change(params: ua.ModifySubscriptionParameters) -> ua.ModifySubscriptionResult:
        data = service.subscriptions[params.SubscriptionId].data
        if changes:
            data.RevisedMaxKeepAliveCount = max(params.RequestedMaxKeepAliveCount, keep_alive)
            data.RevisedLifetimeCount = params.RequestedLifetimeCount
        return ua.ModifySubscriptionResult(
            RevisedPublishingInterval=data.RevisedPublishingInterval,
            RevisedLifetimeCount=data.RevisedLifetimeCount,
            RevisedMaxKeepAliveCount=data.RevisedMaxKeepAliveCount,
        )

    monkeypatch.setattr(service, "create_subscription", create_slowly)
    monkeypatch.setattr(service, "modify_subscription", change)
    monkeypatch.setattr(service, "_clamp_keep_alive_count", lambda requested: max(requested, keep_alive))


@pytest.mark.parametrize("changes", [True, False])
async def test_a_server_that_publishes_less_often_is_asked_for_a_keep_alive_that_fits(
    tmp_path: Path, server: Plc, monkeypatch: pytest.MonkeyPatch, changes: bool
) -> None:
    revising(server, monkeypatch, changes)
    async with driving(plc_site(tmp_path, server.port, signals=LONG)) as drivers:
        await subscribed(drivers)
        shown = drivers.details["subscription"]
        assert (shown["publishing_s"], shown["keep_alive_s"]) == (1.0, 1.0)
        assert shown["lifetime_s"] == pytest.approx(60)
        assert len(server.subscriptions) == 1
        await server.show("level", 260.0)
        await until(lambda: drivers.readings.is_good("PLC.level", 2.6))
        assert causes(drivers) == []


async def test_after_a_cut_values_are_good_before_a_subscription_of_few_words_speaks(
    tmp_path: Path, server: Plc, monkeypatch: pytest.MonkeyPatch
) -> None:
    revising(server, monkeypatch, keep_alive=20)
    async with driving(plc_site(tmp_path, server.port, signals=LONG | {"level": {"stale_after": "0.3 s"}})) as drivers:
        await subscribed(drivers)
        assert drivers.details["subscription"]["keep_alive_s"] == 20.0
        await server.show("setpoint", 1.0)
        await until(lambda: drivers.readings.is_good("PLC.setpoint", 3.6))
        [subscription] = server.subscriptions
        server.fall_silent()
        server.cut()
        await until(lambda: all(was_bad(samples) for samples in drivers.readings.of.values()))
        await until(lambda: all(samples[-1].good for samples in drivers.readings.of.values()), 2.0)
        # Nor does it get old while the message is waited for.
        await drivers.readings.more("PLC.level", 5)
        assert drivers.readings.of["PLC.level"][-1].good
        assert server.subscriptions == [subscription]
        assert (await drivers.write("PLC.run", True)).ok


async def test_a_lost_message_is_asked_for_again_and_counts_as_old(tmp_path: Path, server: Plc) -> None:
    async with driving(plc_site(tmp_path, server.port, signals=LONG)) as drivers:
        await subscribed(drivers)
        await server.lose("level", 260.0, kept=True)
        await server.show("setpoint", 1.0)
        await until(lambda: drivers.readings.is_good("PLC.setpoint", 3.6))
        assert drivers.readings.is_good("PLC.level", 2.6)
        again, after = drivers.readings.of["PLC.level"][-1], drivers.readings.of["PLC.setpoint"][-1]
        assert again.received < after.received
        assert drivers.links["plc"].status().gaps == 0
        await until(lambda: drivers.details["subscription"].get("republished") == 1)


async def test_a_message_that_is_lost_for_good_is_a_recorded_gap(tmp_path: Path, server: Plc) -> None:
    async with driving(plc_site(tmp_path, server.port, signals=LONG)) as drivers:
        await subscribed(drivers)
        await server.lose("level", 260.0)
        await server.show("setpoint", 1.0)
        await until(lambda: drivers.readings.is_good("PLC.setpoint", 3.6))
        await until(lambda: causes(drivers) == ["sequence"])
        assert drivers.events[-1].body["lost"] == 1
        assert drivers.links["plc"].status().gaps == 1


async def test_a_keep_alive_shows_that_the_last_message_was_lost(tmp_path: Path, server: Plc) -> None:
    async with driving(plc_site(tmp_path, server.port, signals=LONG)) as drivers:
        await subscribed(drivers)
        await server.lose("level", 260.0)
        await until(lambda: causes(drivers) == ["sequence"])
        assert drivers.links["plc"].status().gaps == 1


async def test_a_queue_that_ran_over_on_the_server_is_a_recorded_gap(tmp_path: Path, server: Plc) -> None:
    async with driving(plc_site(tmp_path, server.port, signals=LONG)) as drivers:
        await subscribed(drivers)
        await server.show("level", 260.0, OVERFLOW)
        await until(lambda: drivers.readings.is_good("PLC.level", 2.6))
        assert causes(drivers) == ["overflow"]
        assert drivers.events[-1].body["signals"] == ["PLC.level"]
        assert drivers.events[-1].device == "PLC"
        assert drivers.readings.of["PLC.level"][-1].raw == b"00000480"


async def test_a_value_that_the_subscription_kept_back_is_found_by_reading_and_the_reading_wins(
    tmp_path: Path, server: Plc
) -> None:
    async with driving(plc_site(tmp_path, server.port, signals=SHORT, timeout="0.5 s")) as drivers:
        await subscribed(drivers)
        server.forget_items()
        await server.show("level", 260.0)
        await until(lambda: drivers.readings.is_good("PLC.level", 2.6))
        await until(lambda: causes(drivers) == ["verify"])
        assert drivers.events[-1].body["signals"] == ["PLC.level"]

        # The subscription was found wrong and made anew: it tells again.
        await until(
            lambda: [len(one.monitored_item_srv._monitored_items) for one in server.subscriptions] == [len(NODES)]
        )
        assert drivers.links["plc"].status().gaps == 1


async def test_what_only_a_silent_subscription_vouched_for_is_bad_within_5_s_and_what_was_read_is_not(
    tmp_path: Path, server: Plc
) -> None:
    signals = LONG | {"name": {"stale_after": "0.3 s"}}
    async with driving(plc_site(tmp_path, server.port, signals=signals)) as drivers:
        await subscribed(drivers)
        server.fall_silent()
        # How long it is bad is how long a new subscription takes, which is next to nothing here.
        await until(lambda: all(was_bad(of) for name, of in drivers.readings.of.items() if name != "PLC.name"))
        assert causes(drivers) == ["silence"]
        await until(lambda: drivers.readings.is_good("PLC.level", 2.5))
        assert drivers.links["plc"].status().connects == 1
        assert all(sample.good for sample in drivers.readings.of["PLC.name"])


async def test_a_subscription_that_the_server_ends_is_made_anew(tmp_path: Path, server: Plc) -> None:
    async with driving(plc_site(tmp_path, server.port, signals=LONG)) as drivers:
        await subscribed(drivers)
        [old] = server.subscriptions
        await old.enqueue_statuschange(ua.StatusCode(ua.UInt32(StatusCodes.BadTimeout)))
        await until(lambda: causes(drivers) == ["ended"])
        await until(lambda: drivers.readings.is_good("PLC.level", 2.5))
        await until(lambda: [one.data.SubscriptionId for one in server.subscriptions] != [old.data.SubscriptionId])


async def test_a_server_without_a_subscription_for_us_is_read_each_poll(tmp_path: Path, server: Plc) -> None:
    limits = server.server.iserver
    most, limits.max_subscriptions = limits.max_subscriptions, 0
    try:
        async with driving(plc_site(tmp_path, server.port)) as drivers:
            await until(lambda: drivers.readings.is_good("PLC.level", 2.5))
            assert "BadTooManySubscriptions" in drivers.details["subscription"]["refused"]
            await server.show("level", 260.0)
            await until(lambda: drivers.readings.is_good("PLC.level", 2.6))
            assert causes(drivers) == []
    finally:
        limits.max_subscriptions = most


async def test_a_subscription_that_was_refused_half_made_is_not_left_on_the_server(
    tmp_path: Path, server: Plc, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []

    async def refuse(params: ua.CreateMonitoredItemsParameters) -> None:
        refused.append(len(params.ItemsToCreate))
        raise ServiceError(StatusCodes.BadTooManyMonitoredItems)

    monkeypatch.setattr(server.server.iserver.subscription_service, "create_monitored_items", refuse)
    async with driving(plc_site(tmp_path, server.port)) as drivers:
        await until(lambda: drivers.readings.is_good("PLC.level", 2.5))
        assert "BadTooManyMonitoredItems" in drivers.details["subscription"]["refused"]
        assert refused == [len(NODES)]
        await until(lambda: server.subscriptions == [])


async def test_a_subscription_whose_making_a_cut_broke_off_is_not_left_on_the_server(
    tmp_path: Path, server: Plc, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = server.server.iserver.subscription_service
    create, began = service.create_monitored_items, list[InternalSubscription]()

    async def cut(*rest: Any) -> Any:
        if not began:
            began.extend(server.subscriptions)
            server.cut()
        return await create(*rest)

    monkeypatch.setattr(service, "create_monitored_items", cut)
    async with driving(plc_site(tmp_path, server.port, signals=LONG)) as drivers:
        await until(lambda: "stale_items" in drivers.details and drivers.readings.is_good("PLC.level", 2.5))
        assert len(began) == 1
        assert began[0] not in server.subscriptions
        assert len(server.subscriptions) == 1


async def test_a_server_whose_subscriptions_tell_nothing_is_read_each_poll(
    tmp_path: Path, server: Plc, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def mute(self: InternalSubscription, request: object = None) -> bool:
        return False

    monkeypatch.setattr(InternalSubscription, "publish_results", mute)
    monkeypatch.setattr(subscription, "SILENCE_S", 0.3)
    monkeypatch.setattr(subscription, "KEEP_ALIVE_S", 0.2)
    async with driving(plc_site(tmp_path, server.port, signals=SHORT)) as drivers:
        await until(lambda: drivers.details.get("subscription") == {"refused": "its subscriptions tell nothing"})
        await server.show("level", 260.0)
        await until(lambda: drivers.readings.is_good("PLC.level", 2.6))
        assert drivers.links["plc"].status().connects == 3


async def test_a_value_that_can_no_longer_be_confirmed_is_stale_while_others_are_good(
    tmp_path: Path, server: Plc
) -> None:
    signals = {"level": {"stale_after": "0.4 s"}, "run": {"stale_after": "60 s"}}
    async with driving(plc_site(tmp_path, server.port, signals=signals, timeout="2 s")) as drivers:
        await subscribed(drivers)
        server.hold_reads("level")
        await until(lambda: drivers.readings.of["PLC.level"][-1].reason is Reason.STALE)
        assert drivers.details["stale_items"] >= 1
        assert drivers.readings.is_good("PLC.run", False)
        server.hold_reads()
        await until(lambda: drivers.readings.is_good("PLC.level", 2.5))


async def test_namespaces_that_change_under_a_running_session_are_resolved_anew(
    tmp_path: Path, server: Plc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "HEALTH_S", 0.1)
    node = server.server.nodes.namespace_array
    before = await node.read_value()
    async with driving(plc_site(tmp_path, server.port, signals=LONG)) as drivers:
        await subscribed(drivers)
        try:
            await node.write_value([*before[:2], "urn:test:inserted", *before[2:]])
            await until(lambda: "BadNodeIdUnknown (0x80340000)" in drivers.details["subscription"].get("refused", {}))
            assert causes(drivers) == ["outage"]
            assert not drivers.readings.is_good("PLC.level", 2.5)
        finally:
            await node.write_value(before)


async def test_a_subscription_outlives_a_broken_connection_and_nothing_told_meanwhile_is_lost(
    tmp_path: Path, server: Plc
) -> None:
    async with driving(plc_site(tmp_path, server.port, signals=LONG)) as drivers:
        await subscribed(drivers)
        [before] = server.subscriptions
        status, broken_at = drivers.links["plc"].status(), asyncio.get_running_loop().time()
        server.cut()
        await until(lambda: all(was_bad(samples) for samples in drivers.readings.of.values()))
        for level in (260.0, 270.0):
            await server.show("level", level)
        levels = drivers.readings.of["PLC.level"]
        await until(lambda: drivers.readings.is_good("PLC.level", 2.7) and levels[-1].received > broken_at)
        # It may be read anew before what was told meanwhile has come.
        await until(lambda: 2.6 in drivers.readings.values("PLC.level"))
        await until(lambda: drivers.readings.is_good("PLC.level", 2.7))
        [after] = server.subscriptions
        assert after is before
        assert (status.connects, status.gaps) == (2, 0)
        # What was told late counts as old; only what was read since is of now.
        assert next(one for one in levels if one.value == 2.6).received <= broken_at


async def test_a_client_that_does_not_recover_is_thrown_away(
    tmp_path: Path, server: Plc, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(self: Client) -> bool:
        await asyncio.get_running_loop().create_future()
        return True

    monkeypatch.setattr(session, "RECOVERY_S", 0.3)
    monkeypatch.setattr(Client, "_reconnect_with_backoff", hang)
    async with driving(plc_site(tmp_path, server.port, signals=LONG)) as drivers:
        await subscribed(drivers)
        server.cut()
        await until(lambda: all(was_bad(samples) for samples in drivers.readings.of.values()))
        await until(lambda: drivers.readings.is_good("PLC.level", 2.5))
        assert causes(drivers) == ["outage"]
        assert "could not be repaired within 0.3 s" in drivers.events[-1].body["detail"]
