"""A small site for tests of the running system: one fill point whose field is not there."""

import base64
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.load import LoadedSite, load_site

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = "dispatch"

PROFILE: dict[str, Any] = {
    "protocol": "modbus",
    "signals": {
        "open": {"table": "coil", "address": 0, "type": "bool", "writable": True},
        "opened": {"table": "discrete", "address": 0, "type": "bool"},
        "closed": {"table": "discrete", "address": 1, "type": "bool"},
        "flow": {"table": "input", "address": 0, "type": "float32", "unit": "m3/h"},
        "total": {"table": "input", "address": 2, "type": "float64", "unit": "m3"},
        "turbidity": {"table": "input", "address": 6, "type": "float32", "unit": "NTU"},
    },
}


def site_data(port: int, broker: str = "mqtt://127.0.0.1:1") -> dict[str, Any]:
    """The site as plain data; ``port`` is where its one Modbus TCP server is, or is not."""
    public = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
    return {
        "site": {"id": "small-01"},
        "links": {"io": {"type": "modbus-tcp", "host": "127.0.0.1", "port": port, "timeout": "0.5 s", "retry": "1 s"}},
        "devices": {"D-1": {"link": "io", "unit": 1, "poll": "100 ms", "profile": PROFILE}},
        "valves": {
            "XV-1": {
                "type": "motor",
                "open_command": "D-1.open",
                "opened": "D-1.opened",
                "closed": "D-1.closed",
                "travel": "1 s",
            }
        },
        "dispensers": {
            "FILL-1": {
                "mode": "batch",
                "use": "road-cleaning",
                "meter": {"flow": "D-1.flow", "total": "D-1.total"},
                "valve": "XV-1",
                "max_order": "20 m3",
                "full_flow": "60 m3/h",
                "guards": {"turbidity": {"kind": "fast", "signal": "D-1.turbidity"}},
            }
        },
        "uplink": {
            "broker": broker,
            "group": "changzhi",
            "node": "small-01",
            "retry": "0.1 s",
            "resend_window": "0 s",
            "command_signers": [{"name": SIGNER, "public_key": public}],
        },
    }


def small_site(folder: Path, port: int = 1, broker: str = "mqtt://127.0.0.1:1", **uplink: Any) -> LoadedSite:
    """Writes and loads the small site."""
    data = site_data(port, broker)
    data["uplink"] |= uplink
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), "utf-8")
    return load_site(path)


BY_HAND: dict[str, Any] = {
    "site": {"id": "by-hand-01"},
    "record": {"diagnostics": "0.2 s"},
    "links": {
        "io": {"type": "modbus-tcp", "host": "127.0.0.1", "port": 1, "timeout": "0.3 s"},
        "converter": {"type": "modbus-tcp", "host": "127.0.0.1", "port": 2, "framing": "rtu", "timeout": "0.3 s"},
        "field": {"type": "modbus-rtu", "port": "/dev/none", "baudrate": 19200, "timeout": "0.2 s"},
    },
    "devices": {
        "RIO-1": {
            "link": "io",
            "unit": 1,
            "poll": "100 ms",
            "profile": {
                "protocol": "modbus",
                "writing": {"allow": [{"table": "holding", "first": 100, "last": 101}]},
                "signals": {
                    "xv": {"table": "coil", "address": 0, "type": "bool", "writable": True},
                    "pump": {"table": "coil", "address": 1, "type": "bool", "writable": True},
                    "lamp": {"table": "coil", "address": 2, "type": "bool", "writable": True},
                    "opened": {"table": "discrete", "address": 0, "type": "bool"},
                    "closed": {"table": "discrete", "address": 1, "type": "bool"},
                    "running": {"table": "discrete", "address": 2, "type": "bool"},
                },
            },
        },
        "XV-2": {"link": "io", "unit": 5, "poll": "200 ms", "profile": "rotork-iq-mk3"},
        "AIT-2": {"link": "converter", "unit": 3, "poll": "0.5 s", "profile": "yosemitech-y511"},
        "AIT-1": {"link": "field", "unit": 2, "poll": "0.5 s", "profile": "yosemitech-y511"},
    },
    "valves": {
        "XV-1": {
            "type": "motor",
            "open_command": "RIO-1.xv",
            "opened": "RIO-1.opened",
            "closed": "RIO-1.closed",
            "travel": "1 s",
        },
        "XV-2M": {
            "type": "motor",
            "open_command": "XV-2.open_command",
            "opened": "XV-2.opened",
            "closed": "XV-2.closed",
            "travel": "60 s",
        },
    },
    "pumps": {"P-1": {"run_command": "RIO-1.pump", "running": "RIO-1.running"}},
}
"""A site to read and write by hand: outputs of two kinds of device, a lamp between them, probes on three links."""
