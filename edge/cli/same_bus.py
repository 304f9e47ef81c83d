"""Whether a port or host on the command line is a bus of the controller that runs, however it is spelt."""

import asyncio
import ipaddress
import os
import socket
import stat
from typing import Any, Final

from config.link import ModbusLink, ModbusTcpLink

RESOLVE_S: Final = 3.0
"""A name server that does not answer in this time leaves a host known by its spelling alone."""


async def shared_link(running: dict[str, Any] | None, link: ModbusLink) -> str | None:
    """The link of a running controller that leads where ``link`` does."""
    if running is None:
        return None
    for name, one in running["links"].items():
        where = str(one["address"])
        if isinstance(link, ModbusTcpLink):
            host, _, port = where.rpartition(":")
            if one["type"] == "modbus-tcp" and port == str(link.port) and await same_host(host, link.host):
                return str(name)
        elif one["type"] == "modbus-rtu" and same_port(where.rsplit(" ", 2)[0], link.port):
            return str(name)
    return None


async def same_host(one: str, other: str) -> bool:
    """True for two names or addresses that have an address in common."""
    return one.lower() == other.lower() or bool(await _addresses(one) & await _addresses(other))


async def _addresses(host: str) -> set[str]:
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return set()
    return {_reached(str(address[0])) for *_, address in found}


def _reached(address: str) -> str:
    """Where a connection to an address ends: that of no host is this one, and IPv4 may be written as IPv6."""
    known = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is not None:
        known = known.ipv4_mapped
    if known.is_unspecified:
        return "127.0.0.1" if known.version == 4 else "::1"
    return str(known)


def same_port(one: str, other: str) -> bool:
    """True for two paths of one serial port, such as a link in /dev/serial/by-id and what it leads to."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        first, second = os.stat(one), os.stat(other)
    except OSError:
        return False
    return stat.S_ISCHR(first.st_mode) and stat.S_ISCHR(second.st_mode) and first.st_rdev == second.st_rdev
