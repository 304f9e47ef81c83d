"""A command from upstream is obeyed once when it is right, and refused with a reason when it is not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import LinkError
from edge.forwarder.commands import MAX_BYTES, MAX_LIFE_MS, Commands
from tests.edge.envelopes import order, signed
from tests.edge.sites import small_site

NOW = 1_800_000_000_000
LATER = NOW + 60_000


class _Controller:
    """Stands at the other end: keeps what it is asked and gives the next answer."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.reply: dict[str, Any] | None = {"ok": True}

    async def call(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.reply is None:
            raise LinkError("no controller")
        self.asked.append(request)
        return self.reply

    def ops(self) -> list[str]:
        return [request["op"] for request in self.asked]


@pytest.fixture
def controller() -> _Controller:
    return _Controller()


@pytest.fixture
def commands(tmp_path: Path, controller: _Controller) -> Iterator[Commands]:
    commands = Commands(small_site(tmp_path).site, tmp_path, controller.call)
    yield commands
    commands.close()


async def test_a_right_command_is_passed_on_with_its_signer(commands: Commands, controller: _Controller) -> None:
    answer = await commands.answer(signed(order("c-1", LATER)), NOW)
    assert answer == {"id": "c-1", "outcome": "accepted", "code": "ok", "text": "accepted"}
    [request] = controller.asked
    assert request == {
        "op": "order",
        "dispenser": "FILL-1",
        "volume_m3": 1.0,
        "order_id": "o-1",
        "vehicle": "晋D·12345",
        "source": "platform:dispatch",
        "command_id": "c-1",
    }


async def test_a_permit_of_the_platform_is_passed_on_whole(commands: Commands, controller: _Controller) -> None:
    body = order("c-2", LATER) | {"op": "permit", "fit": True, "issued_ms": NOW, "ttl_s": 240, "reason": "outlet"}
    assert (await commands.answer(signed(body), NOW))["outcome"] == "accepted"
    [request] = controller.asked
    given = {key: request[key] for key in ("op", "dispenser", "fit", "issued_ms", "ttl_s", "reason", "source")}
    assert given == {
        "op": "permit",
        "dispenser": "FILL-1",
        "fit": True,
        "issued_ms": NOW,
        "ttl_s": 240,
        "reason": "outlet",
        "source": "platform:dispatch",
    }


async def test_the_same_command_again_gets_the_same_answer_and_moves_nothing(
    commands: Commands, controller: _Controller, tmp_path: Path
) -> None:
    controller.reply = {"ok": False, "code": "refused", "error": "the valve is not proved closed"}
    first = await commands.answer(signed(order("c-1", LATER)), NOW)
    assert first["outcome"] == "refused"
    assert first["text"] == "the valve is not proved closed"
    controller.reply = {"ok": True}
    assert await commands.answer(signed(order("c-1", LATER, volume_m3=9.0)), NOW + 1) == first
    after_restart = Commands(small_site(tmp_path).site, tmp_path, controller.call)
    assert await after_restart.answer(signed(order("c-1", LATER)), NOW + 2) == first
    after_restart.close()
    assert controller.ops() == ["order"]


async def test_a_command_that_met_no_controller_may_be_sent_again(commands: Commands, controller: _Controller) -> None:
    controller.reply = None
    failed = await commands.answer(signed(order("c-1", LATER)), NOW)
    assert (failed["outcome"], failed["code"]) == ("failed", "link")
    controller.reply = {"ok": True}
    assert (await commands.answer(signed(order("c-1", LATER)), NOW + 1))["outcome"] == "accepted"


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        (b"", "malformed"),
        (b"hello", "malformed"),
        (b"[]", "malformed"),
        (b"{}", "malformed"),
        (b"[" * 10_000, "malformed"),
        (b"x" * (MAX_BYTES + 1), "malformed"),
        (signed(order("c", LATER), signer="nobody"), "unknown-signer"),
        (signed(order("c", LATER), key=Ed25519PrivateKey.from_private_bytes(bytes(32))), "bad-signature"),
        (b'{"body": "{}", "signer": "\\ud800", "signature": ""}', "malformed"),
        (signed("not json"), "malformed"),
        (signed('{"id": "\\ud800"}'), "malformed"),
        (signed("[]"), "malformed"),
        (signed(order("", LATER)), "malformed"),
        (signed(order("x" * 101, LATER)), "malformed"),
        (signed(order("c", LATER, id=7)), "malformed"),
        (signed(order("c", LATER, site="other")), "wrong-site"),
        (signed(order("c", NOW)), "expired"),
        (signed(order("c", "soon")), "malformed"),
        (signed(order("c", True)), "malformed"),
        (signed(order("c", NOW + MAX_LIFE_MS + 1)), "malformed"),
        (signed(order("c", LATER, op="status")), "unknown-op"),
        (signed(order("c", LATER, op=["order"])), "unknown-op"),
        (signed(order("c", LATER, order_id="")), "malformed"),
    ],
)
async def test_a_wrong_command_is_refused_and_recorded_and_moves_nothing(
    commands: Commands, controller: _Controller, envelope: bytes, code: str
) -> None:
    answer = await commands.answer(envelope, NOW)
    assert (answer["outcome"], answer["code"]) == ("refused", code)
    assert answer["text"]
    [record] = controller.asked
    assert (record["op"], record["error"]) == ("refused", code)


async def test_a_signature_covers_every_byte_of_the_body(commands: Commands, controller: _Controller) -> None:
    envelope = json.loads(signed(order("c-1", LATER)))
    envelope["body"] = envelope["body"].replace("1.0", "9.0")
    answer = await commands.answer(json.dumps(envelope).encode(), NOW)
    assert answer["code"] == "bad-signature"


async def test_a_refusal_is_answered_even_when_nobody_can_record_it(
    commands: Commands, controller: _Controller
) -> None:
    controller.reply = None
    assert (await commands.answer(b"hello", NOW))["code"] == "malformed"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=10),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["body", "signer", "signature", "id", "site", "op"]), inner, max_size=4
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
async def test_whatever_arrives_is_answered_and_nothing_unsigned_is_obeyed(
    commands: Commands, controller: _Controller, data: bytes
) -> None:
    answer = await commands.answer(data, NOW)
    assert answer["outcome"] == "refused"
    assert set(controller.ops()) <= {"refused"}
