"""A link that a tool opens itself, where no controller runs: as strict as the controller's, and recorded as well."""

import contextlib
import os
import pwd
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.device import Device
from config.errors import DeviceError, LinkError, StoreError
from config.link import ModbusLink
from config.load import LoadedSite
from config.profile import ModbusProfile
from config.sample import Value
from config.signals import Signal
from drivers.modbus.command import DeviceCommands
from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan
from drivers.modbus.probe import Probe
from drivers.modbus.procedure import Ask, Procedure
from drivers.modbus.transaction import Result
from drivers.modbus.unit import BROADCAST
from drivers.port import WriteResult
from edge.field import Field, Record
from edge.log import configure_logging
from edge.single_instance import single_instance
from edge.store.writer import StoreWriter

RECORD_S: Final = 5.0
"""How long the disk may take to write down what is done by hand before it is refused."""


class ProbeBus:
    """A link of a site by a probe: every device of it as its profile says."""

    def __init__(self, probe: Probe, loaded: LoadedSite, link: str) -> None:
        self._probe = probe
        self._loaded = loaded
        self._by_unit = {
            device.unit: tag
            for tag, device in loaded.site.devices.items()
            if device.link == link and device.unit is not None
        }

    async def ask(self, unit: int, ask: Ask) -> Result:
        tag = self._by_unit.get(unit)
        if tag is None:
            return (await self._probe.ask(unit, ask)).result
        settings, profile = self._of(tag)
        # Nobody is unit 0: who answers to it has a number of its own.
        any_unit = settings.accept_any_unit or unit == BROADCAST
        return (await self._probe.ask(unit, ask, profile.limits.response_delay, any_unit=any_unit)).result

    async def write(self, signal: Signal, value: Value) -> WriteResult:
        left: list[str] = []
        commands = self._commands(signal.device, left)
        try:
            steps = commands.write(signal.index, value)
        except DeviceError as error:
            return WriteResult(False, None, error.message)
        result = await self._carry_out(signal.device, steps)
        return result._replace(detail="; ".join(filter(None, [result.detail, *left])))

    async def write_raw(self, device: str, pdu: bytes) -> WriteResult:
        try:
            return await self._carry_out(device, self._commands(device, []).raw(pdu))
        except DeviceError as error:
            return WriteResult(False, None, error.message)

    async def act(self, device: str, action: str) -> WriteResult:
        try:
            return await self._carry_out(device, self._commands(device, []).action(action))
        except DeviceError as error:
            return WriteResult(False, None, error.message)

    def _of(self, tag: str) -> tuple[Device, ModbusProfile]:
        profile = self._loaded.profiles[tag]
        assert isinstance(profile, ModbusProfile)
        return self._loaded.site.devices[tag], profile

    def _commands(self, tag: str, left: list[str]) -> DeviceCommands:
        """What may be done to a device; ``left`` takes what a command should have led to and has not."""
        settings, profile = self._of(tag)
        signals = self._loaded.signals.by_device[tag]
        zone = ZoneInfo(self._loaded.site.site.timezone)
        plan = DevicePlan(signals, profile, zone, Parameters(lambda field, before, now: None))
        return DeviceCommands(
            signals,
            profile,
            plan,
            lambda read, samples: None,
            lambda signal, seen: left.append(seen) if seen else None,
            answers=not _is_everybody(settings),
        )

    async def _carry_out(self, tag: str, steps: Procedure) -> WriteResult:
        settings, profile = self._of(tag)
        assert settings.unit is not None
        if settings.unit == BROADCAST and not settings.broadcast_writes:
            why = "unit 0 is every device of the bus; say 'broadcast_writes: true' if that is meant"
            return WriteResult(False, None, why)
        return await self._probe.carry_out(
            settings.unit,
            steps,
            profile.limits.response_delay,
            broadcast=_is_everybody(settings),
            any_unit=settings.accept_any_unit,
        )


def _is_everybody(settings: Device) -> bool:
    """True for a device that stands for every one of its bus."""
    return settings.unit == BROADCAST and settings.broadcast_writes


@contextlib.asynccontextmanager
async def direct_field(loaded: LoadedSite, link: str, state: Path | None) -> AsyncIterator[Field]:
    """The field of one link. ``state``: where what is written is recorded; ``None`` to read only.

    The caller holds the controller's lock there.
    """
    async with contextlib.AsyncExitStack() as stack:
        record = stack.enter_context(_recorded(state)) if state is not None else None
        probe = await stack.enter_async_context(Probe(_modbus(loaded, link)))
        yield Field(loaded, {link: ProbeBus(probe, loaded, link)}, record, None)


def _modbus(loaded: LoadedSite, link: str) -> ModbusLink:
    settings = loaded.site.links[link]
    if settings.type == "opcua":
        raise LinkError(
            f"link {link} is an OPC UA session, and only Modbus links are read and written by hand: "
            f"'penstock opcua browse SITE {link} --values' shows what its server has, 'penstock why DEVICE' what a "
            "running controller reads"
        )
    return settings


@contextlib.contextmanager
def _recorded(state: Path) -> Iterator[Record]:
    """The ledger of a state directory in which no controller runs; opened when there is something to record."""
    opened: list[StoreWriter] = []

    async def record(subject: str, body: dict[str, Any]) -> bool:
        if not opened:
            configure_logging("tool")
            opened.append(StoreWriter(state))
            opened[0].start()
        opened[0].put_entry("command", subject, body, int(time.time() * 1000))
        return await opened[0].flush(RECORD_S)

    try:
        yield record
    finally:
        for store in opened:
            store.stop()


@contextlib.contextmanager
def alone(state: Path, *, must: bool) -> Iterator[str]:
    """Keeps controllers from starting in a state directory; gives a remark where that could not be done.

    Tools do not keep each other out: a port is opened by one of them only, whatever the directory. But ``must``, for a
    write: it needs the directory for its record, and one writes at a time. A directory that is not there is made then
    only. Raises ``LinkError`` when something else holds it, ``StoreError`` when it must be used and cannot.
    """
    if not must and not state.is_dir():
        yield ""
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(single_instance(state, "controller", shared=True))
            if must:
                stack.enter_context(single_instance(state, "by-hand"))
        except LinkError as error:
            why = "a controller that does not answer yet, or a tool that writes"
            raise LinkError(f"{state} is in use by {why}: try again in a moment") from error
        except StoreError as error:
            if must:
                raise StoreError(
                    f"{error.message}. What is written by hand is recorded there, so nothing was sent; "
                    "say --state DIR with a directory of your own if this is not the gateway"
                ) from error
            yield f"{error.message}, so whether a controller runs there cannot be seen"
            return
        yield ""


def who() -> str:
    """The user at the keyboard, by the kernel's word; behind sudo who called it, by sudo's."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    caller = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo: {caller})" if caller and os.getuid() == 0 else name
