"""Compliance (达标判定): are the means of the hour and of the day within the standard?

It looks on and never stops anything: that is the guards' affair (保护停水). Of each parameter that a dispenser's use
limits and that is measured it takes the mean over an hour (where the analyzer is slower, over its interval), and from
those, weighted by the water that flowed, the mean of the local day. Only readings measured now count (HJ 212 flag N);
what is marked, substituted, out of range or missing does not, and a mean with too little behind it is none. A result
counts into the hour of its own time; one that comes later than the hour is kept open for is counted nowhere. A restart
keeps what was summed up; the time in between is missing. Source: shared water notes 2.2, 2.3.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from math import ceil
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.sample import Reason, Sample
from control.event import Event, Kind
from control.guard import GuardState
from control.instant import Instant
from control.limit import outside

TICK_S: Final = 10.0
"""How often readings are taken: six a minute are more than the one in ten minutes that must be sent."""
GAP_S: Final = 30.0
"""Between two looks further apart than this nothing is known of the flow."""
AHEAD_S: Final = 300.0
"""A result dated further ahead of the clock counts nowhere."""
BACK_S: Final = 7200.0
"""A clock that is set back by less goes on in the hour in hand; by more, the sums begin anew."""
HOUR_S: Final = 3600
READINGS_AN_HOUR: Final = HOUR_S / TICK_S


class Met(StrEnum):
    """The verdict on a mean."""

    MET = "met"
    NOT_MET = "not-met"
    NOT_ENOUGH = "not-enough-data"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Settings of one parameter of one dispenser. Limits in ``unit``; ``single``: of a single result.

    ``hours``: how long a mean of the smaller kind takes, a divisor of 24; ``late``: how many of these a result may come
    after its own. ``guard``: the place of the guard that tells its results apart, where its signal cannot.
    """

    name: str
    parameter: str
    unit: str
    signal: int
    flow: int
    batch: bool
    guard: int | None
    hours: int
    late: int
    low: float | None
    high: float | None
    single: float | None
    clause: str
    status: str
    averaging: str


@dataclass(frozen=True, slots=True)
class Sum:
    """One hour (or longer slot) while it is open: ``number`` counts slots of local time. ``valid`` readings or results
    with their ``total``; ``over_range`` ones; results beyond ``single``; their ``times``; how often the flow was
    ``looked`` at and known, and the volume that flowed.
    """

    number: int
    valid: int = 0
    total: float = 0.0
    over_range: int = 0
    beyond_single: int = 0
    times: tuple[float, ...] = ()
    looked: int = 0
    volume_m3: float = 0.0


@dataclass(frozen=True, slots=True)
class Mean:
    """A slot that is closed: its mean, ``None`` where too little was valid; ``dry``: known to have had no flow."""

    number: int
    mean: float | None
    valid: int
    over_range: int
    beyond_single: int
    volume_m3: float
    dry: bool


@dataclass(frozen=True, slots=True)
class Running:
    """What is summed up of one parameter: open slots and closed means of days in hand, oldest first; what came last."""

    open: tuple[Sum, ...] = ()
    means: tuple[Mean, ...] = ()
    last_hour: tuple[tuple[str, Any], ...] = ()
    last_day: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ComplianceState:
    """``looked_at``: the last look (monotonic s)."""

    looked_at: float | None = None
    running: tuple[Running, ...] = ()


@dataclass(frozen=True, slots=True)
class Compliance:
    """Settings: what is evaluated, the local time, and the shares that must be valid (``config/compliance.yaml``)."""

    evaluated: tuple[Evaluated, ...]
    zone: ZoneInfo
    hour_share: float
    day_share: float
    rule_status: str

    def initial(self) -> ComplianceState:
        """Nothing summed up."""
        return ComplianceState(None, tuple(Running() for _ in self.evaluated))

    def step(
        self, state: ComplianceState, image: tuple[Sample, ...], guards: tuple[GuardState, ...], now: Instant
    ) -> tuple[ComplianceState, list[Event]]:
        """Looks each ``TICK_S``; between looks the same state. Events: each hour and each day that is over."""
        if not self.evaluated or (state.looked_at is not None and now.mono - state.looked_at < TICK_S):
            return state, []
        passed_s = min(now.mono - state.looked_at, GAP_S) if state.looked_at is not None else 0.0
        offset = local_offset_s(self.zone, now.utc)
        running: list[Running] = []
        events: list[Event] = []
        for one, before in zip(self.evaluated, state.running, strict=True):
            slot = _slot(one, now.utc, offset)
            newest = before.open[-1].number if before.open else slot
            sums = before
            if (newest - slot) * one.hours * HOUR_S >= BACK_S + one.hours * HOUR_S:
                # A clock that was set far back: what is summed up is ended as it is, and not gone on with.
                sums = self._closed(one, before, None, offset, events)
            else:
                slot = max(slot, newest)
            sums = self._closed(one, sums, slot - one.late, offset, events)
            running.append(self._looked(one, sums, slot, passed_s, image, guards, now, offset))
        return ComplianceState(now.mono, tuple(running)), events

    def _looked(
        self,
        one: Evaluated,
        sums: Running,
        slot: int,
        passed_s: float,
        image: tuple[Sample, ...],
        guards: tuple[GuardState, ...],
        now: Instant,
        offset: float,
    ) -> Running:
        flow_m3h = image[one.flow].number
        current = sums.open[-1] if sums.open and sums.open[-1].number == slot else Sum(slot)
        if flow_m3h is not None:
            passed_m3 = max(flow_m3h, 0.0) * passed_s / HOUR_S
            current = replace(current, looked=current.looked + 1, volume_m3=current.volume_m3 + passed_m3)
        kept = (*(old for old in sums.open if old.number != slot), current)
        sample = image[one.signal]
        if not one.batch:
            kept = (*kept[:-1], _counted(one, current, sample.number, sample.reason is Reason.OVER_RANGE))
            return replace(sums, open=kept)
        time, value, over = _result(one, sample, guards)
        if time is None or time - now.utc > AHEAD_S:
            return replace(sums, open=kept)
        own = _slot(one, time, offset)
        if own > slot or own < slot - one.late or any(mean.number == own for mean in sums.means):
            return replace(sums, open=kept)
        found = next((old for old in kept if old.number == own), Sum(own))
        if time in found.times:
            return replace(sums, open=kept)
        found = _counted(one, replace(found, times=(*found.times, time)), value, over)
        return replace(sums, open=tuple(sorted((*(s for s in kept if s.number != own), found), key=_number)))

    def _closed(self, one: Evaluated, sums: Running, before: int | None, offset: float, events: list[Event]) -> Running:
        """Closes slots, and days, that lie before a slot; all of them where there is none."""
        over = tuple(old for old in sums.open if before is None or old.number < before)
        for old in over:
            mean = self._mean(one, old)
            body = self._hour(one, mean, offset)
            events.append(Event(Kind.EVENT, "compliance-hour", one.name, body))
            sums = replace(sums, means=(*sums.means, mean), last_hour=tuple(body.items()))
        if over:
            sums = replace(sums, open=sums.open[len(over) :])
        slots = 24 // one.hours
        while sums.means and (before is None or sums.means[0].number // slots < before // slots):
            day = sums.means[0].number // slots
            body = self._day(one, tuple(mean for mean in sums.means if mean.number // slots == day), day, offset)
            events.append(Event(Kind.EVENT, "compliance-day", one.name, body))
            rest = tuple(mean for mean in sums.means if mean.number // slots != day)
            sums = replace(sums, means=rest, last_day=tuple(body.items()))
        return sums

    def _mean(self, one: Evaluated, old: Sum) -> Mean:
        looks = self.hour_share * READINGS_AN_HOUR * one.hours
        enough = old.valid >= looks if not one.batch else old.valid >= 1 and old.over_range == 0
        mean = old.total / old.valid if enough else None
        dry = old.looked >= looks and old.volume_m3 <= 0
        return Mean(old.number, mean, old.valid, old.over_range, old.beyond_single, old.volume_m3, dry)

    def _hour(self, one: Evaluated, mean: Mean, offset: float) -> dict[str, Any]:
        begins = mean.number * one.hours * HOUR_S - offset
        needed = 1 if one.batch else ceil(self.hour_share * READINGS_AN_HOUR * one.hours)
        of = 1 if one.batch else round(READINGS_AN_HOUR * one.hours)
        verdict = _verdict(one, mean.mean, mean.beyond_single)
        body = self._body(one, mean.mean, verdict, begins, begins + one.hours * HOUR_S, mean.volume_m3)
        return {**body, "valid": mean.valid, "needed": needed, "of": of, "over_range": mean.over_range}

    def _day(self, one: Evaluated, means: tuple[Mean, ...], day: int, offset: float) -> dict[str, Any]:
        """The mean of a day over the slots in which water flowed, each weighted by how much.

        Every slot of the day counts as needed, but those in which it is known that none flowed.
        """
        flowed = [mean for mean in means if mean.volume_m3 > 0]
        valid = [(mean.mean, mean.volume_m3) for mean in flowed if mean.mean is not None]
        wanted = 24 // one.hours - sum(1 for mean in means if mean.dry)
        needed = max(ceil(self.day_share * wanted - 1e-3), 1)
        volume = sum(m3 for _, m3 in valid)
        value = sum(mean * m3 for mean, m3 in valid) / volume if len(valid) >= needed else None
        beyond = sum(mean.beyond_single for mean in means)
        begins = day * 24 * HOUR_S - offset
        total_m3 = sum(mean.volume_m3 for mean in flowed)
        body = self._body(one, value, _verdict(one, value, beyond), begins, begins + 24 * HOUR_S, total_m3)
        over_range = sum(mean.over_range for mean in means)
        return {**body, "valid": len(valid), "needed": needed, "of": wanted, "over_range": over_range}

    def _body(
        self, one: Evaluated, mean: float | None, verdict: Met, begins: float, ends: float, volume_m3: float
    ) -> dict[str, Any]:
        return {
            "parameter": one.parameter,
            "unit": one.unit,
            "mean": round(mean, 6) if mean is not None else None,
            "verdict": str(verdict),
            "low": one.low,
            "high": one.high,
            "single": one.single,
            "clause": one.clause,
            "averaging": one.averaging,
            "limit_status": one.status,
            "rule_status": self.rule_status,
            "begins_utc": begins,
            "ends_utc": ends,
            "volume_m3": round(volume_m3, 3),
        }


def local_offset_s(zone: ZoneInfo, utc: float) -> float:
    """How far local time is ahead of UTC then, in seconds."""
    offset = datetime.fromtimestamp(utc, UTC).astimezone(zone).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0


def _slot(one: Evaluated, utc: float, offset: float) -> int:
    return int((utc + offset) // (HOUR_S * one.hours))


def _number(one: Sum) -> int:
    return one.number


def _result(one: Evaluated, sample: Sample, guards: tuple[GuardState, ...]) -> tuple[float | None, float | None, bool]:
    """Time and value of the newest result of an analyzer, and whether it is over range; no time: there is none."""
    if one.guard is not None:
        state = guards[one.guard]
        return state.result_time, state.result_value, state.result_value is None
    over = sample.reason is Reason.OVER_RANGE
    return (sample.source_time if sample.number is not None or over else None), sample.number, over


def _counted(one: Evaluated, sums: Sum, value: float | None, over_range: bool) -> Sum:
    if over_range:
        return replace(sums, over_range=sums.over_range + 1)
    if value is None:
        return sums
    beyond = sums.beyond_single + (1 if one.single is not None and value > one.single else 0)
    return replace(sums, valid=sums.valid + 1, total=sums.total + value, beyond_single=beyond)


def _verdict(one: Evaluated, mean: float | None, beyond_single: int) -> Met:
    if beyond_single > 0:
        return Met.NOT_MET
    if mean is None:
        return Met.NOT_ENOUGH
    return Met.NOT_MET if outside(mean, one.low, one.high) else Met.MET


def to_saved(compliance: Compliance, state: ComplianceState) -> dict[str, Any]:
    """The sums, by name, as JSON."""
    return {
        one.name: {
            "open": [
                [s.number, s.valid, s.total, s.over_range, s.beyond_single, list(s.times), s.looked, s.volume_m3]
                for s in r.open
            ],
            "means": [[m.number, m.mean, m.valid, m.over_range, m.beyond_single, m.volume_m3, m.dry] for m in r.means],
            "last_hour": dict(r.last_hour),
            "last_day": dict(r.last_day),
        }
        for one, r in zip(compliance.evaluated, state.running, strict=True)
    }


def from_saved(compliance: Compliance, saved: dict[str, Any]) -> ComplianceState:
    """The sums after a restart: what is no longer evaluated is dropped. Raises ``KeyError``, ``TypeError``."""
    return ComplianceState(
        None,
        tuple(_running(saved[one.name]) if one.name in saved else Running() for one in compliance.evaluated),
    )


def _running(saved: dict[str, Any]) -> Running:
    return Running(
        tuple(Sum(n, v, t, o, b, tuple(times), looked, m3) for n, v, t, o, b, times, looked, m3 in saved["open"]),
        tuple(Mean(*mean) for mean in saved["means"]),
        tuple(saved["last_hour"].items()),
        tuple(saved["last_day"].items()),
    )
