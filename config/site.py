"""The site model: everything that a site file may say, in the order in which it is usually written.

The word in the file is the word in the model. Quantities are written with their unit (``5 s``, ``60 m3/h``);
what references what is checked in ``config.check`` once the whole file is known.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from config.model import (
    FieldName,
    FileModel,
    FlowM3h,
    Metres,
    Percent,
    PositiveFlowM3h,
    PositiveSeconds,
    PositiveVolumeM3,
    Quantity,
    Seconds,
    SignalName,
    Tag,
    VolumeM3,
)
from config.profile import Profile
from config.standard import Staleness

Port = Annotated[int, Field(ge=1, le=65535)]


def _without_port(host: str) -> str:
    if host.count(":") == 1:
        raise ValueError("a host name or address alone; its port goes under 'port'")
    return host


Host = Annotated[str, StringConstraints(min_length=1, max_length=253), AfterValidator(_without_port)]


class SiteIdentity(FileModel):
    """Who this gateway is. ``id`` is the site part of every record's identity ``(site, boot, sequence)``."""

    id: Tag
    name: str = ""
    timezone: str = "Asia/Shanghai"


Baudrate = Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200]


class Tls(FileModel):
    """TLS of a Modbus TCP link (MODBUS/TCP Security V2.1: port 802, mutual certificates). Files in PEM.

    ``server_name`` is what the server's certificate must be made out to, by default the link's host.
    """

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Tls":
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file together")
        return self


class SerialLine(FileModel):
    """The serial line behind a converter or gateway: its speed enters every deadline.

    ``turnaround``: silence the bus needs after a reply.
    """

    baudrate: Baudrate
    turnaround: Seconds = 0.0


class ModbusTcpLink(FileModel):
    """A Modbus TCP server or gateway (MODBUS Messaging on TCP/IP V1.0b), or a transparent converter.

    ``framing``: ``rtu`` for a converter that only passes serial frames on. ``line``: the serial line behind.
    ``in_flight``: requests outstanding at a time; more than one only where the server says that it can.
    ``connection``: ``per-cycle`` opens one for each round of polls and closes it, for gateways with few places.
    ``keep_alive``: a cheap read when nothing else has been asked for so long; gateways drop idle connections.
    ``strict_ids``: a reply with transaction or unit 0 instead of its own is refused (else taken, and counted; one with
    both never).
    """

    type: Literal["modbus-tcp"]
    host: Host
    port: Port = 502
    framing: Literal["tcp", "rtu"] = "tcp"
    tls: Tls | None = None
    line: SerialLine | None = None
    timeout: PositiveSeconds = 1.0
    retry: PositiveSeconds = 5.0
    in_flight: Annotated[int, Field(ge=1, le=16)] = 1
    connection: Literal["keep", "per-cycle"] = "keep"
    keep_alive: PositiveSeconds = 30.0
    strict_ids: bool = True

    @model_validator(mode="after")
    def _possible(self) -> "ModbusTcpLink":
        if self.in_flight > 1 and (self.framing == "rtu" or self.line is not None):
            raise ValueError("in_flight: 1, because a serial line carries one request at a time")
        if self.in_flight > 1 and not self.strict_ids:
            raise ValueError("in_flight: 1, because replies with ids of 0 do not tell which request they answer")
        return self


class ModbusRtuLink(FileModel):
    """A serial RS-485 bus (MODBUS over Serial Line V1.02). ``turnaround``: silence the bus needs after a reply.

    ``local_echo``: the adapter hears what it sends; the echo is taken off exactly, and one that comes back changed is
    a collision.
    """

    type: Literal["modbus-rtu"]
    port: str
    baudrate: Baudrate = 9600
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1
    timeout: PositiveSeconds = 0.5
    turnaround: Seconds = 0.0
    local_echo: bool = False
    retry: PositiveSeconds = 10.0


ModbusLink = ModbusTcpLink | ModbusRtuLink


class OpcUaSecurity(FileModel):
    """How the channel to an OPC UA server is protected (OPC 10000-7, security policies).

    Older policies are broken and are not offered. With ``policy: none`` nothing is signed or encrypted, and anybody
    on the network can answer in the server's place. ``application_uri``: what the server's certificate must call it;
    one that an authority issued may then name another host than that of the url.
    """

    policy: Literal["none", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"]
    mode: Literal["sign-and-encrypt", "sign"] = "sign-and-encrypt"
    application_uri: Annotated[str, StringConstraints(min_length=1)] | None = None

    @model_validator(mode="after")
    def _checked(self) -> "OpcUaSecurity":
        if self.application_uri is not None and self.policy == "none":
            raise ValueError("a security policy, because without one nothing proves the server's application_uri")
        return self

    @property
    def encrypted(self) -> bool:
        """True when nobody on the way can read what is sent."""
        return self.policy != "none" and self.mode == "sign-and-encrypt"


def _without_user(url: str) -> str:
    if "@" in url.removeprefix("opc.tcp://").split("/", 1)[0]:
        raise ValueError("a url without user and password; they go under 'username' and 'password_file'")
    return url


class OpcUaLink(FileModel):
    """A session with an OPC UA server.

    ``mode``: ``subscribe`` has the server tell changes and confirms by reading what did not change; ``poll`` reads
    every node each poll period, for servers with few or no subscriptions. ``publishing``: how long the server may
    gather changes (default: the shortest poll, and at most 100 ms where a signal is critical). ``username`` with
    ``password_file``, or ``user_cert_file`` with ``user_key_file``, say who we are; without them we are anonymous.
    """

    type: Literal["opcua"]
    url: Annotated[str, StringConstraints(pattern=r"^opc\.tcp://[^\s]+$"), AfterValidator(_without_user)]
    mode: Literal["subscribe", "poll"] = "subscribe"
    publishing: PositiveSeconds | None = None
    timeout: PositiveSeconds = 4.0
    retry: PositiveSeconds = 5.0
    security: OpcUaSecurity = OpcUaSecurity(policy="none")
    username: str | None = None
    password_file: Path | None = None
    user_cert_file: Path | None = None
    user_key_file: Path | None = None

    @model_validator(mode="after")
    def _possible(self) -> "OpcUaLink":
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file together")
        if (self.user_cert_file is None) != (self.user_key_file is None):
            raise ValueError("user_cert_file and user_key_file together")
        if self.username is not None and self.user_cert_file is not None:
            raise ValueError("one user: by username or by user_cert_file")
        if self.username is not None and not self.security.encrypted:
            raise ValueError(
                "a security policy with mode sign-and-encrypt, because a password must not be read on the way"
            )
        if self.user_cert_file is not None and self.security.policy == "none":
            raise ValueError("a security policy, because without one a user certificate proves nothing")
        if self.publishing is not None and self.mode == "poll":
            raise ValueError("no publishing, because mode poll has no subscription")
        return self


Link = Annotated[ModbusTcpLink | ModbusRtuLink | OpcUaLink, Field(discriminator="type")]


class SignalSettings(FileModel):
    """What the site wants of one signal, beyond what the profile says of it.

    ``poll``: read period; ``stale_after``: age at which a reading is no longer trusted (default three polls,
    at least 2 s); ``critical``: asks for a scan at once; ``deadband``: smallest change worth a record.
    ``priority``: who is read first when the bus cannot keep up; a critical signal is ``high`` by itself.
    """

    poll: PositiveSeconds | None = None
    stale_after: PositiveSeconds | None = None
    critical: bool = False
    priority: Literal["high", "normal", "low"] | None = None
    deadband: Quantity | None = None


class Device(FileModel):
    """What answers on a link: a profile by name, or its map inline.

    ``accept_any_unit``: a reply that names another unit is taken as this device's, for probes that answer with an
    address of their own; only for a device that is alone on its bus. ``broadcast_writes``: unit 0 is every device of a
    bus; a write to it is refused unless this says that it is meant.
    """

    link: Tag
    unit: Annotated[int, Field(ge=0, le=255)] | None = None
    profile: str | Profile
    poll: PositiveSeconds = 1.0
    accept_any_unit: bool = False
    broadcast_writes: bool = False
    signals: dict[FieldName, SignalSettings] = {}


class MotorValve(FileModel):
    """An open/close valve: energised to open, limit switches for both ends. ``travel`` is its full stroke time."""

    type: Literal["motor"]
    open_command: SignalName
    opened: SignalName
    closed: SignalName
    travel: PositiveSeconds


class ModulatingValve(FileModel):
    """A positioned valve. ``position_command`` and ``position`` in percent open."""

    type: Literal["modulating"]
    position_command: SignalName
    position: SignalName
    travel: PositiveSeconds
    closed_below: Percent = 1.0


Valve = Annotated[MotorValve | ModulatingValve, Field(discriminator="type")]


class Pump(FileModel):
    """A pump with run feedback. It is started after its valve has left closed and stopped before it closes."""

    run_command: SignalName
    running: SignalName
    start_timeout: PositiveSeconds = 5.0


class FastGuard(FileModel):
    """Watches a continuously measured parameter: beyond its limit for ``stop_delay``, or beyond ``instant`` at once.

    ``high`` and ``low`` may only be stricter than the standard. Clears after ``clear_time`` inside the limit by
    ``hysteresis`` (percent of the limit).
    """

    kind: Literal["fast"]
    signal: SignalName
    high: Quantity | None = None
    low: Quantity | None = None
    instant: Quantity | None = None
    instant_low: Quantity | None = None
    stop_delay: Seconds = 5.0
    clear_time: Seconds = 600.0
    hysteresis: Percent = 10.0
    mark_cap: Seconds = 1800.0


class BatchGuard(FileModel):
    """Watches an analyzer that gives one result per ``interval``; ages: fresh, aging, stale, expired.

    A single result beyond the limit trips. Ages are multiples of ``interval`` (fresh to 1.5, aging to 2.5,
    expired from ``expired_after``). Clears after ``results_to_clear`` good new results.
    """

    kind: Literal["batch"]
    signal: SignalName
    interval: PositiveSeconds
    high: Quantity | None = None
    low: Quantity | None = None
    staleness: Staleness | None = None
    expired_after: Annotated[float, Field(gt=2.5, le=24)] = 4.0
    results_to_clear: Annotated[int, Field(ge=1, le=24)] = 2
    hysteresis: Percent = 10.0


Guard = Annotated[FastGuard | BatchGuard, Field(discriminator="kind")]


class Meter(FileModel):
    """The flow meter of a dispenser: instantaneous flow, and the meter's own totaliser that is billed by."""

    flow: SignalName
    total: SignalName
    rollover: PositiveVolumeM3 | None = None


class SupplyLevel(FileModel):
    """The tank a dispenser draws from. Below ``low`` no new order; below ``low_low`` (or unknown) it stops."""

    signal: SignalName
    low: Metres
    low_low: Metres


class _Dispenser(FileModel):
    use: str
    standards: tuple[str, ...] = ()
    meter: Meter
    valve: Tag
    pump: Tag | None = None
    guards: Annotated[dict[str, Guard], Field(min_length=1)]
    supply_level: SupplyLevel | None = None
    reset: Literal["local", "remote"] = "local"
    no_flow_below: FlowM3h = 0.5
    unauthorised_after: PositiveSeconds = 5.0


class BatchDispenser(_Dispenser):
    """Fills a tanker against an order.

    ``slow_opening`` (modulating valves only) is used for the first ``slow_start`` and the last ``slow_finish``
    of a fill. ``pre_act`` is how much early the valve closes until that is learned from overruns (by default half
    the stroke at the present flow), ``pre_act_limit`` clamps it. ``settle``: how long flow must be nil.
    """

    mode: Literal["batch"]
    max_order: PositiveVolumeM3
    full_flow: PositiveFlowM3h
    flow_timeout: PositiveSeconds = 10.0
    slow_opening: Percent | None = None
    slow_start: VolumeM3 = 0.0
    slow_finish: VolumeM3 = 0.0
    pre_act: VolumeM3 | None = None
    pre_act_limit: VolumeM3 = 0.5
    settle: PositiveSeconds = 2.0
    order_timeout: PositiveSeconds = 3600.0


class Pid(FileModel):
    """PID settings in the ISA standard form. ``gain`` in percent opening per m3/h."""

    gain: Annotated[float, Field(gt=0)]
    integral_time: PositiveSeconds
    derivative_time: Seconds = 0.0


class ContinuousDispenser(_Dispenser):
    """Serves a pipe: holds ``setpoint`` by a PID on a modulating valve, ramped at ``ramp`` m3/h per second."""

    mode: Literal["continuous"]
    setpoint: FlowM3h
    max_setpoint: PositiveFlowM3h
    ramp: PositiveFlowM3h = 5.0
    pid: Pid


Dispenser = Annotated[BatchDispenser | ContinuousDispenser, Field(discriminator="mode")]


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
    valves: dict[Tag, Valve] = {}
    pumps: dict[Tag, Pump] = {}
    dispensers: dict[Tag, Dispenser] = {}
    uplink: Uplink | None = None
