"""The site model: everything that a site file may say, in the order in which it is usually written.

The word in the file is the word in the model. Quantities are written with their unit (``5 s``, ``60 m3/h``);
what references what is checked in ``config.check`` once the whole file is known.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from config.alarm import Alarm, AlarmId
from config.allocation import Allocation
from config.blackbox import BlackBox
from config.compliance import Evaluated
from config.device import Device
from config.dispenser import Dispenser
from config.equipment import AnalogOutput, Valve
from config.interlock import Interlock, Permissive
from config.link import Link
from config.loop import Loop
from config.measurement import Measurement
from config.model import FileModel, PositiveSeconds, Seconds, SignalName, Tag
from config.override import Overrides
from config.permit import Permit
from config.pump import Pump, PumpGroup


class SiteIdentity(FileModel):
    """Who this gateway is. ``id`` is the site part of every record's identity ``(site, boot, sequence)``."""

    id: Tag
    name: str = ""
    timezone: str = "Asia/Shanghai"


class Scan(FileModel):
    """The scan cycle. A critical sample asks for a scan at once, between two periods."""

    period: PositiveSeconds = 0.1


class Record(FileModel):
    """What goes into the store: changes, gathered for ``interval``; every value at least each ``max_interval``.

    ``diagnostics``: how often the figures of links and devices are taken.
    """

    interval: PositiveSeconds = 0.5
    max_interval: PositiveSeconds = 300.0
    diagnostics: PositiveSeconds = 60.0


class CommandSigner(FileModel):
    """Somebody upstream whose commands are obeyed: their Ed25519 public key, base64 of 32 bytes."""

    name: Tag
    public_key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")]


class Uplink(FileModel):
    """The platform: an MQTT broker and the Sparkplug B names of this gateway.

    ``password_file`` and ``ca_file``/``cert_file``/``key_file`` are paths; no secret stands in the site file.
    ``resend_window``: what was sent this shortly before a connection broke is sent again as historical.
    """

    broker: Annotated[str, StringConstraints(pattern=r"^mqtts?://[^\s/:]+(:\d+)?$")]
    group: Tag
    node: Tag
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive: PositiveSeconds = 15.0
    retry: PositiveSeconds = 2.0
    resend_window: Seconds = 20.0
    command_signers: tuple[CommandSigner, ...] = ()


class Site(FileModel):
    """One gateway's site file."""

    site: SiteIdentity
    scan: Scan = Scan()
    record: Record = Record()
    links: Annotated[dict[Tag, Link], Field(min_length=1)]
    devices: Annotated[dict[Tag, Device], Field(min_length=1)]
    measurements: dict[SignalName, Measurement] = {}
    valves: dict[Tag, Valve] = {}
    pumps: dict[Tag, Pump] = {}
    pump_groups: dict[Tag, PumpGroup] = {}
    analog_outputs: dict[Tag, AnalogOutput] = {}
    dispensers: dict[Tag, Dispenser] = {}
    loops: dict[Tag, Loop] = {}
    allocation: Allocation | None = None
    overrides: Overrides = Overrides()
    interlocks: dict[Tag, Interlock] = {}
    permissives: dict[Tag, Permissive] = {}
    alarms: dict[AlarmId, Alarm] = {}
    blackbox: BlackBox = BlackBox()
    permits: dict[Tag, Permit] = {}
    compliance: dict[Tag, dict[str, Evaluated]] = {}
    uplink: Uplink | None = None
