"""The signal table: every signal of a site in one fixed order.

A signal's place in the table is its index in the image; drivers, scan and recorder all speak of signals by it.
After the signals of the devices stand those that tell how links and devices do, then the measurements, which are
calculated from others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Final, Literal

from config import expression
from config.device import Device
from config.diagnostics import DEVICE_FIGURES, LINK_FIGURES, DiagnosticSignal
from config.encoding import BIT_TABLES, REGISTERS, Encoding
from config.measurement import Derived, Measurement, Voted
from config.modbus_signal import Kind, ModbusSignal
from config.profile import ModbusProfile, OpcUaSignal, Profile
from config.site import Site
from config.units import CANONICAL, canonical_unit, unit

Priority = Literal["high", "normal", "low"]


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of a site.

    ``name`` is ``<device>.<field>``; ``kind`` what its values are; ``unit`` the canonical unit of its samples ("" for
    anything but a number); ``factor``/``bias`` turn the declared unit into it; ``poll``, ``stale_after`` in seconds;
    ``deadband`` and ``rollover`` (where it begins anew) in ``unit``; ``definition`` is its entry in the profile, or
    in the site file for a measurement, whose ``link`` is "".
    """

    index: int
    name: str
    device: str
    field: str
    link: str
    kind: Kind
    unit: str
    factor: float
    bias: float
    poll: float
    stale_after: float
    critical: bool
    priority: Priority
    deadband: float
    rollover: float | None
    writable: bool
    definition: ModbusSignal | OpcUaSignal | DiagnosticSignal | Derived | Voted


@dataclass(frozen=True, slots=True)
class SignalTable:
    """All signals in order, and the way from a name to an index. ``field_count`` of them come from the field,
    then come diagnostics, and from ``measured_from`` on measurements.

    ``by_device``: the field signals of each device, in profile order.
    """

    signals: tuple[Signal, ...]
    index: dict[str, int]
    by_device: dict[str, list[Signal]]
    field_count: int
    measured_from: int

    def __getitem__(self, name: str) -> Signal:
        return self.signals[self.index[name]]

    def has_result_time(self, name: str) -> bool:
        """True when the readings of a signal carry the time of the result that they are."""
        definition = self[name].definition
        while isinstance(definition, Derived) and definition.filter <= 0:
            definition = self[definition.signal].definition
        return getattr(definition, "time_from", None) is not None

    @property
    def field(self) -> tuple[Signal, ...]:
        """The signals that are read from devices."""
        return self.signals[: self.field_count]

    @property
    def diagnostics(self) -> tuple[Signal, ...]:
        """The signals that tell how links and devices do."""
        return self.signals[self.field_count : self.measured_from]

    @property
    def measurements(self) -> tuple[Signal, ...]:
        """The signals that are calculated from others."""
        return self.signals[self.measured_from :]


MIN_STALE_S: Final = 2.0
"""A reading is never called stale sooner than this: three polls of a fast signal are less than one retry."""


def protecting_signals(site: Site) -> set[str]:
    """Names of the signals that guards and interlocks watch, and of those they are calculated from: always critical."""
    names: set[str] = set()
    guards = [guard for dispenser in site.dispensers.values() for guard in dispenser.guards.values()]
    waiting = [guard.signal for guard in guards if guard.signal is not None]
    waiting += [name for interlock in site.interlocks.values() for name in expression.signals(interlock.when)]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting += site.measurements[name].inputs if name in site.measurements else ()
    return names


def conditioning_needs(site: Site) -> dict[str, tuple[str, ...]]:
    """What each signal that is conditioned by more than its age needs to be known before it."""
    needs = {name: (*measurement.inputs, *measurement.marks) for name, measurement in site.measurements.items()}
    for tag, device in site.devices.items():
        needs |= {f"{tag}.{field}": settings.marks for field, settings in device.signals.items() if settings.judges}
    return needs


def signal_table(site: Site, profiles: Mapping[str, Profile]) -> SignalTable:
    """Builds the table. ``profiles`` maps each device of the site to its profile."""
    critical = protecting_signals(site)
    signals: list[Signal] = []
    by_device: dict[str, list[Signal]] = {}
    for tag, device in site.devices.items():
        first = len(signals)
        for field, definition in profiles[tag].signals.items():
            signals.append(_signal(len(signals), tag, field, device, definition, critical))
        by_device[tag] = signals[first:]
    field_count = len(signals)
    for link in site.links:
        for field, figure in LINK_FIGURES.items():
            signals.append(_diagnostic(len(signals), link, field, link, figure, site.record.diagnostics))
    for tag, device in site.devices.items():
        for field, figure in DEVICE_FIGURES.items():
            signals.append(_diagnostic(len(signals), tag, field, device.link, figure, site.record.diagnostics))
    measured_from = len(signals)
    known = {signal.name: signal for signal in signals}
    needs = {name: measurement.inputs for name, measurement in site.measurements.items()}
    places = {name: measured_from + place for place, name in enumerate(site.measurements)}
    for name in TopologicalSorter(needs).static_order():
        if name in places:
            measurement = site.measurements[name]
            known[name] = _measured(places[name], name, measurement, [known[one] for one in measurement.inputs])
    signals += [known[name] for name in site.measurements]
    index = {signal.name: signal.index for signal in signals}
    return SignalTable(tuple(signals), index, by_device, field_count, measured_from)


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
    poll = (settings.poll if settings else None) or definition.poll or device.poll
    stale_after = (settings.stale_after if settings else None) or max(3 * poll, MIN_STALE_S)
    measured = unit(definition.unit)
    number = definition.kind == "number"
    is_critical = name in critical or bool(settings and settings.critical)
    return Signal(
        index=index,
        name=name,
        device=tag,
        field=field,
        link=device.link,
        kind=definition.kind,
        unit=canonical_unit(definition.unit) if number else "",
        factor=measured.factor,
        bias=measured.offset,
        poll=poll,
        stale_after=stale_after,
        critical=is_critical,
        priority="high" if is_critical else (settings and settings.priority) or "normal",
        deadband=settings.deadband.value if settings and settings.deadband else 0.0,
        rollover=definition.rollover * measured.factor if definition.rollover is not None else None,
        writable=definition.writable,
        definition=definition,
    )


def _diagnostic(index: int, owner: str, field: str, link: str, figure: DiagnosticSignal, period: float) -> Signal:
    return Signal(
        index=index,
        name=f"{owner}.{field}",
        device=owner,
        field=field,
        link=link,
        kind=figure.kind,
        unit=canonical_unit(figure.unit) if figure.kind == "number" else "",
        factor=1.0,
        bias=0.0,
        poll=period,
        stale_after=max(3 * period, MIN_STALE_S),
        critical=False,
        priority="low",
        deadband=0.0,
        rollover=None,
        writable=False,
        definition=figure,
    )


def _measured(index: int, name: str, measurement: Measurement, inputs: list[Signal]) -> Signal:
    device, _, field = name.partition(".")
    first = inputs[0]
    scale = measurement.scale if isinstance(measurement, Derived) else None
    critical = any(signal.critical for signal in inputs)
    return Signal(
        index=index,
        name=name,
        device=device,
        field=field,
        link="",
        kind=first.kind,
        unit=CANONICAL[scale.to[0].kind] if scale is not None else first.unit,
        factor=1.0,
        bias=0.0,
        poll=max(signal.poll for signal in inputs),
        stale_after=max(signal.stale_after for signal in inputs),
        critical=critical,
        priority="high" if critical else "normal",
        deadband=measurement.deadband.value if measurement.deadband is not None else 0.0,
        rollover=None,
        writable=False,
        definition=measurement,
    )


def wire_place(signal: Signal, base: int) -> str:
    """Where a signal stands on the wire, in words: ``holding 2 float32 ABCD`` or ``node s=... of <uri>``."""
    definition = signal.definition
    if isinstance(definition, OpcUaSignal):
        return f"node {definition.node} of {definition.namespace}"
    if isinstance(definition, DiagnosticSignal):
        return f"counted by the driver: {definition.description}"
    if isinstance(definition, Voted):
        return f"{definition.vote} of {', '.join(definition.of)}"
    if isinstance(definition, Derived):
        return _scaling(definition)
    wide = definition.table not in BIT_TABLES and REGISTERS[definition.type] > 1
    order = f" {definition.order}" if wide and definition.type is not Encoding.STRING else ""
    bit = f" bit {definition.bit}" if definition.bit is not None else ""
    parts = "".join(
        f" + {part.address - base} {part.type}" + (f" x {part.scale:g}" if part.scale != 1 else "")
        for part in definition.parts
    )
    return f"{definition.table} {definition.address - base}{bit} {definition.type}{order}{parts}"


def _scaling(measurement: Derived) -> str:
    scale, parts = measurement.scale, [measurement.signal]
    if scale is not None:
        (low, high), (to_low, to_high) = scale.from_, scale.to
        root = "root of " if scale.root else ""
        parts.append(f"{root}{low.value:g} to {figure(high.value, CANONICAL[high.kind], 10)}")
        parts.append(f"scaled to {to_low.value:g} to {figure(to_high.value, CANONICAL[to_high.kind], 10)}")
    if measurement.filter > 0:
        parts.append(f"filtered over {measurement.filter:g} s")
    return ", ".join(parts)


def digits(signal: Signal) -> int:
    """How many digits of its values mean something: a float32 has seven, a total of whole numbers and decimals more.

    A measurement has those of a float32.
    """
    definition = signal.definition
    single = isinstance(definition, ModbusSignal) and definition.type is Encoding.FLOAT32 and not definition.parts
    return 7 if single or isinstance(definition, Derived | Voted) else 10


def figure(value: float, symbol: str, shown: int) -> str:
    """A number with its unit as a display has it: ``10260.123 m3``; ``shown`` digits of it."""
    return f"{value:.{shown}g} {symbol}" if symbol not in ("", "1") else f"{value:.{shown}g}"


def profile_base(profile: Profile) -> int:
    """The register base of a profile (0 for OPC UA)."""
    return profile.base if isinstance(profile, ModbusProfile) else 0
