"""Opens the connection of a Modbus link: TCP, TLS, a serial port, or serial frames over TCP."""

import asyncio
import contextlib
import errno
import socket
import ssl
import termios
from collections.abc import Callable
from typing import Final, NamedTuple

from pymodbus.transport.serialtransport import SerialTransport

from config.errors import LinkError
from config.link import ModbusLink, ModbusRtuLink, ModbusTcpLink, SerialLine, Tls
from drivers.modbus.framing import CRC_BYTES, Framing, RtuFraming, TcpFraming
from drivers.modbus.transaction import Exchange

BITS_PER_CHARACTER: Final = 11
"""Start, eight data, parity or second stop, stop (MODBUS over Serial Line V1.02, 2.5.1)."""
FAST_LINE_BAUD: Final = 19200
FAST_LINE_SILENCE_S: Final = 0.00175
"""Above 19,200 baud the silence between frames is fixed (V1.02, 2.5.1.1)."""
CLOCK_TICK_S: Final = 0.001
"""A loop may count in milliseconds: so much may be missing of a wait."""
KEEP_ALIVE: Final = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
"""Seconds until a silent peer is asked by the kernel, between two such questions, and how many: gone after 25 s."""


class SettingsRefused(LinkError):
    """A serial port that is there and cannot be set so: another speed or parity may do."""


class LineTiming(NamedTuple):
    """What a line adds: seconds per byte (0 on TCP) and the silence needed before a frame."""

    byte_s: float
    silence_s: float

    def frame_s(self, pdu: int) -> float:
        """How long a frame with so many bytes of PDU takes on the line."""
        return (1 + pdu + CRC_BYTES) * self.byte_s

    def transfer_s(self, request_pdu: int, reply_pdu: int) -> float:
        """How long a request and its reply take on the line."""
        return self.frame_s(request_pdu) + self.frame_s(reply_pdu)


def line_timing(link: ModbusLink) -> LineTiming:
    """The timing of a link: t3.5 by baud rate, and at least the turnaround that the site asks for."""
    line: SerialLine | ModbusRtuLink
    if isinstance(link, ModbusRtuLink):
        line = link
    elif link.line is not None:
        line = link.line
    else:
        # A converter is a serial line of some speed: two frames must not run together there, nor a frame that comes
        # twice pass for the next reply.
        return LineTiming(0.0, FAST_LINE_SILENCE_S + CLOCK_TICK_S if link.framing == "rtu" else 0.0)
    byte_s = BITS_PER_CHARACTER / line.baudrate
    silence = FAST_LINE_SILENCE_S if line.baudrate > FAST_LINE_BAUD else 3.5 * byte_s
    return LineTiming(byte_s, max(silence, line.turnaround) + CLOCK_TICK_S)


def framing_of(link: ModbusLink) -> Framing:
    """A new framing for a new connection."""
    if isinstance(link, ModbusRtuLink):
        return RtuFraming(echo=link.local_echo)
    return RtuFraming() if link.framing == "rtu" else TcpFraming(strict=link.strict_ids)


def has_transaction_ids(link: ModbusLink) -> bool:
    """True when a reply names its request; on serial frames, and with ids of zero, a late one looks like the next."""
    return isinstance(link, ModbusTcpLink) and link.framing == "tcp" and link.strict_ids


async def connect(link: ModbusLink, lost: Callable[[str], None], framing: Framing | None = None) -> Exchange:
    """Opens a link, by default with the framing that it says.

    Raises ``LinkError`` when that fails or takes longer than the link's time-out, ``SettingsRefused`` (one of them)
    when a serial port is there and cannot be set as the link says.
    """
    loop = asyncio.get_running_loop()
    framing = framing or framing_of(link)
    try:
        async with asyncio.timeout(link.timeout):
            if isinstance(link, ModbusTcpLink):
                return await _connect_tcp(link, loop, lost, framing)
            return await _open_serial(link, loop, lost, framing)
    except TimeoutError as error:
        raise LinkError(f"no connection within {link.timeout:g} s") from error
    except ssl.SSLCertVerificationError as error:
        raise LinkError(f"the server's certificate is refused: {error.verify_message}") from error
    except (OSError, ValueError) as error:  # ssl.SSLError and pyserial's SerialException are OSErrors
        raise LinkError(str(error)) from error


async def _connect_tcp(
    link: ModbusTcpLink, loop: asyncio.AbstractEventLoop, lost: Callable[[str], None], framing: Framing
) -> Exchange:
    tls = tls_context(link.tls) if link.tls is not None else None
    name = (link.tls.server_name or link.host) if link.tls is not None else None
    transport, exchange = await loop.create_connection(
        lambda: Exchange(framing, loop, lost, link.in_flight, line_timing(link).silence_s),
        link.host,
        link.port,
        ssl=tls,
        server_hostname=name,
    )
    _keep_alive(transport)
    return exchange


def tls_context(tls: Tls) -> ssl.SSLContext:
    """The TLS settings of a link: at least 1.2, and the server's certificate is always checked.

    Raises ``OSError`` (``ssl.SSLError`` is one) for files that cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(tls.ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert_file is not None and tls.key_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def _keep_alive(transport: asyncio.Transport) -> None:
    handle = transport.get_extra_info("socket")
    if handle is None:
        return
    with contextlib.suppress(OSError):  # a kernel without one of these options goes without
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEP_ALIVE:
            handle.setsockopt(socket.IPPROTO_TCP, option, value)


class _SerialPort(SerialTransport):
    """A transport that lets go of a port that it has opened and cannot set."""

    def __init__(self, loop: asyncio.AbstractEventLoop, exchange: Exchange, link: ModbusRtuLink) -> None:
        try:
            super().__init__(loop, exchange, link.port, link.baudrate, 8, link.parity, link.stopbits, 0)
        except BaseException:
            opened = getattr(self, "sync_serial", None)
            if opened is not None:
                opened.close()
            raise


async def _open_serial(
    link: ModbusRtuLink, loop: asyncio.AbstractEventLoop, lost: Callable[[str], None], framing: Framing
) -> Exchange:
    exchange = Exchange(framing, loop, lost, silence=line_timing(link).silence_s)
    try:
        transport = _SerialPort(loop, exchange, link)
    except (OSError, ValueError, termios.error) as error:  # termios.error is no OSError
        raise _not_opened(link, error) from error
    loop.call_soon(transport.setup)
    try:
        await exchange.made  # the serial transport announces itself some loop steps later
        if not exchange.ended:
            _low_latency(transport)
    except BaseException:
        transport.abort()
        raise
    return exchange


def _not_opened(link: ModbusRtuLink, error: Exception) -> LinkError:
    """Why a serial port could not be opened, in words that say what to do."""
    port, text = link.port, str(error)
    number = error.args[0] if isinstance(error, termios.error) and error.args else getattr(error, "errno", None)
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in text:
        return LinkError(
            f"{port} is in use by another program; 'fuser -v {port}' shows which (a controller, another tool?)"
        )
    if number == errno.ENOENT:
        return LinkError(
            f"{port}: there is no such port; 'ls /dev/ttyS* /dev/ttyUSB* /dev/serial/by-id/' shows those there are"
        )
    if number == errno.EACCES:
        return LinkError(f"{port}: no permission; put yourself into the group that owns it (ls -l {port}; 'dialout')")
    if number == errno.EINVAL or (number is None and isinstance(error, ValueError)):
        setting = f"{link.baudrate} 8{link.parity}{link.stopbits}"
        reason = str(error.args[-1]) if error.args else "it refuses"
        return SettingsRefused(f"{port}: this port cannot do {setting}: {reason}; choose another speed or parity")
    if number == errno.ENOTTY or "Inappropriate ioctl" in text:
        return LinkError(f"{port} is no serial port")
    return LinkError(f"{port} cannot be opened: {text}")


def _low_latency(transport: SerialTransport) -> None:
    """USB adapters gather what arrives for 16 ms unless they are told not to; other ports need no telling."""
    port = transport.sync_serial
    try:
        port.reset_input_buffer()
    except termios.error as error:  # which is no OSError: the adapter was pulled just now
        raise OSError(*error.args) from error
    with contextlib.suppress(OSError, ValueError, NotImplementedError):
        port.set_low_latency_mode(True)
