"""The links of a site file: what a bus or a session is reached by."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from config.model import FileModel, PositiveSeconds, Seconds

Port = Annotated[int, Field(ge=1, le=65535)]


def _without_port(host: str) -> str:
    if host.count(":") == 1:
        raise ValueError("a host name or address alone; its port goes under 'port'")
    return host


Host = Annotated[str, StringConstraints(min_length=1, max_length=253), AfterValidator(_without_port)]


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
