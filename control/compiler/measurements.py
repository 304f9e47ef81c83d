"""Conditioned signals: those that the site judges, and measurements, each after what it is calculated from."""

from graphlib import TopologicalSorter

from config.conditioning import Conditioning
from config.load import LoadedSite
from config.measurement import AwayFrom, Derived, Voted
from config.measurement import Scale as ScaleSettings
from config.sample import Reason
from config.signals import Signal, SignalTable, conditioning_needs
from control.judgement import Judgement
from control.measurement import Conditioned
from control.scaling import Scale
from control.voting import Trip, Vote


def compile_conditioned(loaded: LoadedSite) -> tuple[Conditioned, ...]:
    """The blocks of phase 1 in the order in which they are stepped."""
    site, table = loaded.site, loaded.signals
    needs = conditioning_needs(site)
    blocks: list[Conditioned] = []
    for name in TopologicalSorter(needs).static_order():
        if name not in needs:
            continue
        settings = site.measurements.get(name) or site.devices[table[name].device].signals[table[name].field]
        blocks.append(_conditioned(table, table[name], settings))
    return tuple(blocks)


def _conditioned(table: SignalTable, signal: Signal, settings: Conditioning) -> Conditioned:
    names = settings.inputs if isinstance(settings, Derived | Voted) else (signal.name,)
    scale = settings.scale if isinstance(settings, Derived) else None
    return Conditioned(
        index=signal.index,
        name=signal.name,
        unit=signal.unit,
        inputs=tuple(table.index[one] for one in (*names, *settings.marks)),
        sources=len(names),
        input_names=names,
        input_unit=table[names[0]].unit,
        scale=_scale(scale) if scale is not None else None,
        vote=_vote(signal, settings) if isinstance(settings, Voted) else None,
        judgement=_judgement(table, signal, settings) if settings.judges else None,
        filter=settings.filter if isinstance(settings, Derived | Voted) else 0.0,
    )


def _scale(settings: ScaleSettings) -> Scale:
    (from_low, from_high), (to_low, to_high) = settings.from_, settings.to
    ends = (from_low.value, from_high.value, to_low.value, to_high.value)
    return Scale(*ends, settings.root, settings.cutoff / 100, settings.namur)


def _vote(signal: Signal, settings: Voted) -> Vote:
    trip: Trip = settings.trip.away_from.value if isinstance(settings.trip, AwayFrom) else settings.trip
    return Vote(
        name=signal.name,
        names=settings.of,
        unit=signal.unit,
        needed=settings.needed,
        trip=trip,
        disagreement=settings.disagreement.value if settings.disagreement is not None else None,
        disagreement_time=settings.disagreement_time,
        leave_out=settings.on_bad == "leave-out",
    )


def _judgement(table: SignalTable, signal: Signal, settings: Conditioning) -> Judgement:
    low, high = (end.value for end in settings.range) if settings.range is not None else (None, None)
    marks = ((settings.maintenance, Reason.MAINTENANCE), (settings.calibration, Reason.CALIBRATION))
    return Judgement(
        name=signal.name,
        unit=signal.unit,
        low=low,
        high=high,
        max_rate=settings.max_rate.value if settings.max_rate is not None else None,
        frozen_after=settings.frozen_after,
        zero_is_no_value=settings.zero_is_no_value,
        marks=tuple((table.index[mark], reason) for mark, reason in marks if mark is not None),
    )
