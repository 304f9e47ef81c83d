"""Commands as a platform signs them."""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.edge.sites import KEY, SIGNER


def signed(body: dict[str, Any] | str, *, key: Ed25519PrivateKey = KEY, signer: str = SIGNER) -> bytes:
    """An envelope around a body."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    signature = base64.b64encode(key.sign(text.encode())).decode()
    return json.dumps({"body": text, "signer": signer, "signature": signature}).encode()


def order(command_id: str, expires_ms: object, **changes: Any) -> dict[str, Any]:
    """The body of an order for the small site."""
    return {
        "id": command_id,
        "site": "small-01",
        "expires_ms": expires_ms,
        "op": "order",
        "dispenser": "FILL-1",
        "order_id": "o-1",
        "volume_m3": 1.0,
        "vehicle": "晋D·12345",
    } | changes
