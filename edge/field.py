"""What a person does to the field by hand: reads, writes and actions; each checked, read back and recorded.

The controller answers these requests between its polls, because its buses are its own. Where none runs, a tool answers
its own requests here, in the same words. What moves a valve or a pump is not written by hand while a controller runs:
there is no second way to move a valve.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from config.encoding import Table
from config.equipment import MotorValve
from config.errors import DeviceError
from config.link import Link, ModbusRtuLink, ModbusTcpLink, OpcUaLink
from config.lint import DEMAND_KINDS
from config.load import LoadedSite
from config.modbus_signal import ModbusSignal
from config.profile import ModbusProfile
from config.sample import Value
from config.signals import Signal, digits, wire_place
from config.site import Site
from config.units import kind_of, quantity
from drivers.modbus.fresh import DeviceReader, Reading
from drivers.modbus.procedure import Ask, outcome_text
from drivers.modbus.raw import place, read_bits, write_pdu
from drivers.modbus.transaction import Outcome, Result
from drivers.modbus.write_request import MOST_COILS, allowed_bits
from drivers.port import WriteResult
from edge.arguments import BadRequest, text, texts, whole, wholes
from edge.rpc import refused

FIELD_OPS: Final = frozenset({"read", "read-raw", "write", "write-raw", "action", "actions"})
HAND_SHARE: Final = 0.25
"""Most of a bus' time that requests by hand may take while a controller polls on it: the polls go on between them."""
MAX_SIGNALS: Final = 1000
_WORDS_OF_BOOL: Final = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}

Record = Callable[[str, dict[str, Any]], Awaitable[bool]]
"""Writes a command into the ledger (its device, and what is to be said of it); false when the disk does not take it."""


class Bus(Protocol):
    """A Modbus link, as far as a person may use it. No call raises for what a device does."""

    async def ask(self, unit: int, ask: Ask) -> Result:
        """One read of a unit."""
        ...

    async def write(self, signal: Signal, value: Value) -> WriteResult:
        """Commands a signal and reads it back."""
        ...

    async def write_raw(self, device: str, pdu: bytes) -> WriteResult:
        """Sends a write as it stands, if the profile lists its registers."""
        ...

    async def act(self, device: str, action: str) -> WriteResult:
        """Carries out an action of the profile."""
        ...


class _Refused(Exception):
    """What may not be done, ``code`` for machines, the text for people; ``record`` when it belongs into the ledger."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code, self.why = code, why


@dataclass(frozen=True, slots=True)
class _Device:
    """A Modbus device of the site."""

    tag: str
    link: str
    unit: int
    profile: ModbusProfile
    reader: DeviceReader


class Outputs:
    """What belongs to the valves and pumps of a site, and so is the controller's."""

    def __init__(self, loaded: LoadedSite) -> None:
        self._signals = loaded.signals
        self._owner = output_signals(loaded.site)
        self._carried: dict[str, list[str]] = {}
        for name, tag in self._owner.items():
            self._carried.setdefault(name.partition(".")[0], []).append(tag)
        # What is told to every unit of a bus moves whatever stands there.
        self._everybody = {tag for tag, device in loaded.site.devices.items() if device.broadcast_writes}
        for tag in self._everybody:
            link = loaded.site.devices[tag].link
            neighbours = [other for other, device in loaded.site.devices.items() if device.link == link]
            self._carried[tag] = [owner for other in neighbours for owner in self._carried.get(other, [])]

    def of_signal(self, signal: Signal) -> list[str]:
        """The valves and pumps that a write of a signal could move.

        Beside an output itself: what shares its register, and on the device of an output whatever commands something.
        """
        if signal.name in self._owner:
            return [self._owner[signal.name]]
        carried = self.of_device(signal.device)
        definition = signal.definition
        if not carried or signal.device in self._everybody or not isinstance(definition, ModbusSignal):
            return carried
        outputs = [self._signals[name] for name in self._owner if name.startswith(f"{signal.device}.")]
        demand = signal.kind == "number" and kind_of(definition.unit) in DEMAND_KINDS
        commands = definition.command is not None or demand
        return carried if commands or any(_overlap(definition, other) for other in outputs) else []

    def of_device(self, device: str) -> list[str]:
        """The valves and pumps that a device carries."""
        return self._carried.get(device, [])


def output_signals(site: Site) -> dict[str, str]:
    """The outputs of arbitration: the signal that commands each valve, pump and analog output, and its tag."""
    owners = {
        valve.open_command if isinstance(valve, MotorValve) else valve.position_command: tag
        for tag, valve in site.valves.items()
    }
    owners |= {
        valve.close_command: tag
        for tag, valve in site.valves.items()
        if isinstance(valve, MotorValve) and valve.close_command is not None
    }
    owners |= {pump.run_command: tag for tag, pump in site.pumps.items()}
    return owners | {output.command: tag for tag, output in site.analog_outputs.items()}


def _overlap(one: ModbusSignal, other: Signal) -> bool:
    two = other.definition
    assert isinstance(two, ModbusSignal)
    if one.table is not two.table:
        return False
    if one.bit is not None and two.bit is not None and one.bit != two.bit:
        return False
    return one.address < two.address + two.registers and two.address < one.address + one.registers


class Field:
    """Answers requests about the field of a site.

    ``buses``: those of its Modbus links that can be used. ``record``: the ledger, ``None`` where there is none, and
    then nothing is written. ``commanded``: what a running controller demands of a valve or pump just now; ``None``
    when none runs. ``share`` of a bus' time that may be taken, 1 for all of it.
    """

    def __init__(
        self,
        loaded: LoadedSite,
        buses: Mapping[str, Bus],
        record: Record | None,
        commanded: Callable[[str], str] | None,
        share: float = 1.0,
    ) -> None:
        self._loaded = loaded
        self._buses = buses
        self._record = record
        self._commanded = commanded
        self._share = share
        self._outputs = Outputs(loaded)
        self._turns = {name: asyncio.Lock() for name in buses}
        self._not_before = dict.fromkeys(buses, float("-inf"))

    async def handle(self, request: dict[str, Any], user: str) -> dict[str, Any]:
        """Answers one of ``FIELD_OPS``. Raises ``BadRequest`` for arguments that are missing or of the wrong kind."""
        try:
            match request["op"]:
                case "read":
                    return await self._read(request)
                case "read-raw":
                    return await self._read_raw(request)
                case "actions":
                    return self._actions(self._device(text(request, "device")))
                case "write":
                    return await self._write(request, user)
                case "write-raw":
                    return await self._write_raw(request, user)
                case "action":
                    return await self._act(request, user)
                case _:
                    return refused("bad-request", "no such op")
        except _Refused as refusal:
            return refused(refusal.code, refusal.why)
        except DeviceError as error:
            return refused(error.code, error.message)

    # -- reading -----------------------------------------------------------------------------------------------------

    async def _read(self, request: dict[str, Any]) -> dict[str, Any]:
        device = self._device(text(request, "device"))
        wanted = texts(request, "signals", MAX_SIGNALS)
        for field in wanted:
            self._signal(device, field)
        before = device.reader.requests
        readings = await self._readings(device, wanted or None)
        return {
            "ok": True,
            **self._where(device),
            "requests": device.reader.requests - before,
            "signals": [self._shown(device, reading) for reading in readings],
        }

    async def _read_raw(self, request: dict[str, Any]) -> dict[str, Any]:
        if "device" in request:
            device = self._device(text(request, "device"))
            link, unit = device.link, device.unit
        else:
            link, unit = text(request, "link"), whole(request, "unit")
            if not 0 <= unit <= 255:
                raise BadRequest("'unit' must be 0 to 255")
        self._bus(link)
        wanted = place(self._table(request), whole(request, "address"), whole(request, "count"))
        result = await self._ask(link, unit, wanted.ask)
        answer: dict[str, Any] = {
            "ok": True,
            "link": link,
            "at": link_address(self._loaded.site.links[link]),
            "unit": unit,
            "table": str(wanted.table),
            "address": wanted.address,
            "count": wanted.count,
            "outcome": result.outcome.name.lower(),
            "error": outcome_text(result),
            "data": result.pdu[2:].hex(" ") if result.outcome is Outcome.REPLY else "",
            "round_trip_s": round(result.took, 6),
        }
        if result.outcome is Outcome.EXCEPTION:
            answer["exception"] = result.pdu[1]
        return answer

    async def _readings(self, device: _Device, fields: list[str] | None) -> list[Reading]:
        return await device.reader.read(lambda ask: self._ask(device.link, device.unit, ask), fields)

    async def _ask(self, link: str, unit: int, ask: Ask) -> Result:
        """One request, when the bus' share of the last one has passed."""
        bus = self._bus(link)
        async with self._turns[link]:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(max(self._not_before[link] - loop.time(), 0.0))
            began = loop.time()
            result = await bus.ask(unit, ask)
            now = loop.time()
            self._not_before[link] = now + (now - began) * (1 / self._share - 1)
            return result

    def _shown(self, device: _Device, reading: Reading) -> dict[str, Any]:
        signal, sample = reading.signal, reading.sample
        return {
            "name": signal.name,
            "value": sample.value,
            "unit": signal.unit,
            "kind": signal.kind,
            "digits": digits(signal),
            "quality": sample.quality.name.lower(),
            "reason": str(sample.reason),
            "error": reading.error,
            "raw": sample.raw.hex(" "),
            "place": wire_place(signal, device.profile.base),
            "source_time": sample.source_time,
            "writable": signal.writable,
            "description": getattr(signal.definition, "description", ""),
        }

    # -- writing -----------------------------------------------------------------------------------------------------

    async def _write(self, request: dict[str, Any], user: str) -> dict[str, Any]:
        tag, _, field = text(request, "signal").partition(".")
        device = self._device(tag)
        signal = self._signal(device, field)
        if not signal.writable:
            writable = [f for f, s in device.profile.signals.items() if s.writable]
            raise _Refused("refused", f"{signal.name} is read-only; writable of {tag}: {', '.join(writable) or 'none'}")
        value = parsed(signal, text(request, "value"))
        order = self._order(device, user, signal.name, wire_place(signal, device.profile.base))
        order |= {"new": value, "unit_symbol": signal.unit}
        await self._permitted(order, self._outputs.of_signal(signal))
        order["old"] = await self._old_of(device, signal)
        return await self._carried_out(order, request, lambda bus: bus.write(signal, value))

    async def _write_raw(self, request: dict[str, Any], user: str) -> dict[str, Any]:
        device = self._device(text(request, "device"))
        table, address = self._table(request), whole(request, "address")
        values = wholes(request, "values", MOST_COILS)
        pdu = write_pdu(table, address, values, device.profile.writing)
        span = place(table, address, len(values))
        order = self._order(device, user, "", str(span)) | {"new": values, "unit_symbol": ""}
        # What the profile does not list is refused before anything is asked of the device.
        allowed = allowed_bits(device.profile)
        refusals = [one for one in range(span.address, span.last + 1) if (table, one) not in allowed]
        if refusals:
            await self._refuse(order, _not_listed(device, table, refusals[0]))
        await self._permitted(order, self._outputs.of_device(device.tag))
        before = await self._ask(device.link, device.unit, span.ask)
        order["old"] = _raw_values(before, table, len(values))

        async def write(bus: Bus) -> WriteResult:
            result = await bus.write_raw(device.tag, pdu)
            if not result.ok:
                return result
            after = _raw_values(await self._ask(device.link, device.unit, span.ask), table, len(values))
            if after is None:
                return WriteResult(False, None, "written, but it could not be read back")
            same = after == values
            return WriteResult(same, None, "" if same else f"wrote {values}, read back {after}")

        return await self._carried_out(order, request, write)

    def _actions(self, device: _Device) -> dict[str, Any]:
        return {
            "ok": True,
            **self._where(device),
            "actions": {
                name: {"request": action.request, "reply": action.reply, "description": action.description}
                for name, action in device.profile.actions.items()
            },
        }

    async def _act(self, request: dict[str, Any], user: str) -> dict[str, Any]:
        device, name = self._device(text(request, "device")), text(request, "action")
        action = device.profile.actions.get(name)
        if action is None:
            known = ", ".join(device.profile.actions) or "none"
            raise _Refused("unknown-name", f"{device.tag} has no action '{name}'; its actions: {known}")
        order = self._order(device, user, "", f"action {name}: {action.request}")
        order |= {"new": name, "old": None, "unit_symbol": "", "description": action.description}
        await self._permitted(order, self._outputs.of_device(device.tag))
        return await self._carried_out(order, request, lambda bus: bus.act(device.tag, name))

    def _order(self, device: _Device, user: str, signal: str, register: str) -> dict[str, Any]:
        """What is written into the ledger of something done by hand, as far as it is known at first."""
        return {
            "name": "by-hand",
            "id": uuid.uuid4().hex,
            "user": user,
            "through": "controller" if self._commanded is not None else "tool",
            **self._where(device),
            "signal": signal,
            "register": register,
        }

    async def _permitted(self, order: dict[str, Any], moved: list[str]) -> None:
        """Refuses what would move a valve or pump beside the controller; where none runs, says so."""
        if not moved:
            return
        if self._commanded is None:
            order["warning"] = f"this can move {' and '.join(moved)}, and no controller runs that would guard it"
            return
        told = "; ".join(f"{tag}: {self._commanded(tag)}" for tag in moved)
        what = order["signal"] or f"{order['device']} {order['register']}"
        why = (
            f"{what} can move {' and '.join(moved)}, which the controller commands ({told}). There is no second way to "
            "move it: use 'penstock order', 'cancel' or 'setpoint', or stop the controller first"
        )
        await self._refuse(order, why)

    async def _refuse(self, order: dict[str, Any], why: str) -> None:
        """Refuses, for the record too."""
        if self._record is not None:
            await self._record(order["device"], {**order, "outcome": "refused", "detail": why})
        raise _Refused("refused", why)

    async def _carried_out(
        self, order: dict[str, Any], request: dict[str, Any], do: Callable[[Bus], Awaitable[WriteResult]]
    ) -> dict[str, Any]:
        """Does it, between a record that it is asked for and one of its outcome; only tells of it when ``dry``."""
        if request.get("dry") is True:
            return {"ok": True, "dry": True, **order}
        if self._record is None:
            raise _Refused("store", "there is no ledger to record it in, so nothing was sent")
        if not await self._record(order["device"], {**order, "outcome": "asked", "detail": ""}):
            raise _Refused("store", "the ledger cannot be written (is the disk full?), so nothing was sent")
        outcome: dict[str, Any] = {
            "outcome": "failed",
            "detail": "broken off; whether it was taken is not known",
            "readback": None,
        }
        try:
            result = await do(self._bus(order["link"]))
            outcome = {
                "outcome": "done" if result.ok else "failed",
                "detail": result.detail,
                "readback": result.readback,
            }
        finally:
            await asyncio.shield(self._record(order["device"], {**order, **outcome}))
        return {"ok": True, "dry": False, **order, **outcome}

    async def _old_of(self, device: _Device, signal: Signal) -> Value:
        [reading] = await self._readings(device, [signal.field])
        return reading.sample.value

    # -- what the site has -------------------------------------------------------------------------------------------

    def _device(self, tag: str) -> _Device:
        site = self._loaded.site
        if tag not in site.devices:
            raise _Refused("unknown-name", f"there is no device '{tag}'; this site has {', '.join(site.devices)}")
        settings, profile = site.devices[tag], self._loaded.profiles[tag]
        if not isinstance(profile, ModbusProfile):
            field = next(iter(profile.signals))
            raise _Refused(
                "refused",
                f"{tag} stands on an OPC UA server, and only Modbus devices are read and written by hand: "
                f"'penstock why {tag}' and 'penstock why {tag}.{field}' show what the controller reads, "
                f"'penstock opcua browse SITE {settings.link} --values' what the server has",
            )
        assert settings.unit is not None
        signals = self._loaded.signals.by_device[tag]
        reader = DeviceReader(signals, profile, ZoneInfo(site.site.timezone))
        return _Device(tag, settings.link, settings.unit, profile, reader)

    def _signal(self, device: _Device, field: str) -> Signal:
        name = f"{device.tag}.{field}"
        if field not in device.profile.signals:
            known = ", ".join(device.profile.signals)
            raise _Refused("unknown-name", f"there is no signal '{name}'; {device.tag} has {known}")
        return self._loaded.signals[name]

    def _bus(self, link: str) -> Bus:
        if link not in self._buses:
            known = ", ".join(self._buses) or "none"
            raise _Refused("unknown-name", f"there is no Modbus link '{link}'; there are: {known}")
        return self._buses[link]

    def _where(self, device: _Device) -> dict[str, Any]:
        link = self._loaded.site.links[device.link]
        return {"device": device.tag, "link": device.link, "at": link_address(link), "unit": device.unit}

    def _table(self, request: dict[str, Any]) -> Table:
        name = text(request, "table")
        try:
            return Table(name)
        except ValueError:
            raise BadRequest(f"'table' must be one of {', '.join(Table)}") from None


def parsed(signal: Signal, written: str) -> Value:
    """A value as a person writes it: ``30 min``, ``on``. Raises ``BadRequest`` that says what was expected."""
    if signal.kind == "bool":
        value = _WORDS_OF_BOOL.get(written.strip().lower())
        if value is None:
            raise BadRequest(f"{signal.name}: 'on' or 'off', not '{written}'")
        return value
    try:
        number = quantity(written, kind_of(signal.unit))
    except ValueError as error:
        raise BadRequest(f"{signal.name}: '{written}' is not {error}") from error
    limits = getattr(signal.definition, "range", None)
    declared = (number - signal.bias) / signal.factor
    if limits is not None and not limits[0] <= declared <= limits[1]:
        unit_symbol = getattr(signal.definition, "unit", "")
        raise BadRequest(f"{signal.name}: {limits[0]:g} to {limits[1]:g} {unit_symbol}, not '{written}'")
    return number


def link_address(link: Link) -> str:
    """Where a link leads, in a few words."""
    match link:
        case ModbusTcpLink():
            return f"{link.host}:{link.port}"
        case ModbusRtuLink():
            return f"{link.port} {link.baudrate} 8{link.parity}{link.stopbits}"
        case OpcUaLink():
            return link.url


def _not_listed(device: _Device, table: Table, address: int) -> str:
    writable = [
        f"{name} ({s.table} {s.address - device.profile.base})"
        for name, s in device.profile.signals.items()
        if s.writable
    ]
    allowed = [
        f"{span.table} {span.first - device.profile.base} to {span.last - device.profile.base}"
        for span in device.profile.writing.allow
    ]
    return (
        f"{table} {address} of {device.tag} is not in its profile's list of what may be written. Listed: "
        f"{', '.join([*writable, *allowed]) or 'nothing'}. Add it to the profile (writing.allow) if it must be written"
    )


def _raw_values(result: Result, table: Table, count: int) -> list[int] | None:
    if result.outcome is not Outcome.REPLY:
        return None
    data = result.pdu[2:]
    if table is Table.COIL:
        return [int(bit) for bit in read_bits(data, count)]
    return [int.from_bytes(data[2 * i : 2 * i + 2], "big") for i in range(count)]
