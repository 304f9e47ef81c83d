"""The controller alone: its field is not there, and still it answers, records and stays safe."""

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from config.errors import LinkError
from edge import rpc
from edge.controller.process import run_controller
from edge.store.ledger import Ledger
from tests.edge.sites import small_site

DEADLINE_S = 10.0


@contextlib.asynccontextmanager
async def _controller(folder: Path) -> AsyncIterator[Callable[..., Any]]:
    """A controller in this process; gives a function that asks it."""
    state = folder / "state"
    task = asyncio.create_task(run_controller(small_site(folder), state))

    async def ask(op: str, **arguments: Any) -> dict[str, Any]:
        return await rpc.call(state, {"op": op, **arguments})

    async with asyncio.timeout(DEADLINE_S):
        while True:
            if task.done():
                task.result()
            with contextlib.suppress(LinkError):
                await ask("ping")
                break
            await asyncio.sleep(0.01)
    try:
        yield ask
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _ledger(folder: Path, kind: str) -> list[dict[str, Any]]:
    ledger = Ledger(folder / "state" / "ledger.db", read_only=True)
    try:
        assert ledger.verify() is None
        return ledger.latest(kind, 100)
    finally:
        ledger.close()


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"op": "open the valve"}, "no such op"),
        ({"op": "order"}, "'dispenser' must be a text"),
        ({"op": "order", "dispenser": "FILL-1"}, "'volume_m3' must be a number"),
        ({"op": "order", "dispenser": "FILL-1", "volume_m3": "1 m3"}, "'volume_m3' must be a number"),
        ({"op": "order", "dispenser": "FILL-1", "volume_m3": True}, "'volume_m3' must be a number"),
        ({"op": "order", "dispenser": "FILL-1", "volume_m3": math.inf}, "'volume_m3' must be a number"),
        ({"op": "order", "dispenser": "x" * 201, "volume_m3": 1}, "at most 200 characters"),
        ({"op": "reset", "dispenser": 7}, "'dispenser' must be a text"),
        ({"op": "setpoint", "dispenser": "FILL-1"}, "'flow_m3h' must be a number"),
        ({"op": "meter-replaced", "dispenser": "FILL-1"}, "'reads_m3' must be a number"),
        ({"op": "why"}, "'name' must be a text"),
        ({"op": "why", "name": "XV-9"}, "ask for XV-1, FILL-1, D-1, io, or for a signal such as D-1.open"),
        ({"op": "receipts", "limit": "all"}, "'limit' must be a number"),
    ],
)
async def test_a_request_with_wrong_arguments_is_told_what_is_wrong(
    tmp_path: Path, request_: dict[str, Any], told: str
) -> None:
    async with _controller(tmp_path) as ask:
        answer = await ask(**request_)
        assert not answer["ok"]
        assert told in answer["error"]
        assert (await ask("ping"))["ok"]


async def test_an_order_without_a_field_is_refused_because_the_water_is_not_known(tmp_path: Path) -> None:
    async with _controller(tmp_path) as ask:
        answer = await ask("order", dispenser="FILL-1", volume_m3=1.0, order_id="o-1")
        assert answer["code"] == "refused"
        assert answer["refusal"]["code"] == "quality-unknown"
        why = await ask("why", name="XV-1")
        assert [cause["code"] for cause in why["causes"]] == ["quality-unknown"]
        assert why["state"].startswith("off (closed), demanded by protect")
        active = [row for row in (await ask("matrix"))["rows"] if row["active"]]
        assert ("FILL-1.turbidity", "S") in {(row["subject"], row["effects"].get("XV-1")) for row in active}
    [command] = _ledger(tmp_path, "command")
    assert (command["accepted"], command["order_id"]) == (False, "o-1")


async def test_commands_of_another_kind_of_dispenser_or_none_are_refused_with_the_reason(tmp_path: Path) -> None:
    async with _controller(tmp_path) as ask:
        for op, arguments, code in (
            ("setpoint", {"dispenser": "FILL-1", "flow_m3h": 5}, "wrong-mode"),
            ("cancel", {"dispenser": "FILL-1"}, "nothing-to-cancel"),
            ("reset", {"dispenser": "FILL-1"}, "not-tripped"),
            ("order", {"dispenser": "FILL-9", "volume_m3": 1.0}, "no-such-dispenser"),
        ):
            assert (await ask(op, **arguments))["refusal"]["code"] == code


async def test_a_request_cannot_say_it_is_another_local_user(tmp_path: Path) -> None:
    async with _controller(tmp_path) as ask:
        await ask("order", dispenser="FILL-1", volume_m3=1.0, source="local:somebody-else")
    [command] = _ledger(tmp_path, "command")
    assert command["source"].startswith("local:")
    assert command["source"] != "local:somebody-else"


async def test_a_dead_link_shows_in_status_image_and_alarms(tmp_path: Path) -> None:
    async with _controller(tmp_path) as ask:

        async def alarmed() -> bool:
            return any(alarm["id"] == "D-1.offline" for alarm in (await ask("alarms"))["alarms"])

        async with asyncio.timeout(DEADLINE_S):
            while not await alarmed():  # noqa: ASYNC110 - it is asked over a socket
                await asyncio.sleep(0.05)
        status = await ask("status")
        assert status["links"]["io"]["connected"] is False
        assert "127.0.0.1" in status["links"]["io"]["last_error"]
        image = (await ask("image"))["signals"]
        figures = {name for name in image if name.startswith("io.") or ".comm_" in name}
        assert {image[name]["quality"] for name in image.keys() - figures} == {"bad"}
        assert all(image[name]["value"] is None for name in image.keys() - figures)
        assert (image["io.connected"]["value"], image["D-1.comm_online"]["value"]) == (False, False)
        json.dumps(status, allow_nan=False)


async def test_a_refused_upstream_command_is_recorded(tmp_path: Path) -> None:
    async with _controller(tmp_path) as ask:
        request = {"source": "platform:x", "command_id": "c", "error": "bad-signature", "text": "it does not fit"}
        assert (await ask("refused", **request))["ok"]
    [command] = _ledger(tmp_path, "command")
    assert (command["name"], command["error"], command["accepted"]) == ("refused-upstream", "bad-signature", False)


async def test_nobody_but_the_forwarder_speaks_for_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.controller.requests.user_name", lambda uid: "penstock")
    async with _controller(tmp_path) as ask:
        assert (await ask("refused", source="platform:x", command_id="c", error="e", text="t"))["code"] == "bad-request"
        await ask("reset", dispenser="FILL-1", source="platform:head-office")
    [command] = _ledger(tmp_path, "command")
    assert command["source"].startswith("local:")


async def test_a_second_controller_in_the_same_directory_touches_nothing(tmp_path: Path) -> None:
    async with _controller(tmp_path) as ask:
        before = (await ask("status"))["boot"]
        with pytest.raises(LinkError, match="another controller already runs"):
            await run_controller(small_site(tmp_path), tmp_path / "state")
        assert (await ask("status"))["boot"] == before
    async with _controller(tmp_path) as ask:
        assert (await ask("status"))["boot"] == before + 1


async def test_many_at_once_are_all_answered(tmp_path: Path) -> None:
    async with _controller(tmp_path) as ask:
        answers = await asyncio.gather(*(ask("reset", dispenser="FILL-1") for _ in range(20)))
        assert all(answer["refusal"]["code"] == "not-tripped" for answer in answers)
    assert len(_ledger(tmp_path, "command")) == 20


async def test_how_a_device_does_is_reported_by_its_link(tmp_path: Path) -> None:
    # To the platform a device that does not answer is dead, and a dead device reports nothing.
    async with _controller(tmp_path) as ask:
        signals = (await ask("image"))["signals"]
    assert signals["D-1.comm_online"]["metric"] == ["io", "D-1/comm_online"]
    assert signals["io.bus_load"]["metric"] == ["io", "bus_load"]
    assert signals["D-1.open"]["metric"] == ["D-1", "open"]
