"""Alarms from the socket to the command line: what is shown, what people do, what is kept over a restart."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import RenderableType

from edge.cli.alarms import alarms_table, figures_view, history_table
from edge.cli.screen import Screen
from tests.edge.test_controller import DEADLINE_S, _controller

Ask = Callable[..., Any]
OFFLINE = "D-1.offline"


async def shown(ask: Ask, name: str = OFFLINE) -> dict[str, Any]:
    """The alarm, once it is there."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            for alarm in (await ask("alarms"))["alarms"]:
                if alarm["id"] == name:
                    found: dict[str, Any] = alarm
                    return found
            await asyncio.sleep(0.05)


def printed(view: RenderableType, capsys: pytest.CaptureFixture[str]) -> str:
    Screen().print(view)
    return capsys.readouterr().out


async def test_what_people_do_is_seen_recorded_and_kept_over_a_restart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with _controller(tmp_path) as ask:
        alarm = await shown(ask)
        assert (alarm["state"], alarm["letter"], alarm["stands"]) == ("unacknowledged", "B", True)
        assert (await ask("ack", target=OFFLINE))["accepted"]
        assert (await shown(ask))["state"] == "acknowledged"
        again = await ask("ack", target=OFFLINE)
        assert (again["ok"], again["refusal"]["code"]) == (False, "nothing-to-acknowledge")
        every = {one["id"]: one for one in (await ask("alarms", which="all"))["alarms"]}
        assert every["FILL-1.trip"]["shelve_limit_s"] == 0.0
        assert (await ask("shelve", target="FILL-1.no-flow", duration_s=60.0, reason="works"))["accepted"]
    async with _controller(tmp_path) as ask:
        silenced = (await ask("alarms", which="silenced"))["alarms"]
        assert [(one["id"], one["reason"]) for one in silenced] == [("FILL-1.no-flow", "works")]
        assert silenced[0]["by"].startswith("local:")
        assert silenced[0]["until_utc"] is not None
        assert (await shown(ask))["state"] == "acknowledged"
        history = (await ask("alarms", which="history", limit=100))["history"]
        assert [one["name"] for one in history if one["subject"] == OFFLINE] == ["alarm-acknowledged", "alarm"]
        table = printed(alarms_table(silenced), capsys)
        assert all(word in table for word in ("FILL-1.no-flow", "shelved", "works", "until"))
        told = printed(history_table(history), capsys)
        assert "acknowledged" in told
        assert "does not answer" in told
        figures = await ask("alarms", which="figures")
        assert (figures["silenced"], figures["flood"]) == (1, False)
        assert {"id": OFFLINE, "count": 1} in figures["most_frequent"]
        assert OFFLINE in printed(figures_view(figures), capsys)


async def test_what_is_asked_wrongly_is_said(tmp_path: Path) -> None:
    async with _controller(tmp_path) as ask:
        assert "shown, silenced" in (await ask("alarms", which="loud"))["error"]
        assert "'target'" in (await ask("ack"))["error"]
        assert (await ask("shelve", target="NONE", duration_s=1.0))["refusal"]["code"] == "no-such-alarm"
        assert (await ask("reset", dispenser=OFFLINE))["refusal"]["code"] == "not-latched"
