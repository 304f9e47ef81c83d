"""The timeline of some names in a replay: what each was and why, at every moment at which that changed."""

from dataclasses import dataclass, field
from typing import Final

from config.errors import PenstockError
from control.cause import sentence
from control.program import DispenserUnit, Program
from control.why import why
from edge.blackbox.replay import Replayed

SHOWN_DIGITS: Final = 6
MAX_ROWS: Final = 5_000
"""More are not shown: a person looks for some seconds around a trip."""


@dataclass(frozen=True, slots=True)
class Row:
    """``at``: seconds from what the file was saved for; ``state`` in words; ``causes``, outermost first."""

    at: float
    utc: float
    name: str
    state: str
    causes: tuple[str, ...]


@dataclass(slots=True)
class Timeline:
    """``names``: outputs, dispensers or signals; with an output or dispenser come the signals that it rests on.

    ``first`` and ``last``: only from then to then, in seconds from what the file was saved for.
    """

    names: tuple[str, ...]
    first: float
    last: float
    rows: list[Row] = field(default_factory=list)
    more: int = 0
    _shown: tuple[str, ...] = ()
    _signals: dict[str, int] = field(default_factory=dict)
    _before: dict[str, object] = field(default_factory=dict)

    def see(self, replayed: Replayed) -> None:
        """Takes a scan. Raises ``PenstockError`` for a name that the site has not."""
        at = replayed.now.utc - replayed.zero_utc
        if not self.first <= at <= self.last:
            return
        if not self._shown:
            self._shown = with_inputs(replayed.program, self.names)
            self._signals = {name: place for place, name in enumerate(replayed.program.signal_names)}
        program, result = replayed.program, replayed.result
        for name in self._shown:
            answer = why(program, result.state, result.image, name, replayed.now, SHOWN_DIGITS)
            if answer is None:
                raise PenstockError(f"the recorded site has no '{name}'; name an output, a dispenser or a signal")
            # The words tell of ages too, which are others in every scan.
            place = self._signals.get(name)
            sample = result.image[place] if place is not None else None
            what = answer.state if sample is None else (sample.value, sample.reason)
            told = (what, [(cause.code, cause.subject) for cause in answer.causes])
            if self._before.get(name) == told:
                continue
            self._before[name] = told
            if len(self.rows) >= MAX_ROWS:
                self.more += 1
                continue
            causes = tuple(sentence(cause) for cause in answer.causes)
            self.rows.append(Row(at, replayed.now.utc, name, answer.state, causes))


def with_inputs(program: Program, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, and after them the signals on which the outputs and dispensers among them rest."""
    units = [unit for unit in program.dispensers if {unit.tag, *_outputs(program, unit)} & set(names)]
    signals = [program.signal_names[place] for unit in units for place in _inputs(program, unit)]
    return tuple(dict.fromkeys([*names, *signals]))


def _outputs(program: Program, unit: DispenserUnit) -> list[str]:
    valves = [program.valves[place].tag for place in (unit.valve, unit.slow_valve) if place is not None]
    return valves + ([program.pumps[unit.pump].tag] if unit.pump is not None else [])


def _inputs(program: Program, unit: DispenserUnit) -> list[int]:
    """The signals of a dispenser's guards, flow, valves, pump and level."""
    places: list[int | None] = [program.guards[guard].signal for guard in unit.guards]
    places.append(unit.dispenser.flow)
    for valve in (unit.valve, unit.slow_valve):
        if valve is not None:
            one = program.valves[valve]
            places += [one.opened, one.closed, one.position]
    if unit.pump is not None:
        places.append(program.pumps[unit.pump].running)
    if unit.level is not None:
        places.append(unit.level.signal)
    return [place for place in places if place is not None]
