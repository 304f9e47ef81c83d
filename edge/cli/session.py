"""A tool's way to the field: through the controller that runs, or by a link that it opens itself.

Either way the same requests are asked and answered (``edge.field``).
"""

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from config.errors import CommandRefused, DeviceError, LinkError
from config.load import LoadedSite, load_site
from config.profile import ModbusProfile
from edge import rpc
from edge.cli.by_hand import HERE, link_of, site_of_one
from edge.cli.direct import alone, direct_field, who
from edge.cli.printed import remark
from edge.cli.same_bus import shared_link
from edge.cli.target import Target
from edge.field import Field

HIGHEST_UNIT: Final = 247
"""Of a serial line (MODBUS over Serial Line V1.02, 2.2)."""
ANSWER_S: Final = 90.0
"""A command with a handshake may take as long; reading every signal of a large device at 1,200 baud too."""


class Asked(Protocol):
    """Whoever answers requests about the field."""

    async def __call__(self, request: dict[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Session:
    """``device`` (a tag), or a ``link`` with a ``unit``. ``controller``: true when a running one is asked."""

    ask: Asked
    controller: bool
    link: str
    device: str | None
    unit: int | None

    async def request(self, op: str, **arguments: Any) -> dict[str, Any]:
        """The answer. Raises ``CommandRefused`` or ``DeviceError`` with a refusal."""
        answer = await self.ask({"op": op, **arguments})
        if answer.get("ok"):
            return answer
        text = str(answer.get("error"))
        raise CommandRefused(text) if answer.get("code") in ("refused", "store") else DeviceError(text)

    async def read_raw(self, table: str, address: int, count: int) -> dict[str, Any]:
        """One read request, as it stands."""
        whom = {"device": self.device} if self.device is not None else {"link": self.link, "unit": self.unit}
        return await self.request("read-raw", **whom, table=table, address=address, count=count)


@contextlib.asynccontextmanager
async def session(
    target: Target,
    tag: str | None,
    unit: int | None,
    profile: ModbusProfile | None = None,
    *,
    writes: bool = False,
) -> AsyncIterator[Session]:
    """Opens the way to a device or link of a site by its ``tag``, or to ``unit`` of what the options say."""
    running = await running_controller(target.state)
    if target.by_hand:
        if tag is not None:
            raise DeviceError(f"'{tag}' is a name of a site: leave --port and --host away, or leave the name away")
        if unit is None:
            raise DeviceError("which unit? say --unit 1 ('penstock scan-bus' finds those that answer)")
        _check_unit(target, unit)
        way = _to_unit(target, unit, profile, running, writes=writes)
    else:
        if tag is None:
            raise DeviceError(
                "what? A device or link of a site (--site FILE, or of the controller that runs), or --port or --host"
            )
        if unused := target.settings_said():
            remark(f"{unused}: not used, because {tag} is asked with the settings of its site; they go with --port")
        way = _to_tag(target, tag, unit, running, writes=writes)
    async with way as opened:
        yield opened


def _check_unit(target: Target, unit: int) -> None:
    """Refuses units that no device of a serial line can have."""
    if target.host is not None and not target.rtu:
        return
    if unit == 0:
        raise DeviceError("unit 0 means every unit of a serial line at once, and nobody answers it: 1 to 247")
    if unit > HIGHEST_UNIT:
        raise DeviceError(f"unit {unit}: the numbers from 248 on are reserved on a serial line: 1 to 247")


@contextlib.asynccontextmanager
async def _to_unit(
    target: Target, unit: int, profile: ModbusProfile | None, running: dict[str, Any] | None, *, writes: bool
) -> AsyncIterator[Session]:
    """The way to a unit of the port or host on the command line."""
    link = link_of(target)
    shared = await shared_link(running, link)
    if shared is not None:
        if profile is not None or writes:
            raise LinkError(f"a controller runs on this very link ({shared}): name the device as its site does")
        remark(f"this is link {shared} of the controller that runs in {target.state}; it is asked between its polls")
        if unused := target.settings_said():
            at = running["links"][shared]["address"] if running is not None else shared
            remark(f"{unused}: not used, because the controller's own settings hold ({at})")
        yield Session(_through(target.state), True, shared, None, unit)
        return
    if writes and running is not None:
        raise LinkError(
            f"a controller runs in {target.state} and keeps the ledger there; its site has no such link. "
            "Put the device into the site file, or record elsewhere: --state DIR"
        )
    loaded = site_of_one(link, unit, profile)
    device = next(iter(loaded.site.devices)) if profile is not None else None
    async with _by_hand(loaded, HERE, target.state, writes=writes, held=running is None) as field:
        yield Session(_directly(field), False, HERE, device, unit)


@contextlib.asynccontextmanager
async def _to_tag(
    target: Target, tag: str, unit: int | None, running: dict[str, Any] | None, *, writes: bool
) -> AsyncIterator[Session]:
    """The way to a device or link of a site, through its controller where that runs."""
    site = load_site(target.site) if target.site is not None else None
    if running is not None:
        if site is not None and site.site.site.id != running["site"]:
            raise LinkError(
                f"the controller in {target.state} runs site {running['site']}, not {site.site.site.id}: "
                "say the --state of your site"
            )
        devices = {one: name for name, link in running["links"].items() for one in link["devices"]}
        link_name, device = _found(tag, unit, list(running["links"]), devices)
        yield Session(_through(target.state), True, link_name, device, unit)
        return
    if site is None:
        raise LinkError(
            f"no controller runs in {target.state}, and no site file is given: say --site FILE, the --state of a "
            "controller that runs, or --port or --host"
        )
    devices = {one: device.link for one, device in site.site.devices.items()}
    link_name, device = _found(tag, unit, list(site.site.links), devices)
    async with _by_hand(site, link_name, target.state, writes=writes, held=True) as field:
        yield Session(_directly(field), False, link_name, device, unit)


async def running_controller(state: Path) -> dict[str, Any] | None:
    """The status of the controller that runs in a state directory, ``None`` when none answers there.

    Raises ``LinkError`` for a directory in which one may run unseen: its buses are not to be used beside it.
    """
    _check_open(state)
    try:
        answer = await rpc.call(state, {"op": "status"})
    except LinkError:
        return None
    return answer if answer.get("ok") else None


def _check_open(state: Path) -> None:
    socket = state / rpc.SOCKET_NAME
    closed = state.is_dir() and not os.access(state, os.X_OK)
    if closed or (state.is_dir() and socket.exists() and not os.access(socket, os.W_OK)):
        raise LinkError(
            f"{state} is not open to you, and a controller may run there: put yourself into its group "
            f"(ls -ld {state}; mostly 'penstock'), or say another --state if this is not the gateway"
        )


def _found(tag: str, unit: int | None, links: list[str], devices: dict[str, str]) -> tuple[str, str | None]:
    """The link and the device that a tag means."""
    if tag in devices:
        if unit is not None:
            raise DeviceError(f"{tag} is a device: its unit is known; --unit goes with a link ({', '.join(links)})")
        return devices[tag], tag
    if tag in links:
        if unit is None:
            raise DeviceError(f"{tag} is a link: say which --unit of it")
        return tag, None
    raise DeviceError(f"there is no device or link '{tag}'; devices: {', '.join(devices)}; links: {', '.join(links)}")


@contextlib.asynccontextmanager
async def _by_hand(loaded: LoadedSite, link: str, state: Path, *, writes: bool, held: bool) -> AsyncIterator[Field]:
    """The field by a link that this tool opens. ``held``: no controller may start in ``state`` meanwhile."""
    with contextlib.ExitStack() as stack:
        if held:
            remark(stack.enter_context(alone(state, must=writes)))
        async with direct_field(loaded, link, state if writes else None) as field:
            yield field


def _through(state: Path) -> Asked:
    async def ask(request: dict[str, Any]) -> dict[str, Any]:
        return await rpc.call(state, request, ANSWER_S)

    return ask


def _directly(field: Field) -> Asked:
    from edge.arguments import BadRequest

    async def ask(request: dict[str, Any]) -> dict[str, Any]:
        try:
            return await field.handle(request, who())
        except BadRequest as error:
            return rpc.refused("bad-request", str(error))

    return ask
