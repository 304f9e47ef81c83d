"""The signal table: every signal of a site in one fixed order.

A signal's place in the table is its index in the image; drivers, scan and recorder all speak of signals by it.
"""

from dataclasses import dataclass

from config.profile import Encoding, ModbusProfile, ModbusSignal, OpcUaSignal, Profile
from config.site import Device, Site
from config.units import canonical_unit, unit


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of a site.

    ``name`` is ``<device>.<field>``; ``unit`` the canonical unit of its samples ("" for bool, text and times);
    ``factor``/``bias`` turn the declared unit into it; ``poll``, ``stale_after`` in seconds; ``deadband`` in
    ``unit``; ``definition`` is its entry in the profile.
    """

    index: int
    name: str
    device: str
    field: str
    link: str
    unit: str
    factor: float
    bias: float
    poll: float
    stale_after: float
    critical: bool
    deadband: float
    writable: bool
    definition: ModbusSignal | OpcUaSignal


@dataclass(frozen=True, slots=True)
class SignalTable:
    """All signals in order, and the way from a name to an index."""

    signals: tuple[Signal, ...]
    index: dict[str, int]

    def __getitem__(self, name: str) -> Signal:
        return self.signals[self.index[name]]

    def __len__(self) -> int:
        return len(self.signals)

    def of_device(self, device: str) -> list[Signal]:
        """The signals of one device, in profile order."""
        return [signal for signal in self.signals if signal.device == device]


MIN_STALE_S = 2.0
"""A reading is never called stale sooner than this: three polls of a fast signal are less than one retry."""


def guard_signals(site: Site) -> set[str]:
    """Names of the signals that a guard watches: always critical."""
    return {guard.signal for dispenser in site.dispensers.values() for guard in dispenser.guards.values()}


def signal_table(site: Site, profiles: dict[str, Profile]) -> SignalTable:
    """Builds the table. ``profiles`` maps each device of the site to its profile."""
    critical = guard_signals(site)
    signals: list[Signal] = []
    for tag, device in site.devices.items():
        for field, definition in profiles[tag].signals.items():
            signals.append(_signal(len(signals), tag, field, device, definition, critical))
    return SignalTable(tuple(signals), {signal.name: signal.index for signal in signals})


def _signal(
    index: int,
    tag: str,
    field: str,
    device: Device,
    definition: ModbusSignal | OpcUaSignal,
    critical: set[str],
) -> Signal:
    name = f"{tag}.{field}"
    settings = device.signals.get(field)
    poll = (settings.poll if settings else None) or device.poll
    stale_after = (settings.stale_after if settings else None) or max(3 * poll, MIN_STALE_S)
    measured = unit(definition.unit)
    return Signal(
        index=index,
        name=name,
        device=tag,
        field=field,
        link=device.link,
        unit=canonical_unit(definition.unit) if _is_number(definition) else "",
        factor=measured.factor,
        bias=measured.offset,
        poll=poll,
        stale_after=stale_after,
        critical=name in critical or bool(settings and settings.critical),
        deadband=settings.deadband.value if settings and settings.deadband else 0.0,
        writable=definition.writable,
        definition=definition,
    )


def _is_number(definition: ModbusSignal | OpcUaSignal) -> bool:
    return definition.type not in (Encoding.BOOL, Encoding.BCD_TIME, "bool", "text")


def wire_place(signal: Signal, base: int) -> str:
    """Where a signal stands on the wire, in words: ``holding 2 float32 ABCD`` or ``node s=... of <uri>``."""
    definition = signal.definition
    if isinstance(definition, OpcUaSignal):
        return f"node {definition.node} of {definition.namespace}"
    order = f" {definition.order}" if definition.type not in (Encoding.BOOL, Encoding.UINT16, Encoding.INT16) else ""
    bit = f" bit {definition.bit}" if definition.bit is not None else ""
    return f"{definition.table} {definition.address - base}{bit} {definition.type}{order}"


def profile_base(profile: Profile) -> int:
    """The register base of a profile (0 for OPC UA)."""
    return profile.base if isinstance(profile, ModbusProfile) else 0
