"""The controller's socket: every request is answered, and no request stops the next."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import structlog

from config.errors import LinkError
from edge import rpc


async def _echo(request: dict[str, Any], user: str) -> dict[str, Any]:
    return {"ok": True, "user": user, **request}


async def _raw(directory: Path, data: bytes) -> list[dict[str, Any]]:
    reader, writer = await asyncio.open_unix_connection(str(directory / rpc.SOCKET_NAME))
    writer.write(data)
    writer.write_eof()
    answers = [json.loads(line) for line in (await asyncio.wait_for(reader.read(), 5.0)).splitlines()]
    writer.close()
    return answers


async def test_a_request_is_answered_and_names_the_local_user(tmp_path: Path) -> None:
    async with rpc.serve(tmp_path, _echo):
        answer = await rpc.call(tmp_path, {"op": "ping", "text": "长治"})
    assert answer["text"] == "长治"
    assert answer["user"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"not json\n", "not JSON"),
        (b"[1, 2]\n", "JSON object"),
        (b'{"no": "op"}\n', "'op'"),
        (b'{"op": 7}\n', "'op'"),
        (b"[" * 30_000 + b"\n", "not JSON"),
        (b"\xff\xfe\n", "not JSON"),
        (b'{"op": "ping", "text": "\\ud800"}\n', "not JSON"),
    ],
)
async def test_a_malformed_request_is_refused_and_the_next_one_answered(tmp_path: Path, line: bytes, told: str) -> None:
    async with rpc.serve(tmp_path, _echo):
        refused, answered = await _raw(tmp_path, line + b'{"op": "ping"}\n')
    assert not refused["ok"]
    assert refused["code"] == "bad-request"
    assert told in refused["error"]
    assert answered["ok"]


async def test_an_answer_that_no_message_can_hold_is_answered_still(tmp_path: Path) -> None:
    async def broken_text(request: dict[str, Any], user: str) -> dict[str, Any]:
        return {"ok": True, "text": "pump\udce6"}

    async with rpc.serve(tmp_path, broken_text):
        assert (await rpc.call(tmp_path, {"op": "ping"}))["text"] == "pump\udce6"


async def test_an_error_of_ours_is_answered_and_logged_and_the_next_request_too(tmp_path: Path) -> None:
    async def stumbling(request: dict[str, Any], user: str) -> dict[str, Any]:
        return {"ok": True, "found": {}[request["name"]]} if "name" in request else {"ok": True}

    with structlog.testing.capture_logs() as logged:
        async with rpc.serve(tmp_path, stumbling):
            failed, answered = await _raw(tmp_path, b'{"op": "why", "name": "x"}\n{"op": "ping"}\n')
    assert (failed["ok"], failed["code"]) == (False, "internal-error")
    assert "KeyError" in failed["error"]
    assert answered["ok"]
    [line] = [line for line in logged if line["log_level"] == "error"]
    assert line["op"] == "why"


async def test_a_request_without_end_is_refused(tmp_path: Path) -> None:
    async with rpc.serve(tmp_path, _echo):
        [refused] = await _raw(tmp_path, b"x" * (rpc.MAX_LINE_BYTES * 2))
        assert "longer than" in refused["error"]
        assert (await rpc.call(tmp_path, {"op": "ping"}))["ok"]


async def test_more_connections_than_allowed_are_refused_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "MAX_CONNECTIONS", 2)
    async with rpc.serve(tmp_path, _echo):
        held = [await asyncio.open_unix_connection(str(tmp_path / rpc.SOCKET_NAME)) for _ in range(2)]
        for reader, writer in held:
            writer.write(b'{"op": "ping"}\n')
            assert json.loads(await reader.readline())["ok"]
        assert (await rpc.call(tmp_path, {"op": "ping"}))["code"] == "busy"
        for _, writer in held:
            writer.close()


async def test_a_socket_left_by_a_killed_controller_is_replaced_and_ones_own_removed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / rpc.SOCKET_NAME))
    async with rpc.serve(tmp_path, _echo):
        assert (await rpc.call(tmp_path, {"op": "ping"}))["ok"]
    assert not (tmp_path / rpc.SOCKET_NAME).exists()


async def test_without_a_controller_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"is it running\? \(penstock run SITE --state DIR\)"):
        await rpc.call(tmp_path, {"op": "ping"})


async def test_a_controller_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    async def silent(request: dict[str, Any], user: str) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async with rpc.serve(tmp_path, silent):
        with pytest.raises(LinkError, match=r"did not answer within 0\.1 s"):
            await rpc.call(tmp_path, {"op": "ping"}, timeout=0.1)


async def test_a_path_too_long_for_the_kernel_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    async with rpc.serve(deep, _echo):
        assert (await rpc.call(deep, {"op": "ping"}))["ok"]
