"""Commands from the platform: signed, expiring, single use; every one is answered, whatever it is.

An envelope is ``{"body": "<JSON text>", "signer": "<name>", "signature": "<base64>"}``; the Ed25519 signature is
over the UTF-8 bytes of ``body``, so that no canonical form is needed. ``body`` names the command's ``id``, the
``site`` it is for, ``expires_ms`` (UTC), ``op`` and its arguments.
"""

import base64
import binascii
import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from config.errors import LinkError
from config.site import Site
from edge.json_text import parsed
from edge.store.database import open_database

FILE_NAME: Final = "forwarder.db"
OPS: Final = ("order", "cancel", "setpoint", "reset", "quota", "ack", "permit")
ARGUMENTS: Final = (
    "dispenser",
    "target",
    "volume_m3",
    "order_id",
    "vehicle",
    "user",
    "use",
    "order_expires_ms",
    "flow_m3h",
    "pressure_bar",
    "span",
    "guard",
    "fit",
    "issued_ms",
    "ttl_s",
    "reason",
)
MAX_BYTES: Final = 16 * 1024
"""A longer envelope is refused unread: an order takes some 400 bytes."""
KEPT_IDS: Final = 10_000
"""Command ids remembered. A command expires long before ten thousand others have come."""
MAX_LIFE_MS: Final = 24 * 3600 * 1000
"""A command that expires later than this is refused: an id could be forgotten before it expires."""
MAX_ID: Final = 100
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS command(id TEXT PRIMARY KEY, time_ms INTEGER NOT NULL, answer TEXT);
CREATE INDEX IF NOT EXISTS command_time ON command(time_ms);
"""

Call = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Asks the controller; raises ``LinkError``."""


class _Refused(Exception):
    """An envelope that is not obeyed: ``code`` for machines, the text for people."""

    def __init__(self, code: str, text: str, command_id: str = "", signer: str = "") -> None:
        super().__init__(text)
        self.code, self.text, self.command_id, self.signer = code, text, command_id, signer


class Commands:
    """Checks envelopes and passes what is right to the controller. Remembers ids over restarts."""

    def __init__(self, site: Site, state_dir: Path, call: Call) -> None:
        assert site.uplink is not None
        self._site_id = site.site.id
        self._call = call
        self._db: sqlite3.Connection = open_database(state_dir / FILE_NAME, _SCHEMA, "FULL")
        self._keys = {
            signer.name: Ed25519PublicKey.from_public_bytes(base64.b64decode(signer.public_key))
            for signer in site.uplink.command_signers
        }

    async def answer(self, envelope: bytes, now_ms: int) -> dict[str, Any]:
        """The answer to an envelope: ``{id, outcome: accepted|refused|failed, code, text}``. Never raises."""
        try:
            body, signer = self._checked(envelope, now_ms)
        except _Refused as refusal:
            await self._record(refusal)
            return _answer(refusal.command_id, "refused", refusal.code, refusal.text)
        command_id = body["id"]
        known = self._db.execute("SELECT answer FROM command WHERE id = ?", (command_id,)).fetchone()
        if known is not None and known[0] is not None:
            before: dict[str, Any] = json.loads(known[0])
            return before
        self._remember(command_id, None, now_ms)
        answer = await self._obey(command_id, body, signer)
        if answer["outcome"] != "failed":
            self._remember(command_id, answer, now_ms)
        return answer

    async def refuse(self, code: str, text: str, source: str) -> dict[str, Any]:
        """Records and answers something that is no command at all."""
        refusal = _Refused(code, text, signer=source)
        await self._record(refusal)
        return _answer("", "refused", code, text)

    def close(self) -> None:
        self._db.close()

    async def _obey(self, command_id: str, body: dict[str, Any], signer: str) -> dict[str, Any]:
        arguments: dict[str, Any] = {key: body[key] for key in ARGUMENTS if key in body}
        request: dict[str, Any] = {
            "op": body["op"],
            **arguments,
            "source": f"platform:{signer}",
            "command_id": command_id,
        }
        try:
            reply = await self._call(request)
        except LinkError as error:
            return _answer(command_id, "failed", error.code, error.message)
        if reply.get("ok"):
            return _answer(command_id, "accepted", "ok", "accepted")
        return _answer(command_id, "refused", str(reply.get("code", "refused")), str(reply.get("error", "")))

    def _checked(self, envelope: bytes, now_ms: int) -> tuple[dict[str, Any], str]:
        if len(envelope) > MAX_BYTES:
            raise _Refused("malformed", f"longer than {MAX_BYTES} bytes")
        outer = _object(envelope, "the envelope")
        text, signer, signature = (outer.get(key) for key in ("body", "signer", "signature"))
        if not isinstance(text, str) or not isinstance(signer, str) or not isinstance(signature, str):
            raise _Refused("malformed", "an envelope has the texts 'body', 'signer' and 'signature'")
        signer = signer[:MAX_ID]
        key = self._keys.get(signer)
        if key is None:
            raise _Refused("unknown-signer", f"'{signer}' may not command this site", signer=signer)
        try:
            key.verify(base64.b64decode(signature, validate=True), text.encode())
        except (InvalidSignature, binascii.Error, ValueError) as error:
            raise _Refused("bad-signature", "the signature does not fit the body", signer=signer) from error
        body = _object(text.encode(), "the body")
        command_id = body.get("id")
        if not isinstance(command_id, str) or not 0 < len(command_id) <= MAX_ID:
            raise _Refused("malformed", f"'id' must be a text of 1 to {MAX_ID} characters", signer=signer)
        if body.get("site") != self._site_id:
            raise _Refused("wrong-site", f"this is site {self._site_id}", command_id, signer)
        expires = body.get("expires_ms")
        if isinstance(expires, bool) or not isinstance(expires, int):
            raise _Refused("malformed", "'expires_ms' must be a whole number", command_id, signer)
        if expires <= now_ms:
            raise _Refused("expired", f"expired {now_ms - expires} ms ago by this gateway's clock", command_id, signer)
        if expires > now_ms + MAX_LIFE_MS:
            raise _Refused("malformed", "'expires_ms' is more than a day ahead", command_id, signer)
        if body.get("op") not in OPS:
            raise _Refused("unknown-op", f"'op' must be one of {', '.join(OPS)}", command_id, signer)
        if body["op"] == "order" and not body.get("order_id"):
            raise _Refused("malformed", "an order has an 'order_id'", command_id, signer)
        return body, signer

    async def _record(self, refusal: _Refused) -> None:
        request = {
            "op": "refused",
            "source": f"platform:{refusal.signer}" if refusal.signer else "platform",
            "command_id": refusal.command_id,
            "error": refusal.code,
            "text": refusal.text[:200],
        }
        try:
            await self._call(request)
        except LinkError:
            # The controller is down: nothing was moved and nothing can be recorded; the answer still goes out.
            return

    def _remember(self, command_id: str, answer: dict[str, Any] | None, now_ms: int) -> None:
        text = json.dumps(answer, ensure_ascii=False) if answer is not None else None
        self._db.execute(
            "INSERT INTO command VALUES(?, ?, ?) ON CONFLICT(id) DO UPDATE SET answer = excluded.answer",
            (command_id, now_ms, text),
        )
        self._db.execute(
            "DELETE FROM command WHERE id IN (SELECT id FROM command ORDER BY time_ms DESC LIMIT -1 OFFSET ?)",
            (KEPT_IDS,),
        )


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = parsed(data)
    except (ValueError, RecursionError) as error:
        raise _Refused("malformed", f"{what} is not JSON") from error
    if not isinstance(value, dict):
        raise _Refused("malformed", f"{what} is not a JSON object")
    return value


def _answer(command_id: str, outcome: str, code: str, text: str) -> dict[str, Any]:
    return {"id": command_id, "outcome": outcome, "code": code, "text": text}
