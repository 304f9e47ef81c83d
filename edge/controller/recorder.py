"""Decides what of the image is worth a record, and hands it to the store: report by exception.

A reading is recorded when its quality or reason changes, when its value has moved by the deadband or more since
the last record, and at least each ``max_interval``. Records of one device are gathered for ``interval`` into one
row, which is one message for the platform; each value keeps its own time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from config.diagnostics import DEVICE_FIGURES
from config.load import LoadedSite
from config.sample import Quality, Sample, Value
from config.signals import Signal
from control.facts import PERMIT_FACTS, fact_units, facts, permit_facts
from control.instant import Instant
from control.program import Program
from control.state import ScanState
from drivers.port import LinkDriver
from edge import sparkplug
from edge.controller.timing import Timing
from edge.store.writer import StoreWriter

NODE_INTERVAL_S: Final = 10.0
"""How often the controller reports its own figures."""
SWEEP_S: Final = 5.0
"""How often values that have not changed are looked through for ``max_interval``."""
NODE_METRICS: Final = (
    ("Scan/Lateness p99", "ms"),
    ("Scan/Duration p99", "ms"),
    ("Scan/Missed periods", "1"),
    ("Store/Waiting", "1"),
    ("Store/Dropped", "1"),
)


@dataclass(slots=True)
class _Batch:
    """What waits to become one row: the metrics of one Sparkplug device."""

    device: str
    metrics: list[sparkplug.MetricValue] = field(default_factory=list)


def metric_definitions(loaded: LoadedSite, program: Program) -> list[sparkplug.Metric]:
    """Every metric of a site, by Sparkplug device: field devices, dispensers, and the node itself."""
    metrics = [
        sparkplug.Metric(*metric_name(signal), _datatype(signal), signal.unit) for signal in loaded.signals.signals
    ]
    for unit in program.dispensers:
        metrics += [sparkplug.Metric(unit.tag, name, *_fact_type(kind)) for name, kind in fact_units(unit.dispenser)]
    for permit in program.permits:
        metrics += [sparkplug.Metric(permit.name, name, *_fact_type(kind)) for name, kind in PERMIT_FACTS]
    metrics += [sparkplug.Metric("", name, sparkplug.DataType.DOUBLE, symbol) for name, symbol in NODE_METRICS]
    return metrics


def metric_name(signal: Signal) -> tuple[str, str]:
    """The Sparkplug device and metric as which a signal is reported.

    How a device does is reported by its link: to the platform a device that does not answer is dead, and reports
    nothing.
    """
    if signal.field in DEVICE_FIGURES:
        return signal.link, f"{signal.device}/{signal.field}"
    return signal.device, signal.field


def _datatype(signal: Signal) -> sparkplug.DataType:
    if signal.kind == "bool":
        return sparkplug.DataType.BOOLEAN
    return sparkplug.DataType.STRING if signal.kind == "text" else sparkplug.DataType.DOUBLE


def _fact_type(kind: str) -> tuple[sparkplug.DataType, str]:
    if kind == "bool":
        return sparkplug.DataType.BOOLEAN, ""
    return (sparkplug.DataType.STRING, "") if kind == "text" else (sparkplug.DataType.DOUBLE, kind)


class Recorder:
    """Turns readings, facts and figures into rows for the store."""

    def __init__(
        self,
        loaded: LoadedSite,
        program: Program,
        aliases: dict[tuple[str, str], int],
        store: StoreWriter,
        drivers: Sequence[LinkDriver],
    ) -> None:
        self._program = program
        self._store = store
        self._drivers = drivers
        self._interval = loaded.site.record.interval
        self._max_interval = loaded.site.record.max_interval
        self._signals = loaded.signals.signals
        self._metrics = [metric_name(signal) for signal in self._signals]
        self._aliases = [aliases[metric] for metric in self._metrics]
        self._datatypes = [_datatype(signal) for signal in self._signals]
        # The same result again at another time is a new result; a time that only says "still so" is no news.
        self._timed = [getattr(signal.definition, "time_from", None) is not None for signal in self._signals]
        self._recorded: list[Sample | None] = [None] * len(self._signals)
        self._batches: dict[str, _Batch] = {}
        self._next_flush = 0.0
        self._next_sweep = 0.0
        self._next_node = 0.0
        self._online: dict[str, bool] = {}
        self._facts: list[tuple[Value, ...]] = [() for _ in program.dispensers]
        self._fact_aliases = [
            [(aliases[unit.tag, name], _fact_type(kind)[0]) for name, kind in fact_units(unit.dispenser)]
            for unit in program.dispensers
        ]
        self._permits: list[tuple[Value, ...]] = [() for _ in program.permits]
        self._permit_aliases = [
            [(aliases[permit.name, name], _fact_type(kind)[0]) for name, kind in PERMIT_FACTS]
            for permit in program.permits
        ]
        self._node_aliases = [aliases["", name] for name, _ in NODE_METRICS]

    def note(self, index: int, sample: Sample, now: Instant) -> None:
        """Looks at one reading and keeps it when it is news."""
        last = self._recorded[index]
        if last is not None and not self._is_news(index, last, sample):
            return
        self._keep(index, sample, now)

    def cycle(self, state: ScanState, image: tuple[Sample, ...], timing: Timing, now: Instant) -> None:
        """Called after each scan: hands over what is due."""
        if now.mono < self._next_flush:
            return
        self._next_flush = now.mono + self._interval
        self._note_facts(state, now)
        if now.mono >= self._next_sweep:
            self._next_sweep = now.mono + SWEEP_S
            self._sweep(image, now)
        if now.mono >= self._next_node:
            self._next_node = now.mono + NODE_INTERVAL_S
            self._note_node(timing, now)
        self._note_online(now)
        self.flush(now)

    def flush(self, now: Instant) -> None:
        """Hands every gathered batch to the store."""
        for batch in self._batches.values():
            self._store.put_data(batch.device, sparkplug.encode_metrics(batch.metrics), _ms(now.utc))
        self._batches.clear()

    def _is_news(self, index: int, last: Sample, sample: Sample) -> bool:
        if sample.quality is not last.quality or sample.reason is not last.reason:
            return True
        if sample.value == last.value:
            return self._timed[index] and sample.source_time != last.source_time
        if isinstance(sample.value, float) and isinstance(last.value, float):
            return abs(sample.value - last.value) >= self._signals[index].deadband
        return True

    def _keep(self, index: int, sample: Sample, now: Instant) -> None:
        self._recorded[index] = sample
        measured_utc = now.utc - max(now.mono - sample.received, 0.0) if sample.received > 0 else now.utc
        utc = sample.source_time if sample.source_time is not None else measured_utc
        self._add(
            self._metrics[index][0],
            sparkplug.MetricValue(
                self._aliases[index],
                self._datatypes[index],
                sample.value,
                _ms(utc),
                _sparkplug_quality(sample),
            ),
        )

    def _add(self, device: str, metric: sparkplug.MetricValue) -> None:
        batch = self._batches.get(device)
        if batch is None:
            batch = self._batches[device] = _Batch(device)
        batch.metrics.append(metric)

    def _sweep(self, image: tuple[Sample, ...], now: Instant) -> None:
        for index, sample in enumerate(image):
            last = self._recorded[index]
            if last is not None and last.value is not None and sample.received - last.received >= self._max_interval:
                self._keep(index, sample, now)

    def _note_facts(self, state: ScanState, now: Instant) -> None:
        for i, unit in enumerate(self._program.dispensers):
            self._note_changed(unit.tag, facts(state, i), self._facts, i, self._fact_aliases[i], now)
        for i, permit in enumerate(self._program.permits):
            if state.permits[i].fit is not None:
                present = permit_facts(permit, state.permits[i])
                self._note_changed(permit.name, present, self._permits, i, self._permit_aliases[i], now)

    def _note_changed(
        self,
        device: str,
        present: tuple[Value, ...],
        known: list[tuple[Value, ...]],
        place: int,
        aliases: list[tuple[int, sparkplug.DataType]],
        now: Instant,
    ) -> None:
        before = known[place]
        if present == before:
            return
        known[place] = present
        for n, (alias, datatype) in enumerate(aliases):
            if not before or before[n] != present[n]:
                self._add(device, sparkplug.MetricValue(alias, datatype, present[n], _ms(now.utc), 192))

    def _note_node(self, timing: Timing, now: Instant) -> None:
        scan, store = timing.figures(), self._store.status()
        values = (
            float(scan["lateness_p99_ms"]),
            float(scan["duration_p99_ms"]),
            float(scan["missed_periods"]),
            float(store.waiting),
            float(store.dropped),
        )
        for alias, value in zip(self._node_aliases, values, strict=True):
            self._add("", sparkplug.MetricValue(alias, sparkplug.DataType.DOUBLE, value, _ms(now.utc), 192))

    def _note_online(self, now: Instant) -> None:
        for driver in self._drivers:
            for tag, device in driver.status().devices.items():
                if self._online.get(tag) is not device.online:
                    self._online[tag] = device.online
                    self.flush(now)
                    self._store.put_online(tag, device.online, _ms(now.utc))


def _ms(utc: float) -> int:
    return int(utc * 1000)


def _sparkplug_quality(sample: Sample) -> int:
    """Sparkplug's Quality property: 192 good, 500 stale, 0 bad."""
    if sample.quality is Quality.GOOD:
        return 192
    return 500 if sample.quality is Quality.UNCERTAIN else 0
