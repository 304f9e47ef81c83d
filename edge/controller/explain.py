"""Where a reading comes from, what is wrong with it and what to do: what ``penstock why`` says beside the causes."""

from typing import Any, Final

from config.diagnostics import DiagnosticSignal
from config.link import Link
from config.load import LoadedSite
from config.measurement import Derived, Voted
from config.modbus_signal import ModbusSignal
from config.profile import OpcUaSignal
from config.sample import Reason, Sample
from config.signals import Signal, digits, figure, profile_base, wire_place
from control.cause import Cause, sentence
from drivers.modbus.unjudged import number_in
from drivers.port import LinkStatus
from edge.field import link_address

_REMEDIES: Final[dict[Reason, str]] = {
    Reason.NOT_YET_READ: "it has not been read since the start; if that stays, the bus is too full, or what says how it"
    " is to be read (unit, decimals) has no value",
    Reason.DEVICE_REFUSED: "the device has no such place: compare the profile with the maker's table",
    Reason.DEVICE_BUSY: "the device is busy; it is asked again",
    Reason.DEVICE_FAULT: "the device says so itself: look at its display and its alarms",
    Reason.OVER_RANGE: "more than the device can measure: its value is a limit, no measurement",
    Reason.UNDER_RANGE: "less than can be measured: its value is a limit, no measurement",
    Reason.JUMPED: "it moved faster than max_rate allows and is believed again once it could have got there at that"
    " rate: look whether the sensor was touched or is loose",
    Reason.FROZEN: "the sensor gives the same number again and again: look at it, its cable and its power",
    Reason.STALE: "nothing new has come within the time that the signal allows (stale_after)",
    Reason.FROZEN: "it has not moved for too long: is the sensor in the water, is the instrument still measuring?",
    Reason.MAINTENANCE: "the instrument is in maintenance: end it at the instrument",
    Reason.CALIBRATION: "the instrument is being calibrated",
    Reason.OUT_OF_SERVICE: "it is out of service: switch it on at the device",
    Reason.MANUAL: "somebody has put this value there by hand: take it back at the device",
    Reason.SERVER_UNCERTAIN: "the server itself does not vouch for it",
    Reason.UNIT_CHANGED: "somebody has set another unit: set it back at the device, then start the controller anew",
    Reason.WRITE_ONLY: "it can only be written",
}


def wire(loaded: LoadedSite, signal: Signal, sample: Sample) -> dict[str, Any]:
    """Where a signal comes from: link, unit, place, and the bytes (Modbus) or status (OPC UA) last seen there.

    Of a measurement: what it is calculated from, under ``inputs``.
    """
    if isinstance(signal.definition, Derived | Voted):
        return {
            "link": "",
            "address": "",
            "unit": None,
            "place": wire_place(signal, 0),
            "raw": "",
            "value": sample.value,
            "inputs": [*signal.definition.inputs, *signal.definition.marks],
        }
    link = loaded.site.links[signal.link]
    told: dict[str, Any] = {
        "link": signal.link,
        "address": link_address(link),
        "unit": None,
        "place": wire_place(signal, 0),
        "raw": "",
        "value": sample.value,
    }
    if isinstance(signal.definition, DiagnosticSignal):
        return told
    if isinstance(signal.definition, OpcUaSignal):
        return {**told, "status": status_text(sample.raw)}
    base = profile_base(loaded.profiles[signal.device])
    unit = loaded.site.devices[signal.device].unit
    return {**told, "unit": unit, "place": wire_place(signal, base), "raw": sample.raw.hex(" ")}


def status_text(raw: bytes) -> str:
    """The status that an OPC UA reading came with: ``80340000 (BadNodeIdUnknown)``; "" where none came."""
    from drivers.opcua.errors import status_name

    if not raw:
        return ""
    digits = raw.decode("ascii", "replace")
    try:
        return f"{digits} ({status_name(int(digits, 16)).split(' ')[0]})"
    except ValueError:
        return digits


def problem(
    loaded: LoadedSite,
    link: LinkStatus | None,
    signal: Signal,
    sample: Sample,
    since_utc: float | None,
    fault: Cause | None,
) -> dict[str, Any] | None:
    """What is wrong with a reading and what to do, ``None`` for a good one.

    ``link``: ``None`` for a measurement. ``fault``: why the site does not believe it. ``since_utc``: since when it is
    so; ``found``: what was read instead of a value; ``last_error``: what device or link said last.
    """
    if sample.good:
        return None
    told = {"reason": str(sample.reason), "since_utc": since_utc, "found": sentence(fault) if fault is not None else ""}
    if fault is not None or link is None:
        remedy = _REMEDIES.get(sample.reason, "") if fault is not None else "look at what it is calculated from"
        return {**told, "last_error": "", "remedy": remedy}
    return {
        **told,
        "found": _found(signal, sample),
        "last_error": _last_error(link, signal, sample),
        "remedy": _remedy(loaded.site.links[signal.link], link, signal, sample),
    }


def _found(signal: Signal, sample: Sample) -> str:
    definition = signal.definition
    if isinstance(definition, OpcUaSignal):
        return f"status {status_text(sample.raw)}" if sample.raw else ""
    if not isinstance(definition, ModbusSignal) or sample.reason is not Reason.OUT_OF_RANGE:
        return ""
    number = number_in(signal, sample.raw)
    if number is None:
        return ""
    if definition.enum or definition.switch:
        return f"it reads the code {number:.0f}, which the profile does not list"
    read = f"it reads {figure(number, definition.unit, digits(signal))}"
    if definition.range is None:
        return read
    low, high = definition.range
    return f"{read}, outside its range of {low:g} to {figure(high, definition.unit, 10)}"


def _last_error(link: LinkStatus, signal: Signal, sample: Sample) -> str:
    if isinstance(signal.definition, DiagnosticSignal):
        return ""
    if not link.connected:
        return link.last_error
    if sample.reason in (Reason.NO_COMMUNICATION, Reason.DEVICE_REFUSED, Reason.DEVICE_BUSY, Reason.NOT_YET_READ):
        return link.devices[signal.device].last_error
    return ""


def _remedy(link: Link, status: LinkStatus, signal: Signal, sample: Sample) -> str:
    match sample.reason:
        case Reason.NO_COMMUNICATION if not status.connected:
            return "the link is down: check its cable, port or address first"
        case Reason.NO_COMMUNICATION if link.type == "modbus-rtu":
            return "check power, wiring (A and B), unit, speed and parity; 'penstock scan-bus' shows who answers"
        case Reason.NO_COMMUNICATION if link.type == "modbus-tcp":
            return "check power, network and unit; behind a gateway its serial line"
        case Reason.NO_COMMUNICATION:
            return "the server does not reach its own source: look there"
        case Reason.DEVICE_REFUSED if link.type == "opcua":
            return "the node is misspelt, not open to this user, or gone: 'penstock opcua browse' shows those there are"
        case Reason.OUT_OF_RANGE | Reason.NOT_A_NUMBER if link.type == "opcua":
            return "compare type, unit and range of the profile with the server"
        case Reason.OUT_OF_RANGE:
            return (
                f"compare with the display: 'penstock decode {signal.device} ... --expect'; then mend type, order, "
                "scale or range in the profile"
            )
        case Reason.NOT_A_NUMBER:
            return (
                "the device says that it has no value, or type and order in the profile are wrong: 'penstock decode "
                f"{signal.device} ... --expect'"
            )
        case _:
            return _REMEDIES.get(sample.reason, "")
