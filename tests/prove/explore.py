"""The checker: every state that a station can reach, breadth first, with every invariant judged at every step.

Time goes in ticks as long as the shortest delay. In each tick every combination of the inputs may happen: what the
sensors show, whether they answer, what people ask; and between any two the controller may be killed and started
again. Breadth first, so that the first counterexample is a shortest one.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from config.sample import Sample
from control.command import Command
from control.instant import Instant
from control.invariants import broken, broken_by_restart
from control.program import Program
from control.saved import restored, to_saved
from control.scan import scan
from control.state import ScanState, initial_state
from control.witness import Step, Witness, first_witness, looked_on, restarted
from tests.prove.abstraction import Scale, key

START_UTC: Final = 1_790_000_000.0
START_MONO: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Input:
    """What happens in one tick, in words, and what the controller is given.

    ``clock``: how far the controller's clock is set off the true time, in s; ``None``: it goes on as it is.
    """

    text: str
    image: Callable[[ScanState, Instant], tuple[Sample, ...]]
    command: Callable[[ScanState], Command | None]
    clock: float | None = None


@dataclass(frozen=True, slots=True)
class Station:
    """A program with its inputs; ``clocks``: as what the clock may be found after a restart."""

    program: Program
    inputs: tuple[Input, ...]
    tick: float
    scale: Scale
    clocks: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A reached state, how it was reached, and what the onlooker remembers."""

    state: ScanState
    witness: Witness
    now: Instant
    by: str
    parent: "Node | None"

    @property
    def story(self) -> tuple[str, ...]:
        """What happened, from the start."""
        steps: list[str] = []
        node: Node | None = self
        while node is not None:
            steps.append(node.by)
            node = node.parent
        return tuple(steps[::-1])


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A shortest story that breaks an invariant."""

    invariant: str
    text: str
    story: tuple[str, ...]

    def __str__(self) -> str:
        told = "\n".join(f"  {i:2} {step}" for i, step in enumerate(self.story))
        return f"{self.invariant}: {self.text}\n{told}"


@dataclass(frozen=True, slots=True)
class Report:
    """How far a walk came: ``closed`` when no state is left to look at; ``broken``: the invariants that it saw fail."""

    states: int
    steps: int
    depth: int
    closed: bool
    counterexample: Counterexample | None
    broken: frozenset[str] = frozenset()


def explore(
    station: Station,
    most_states: int,
    progress: Callable[[int, int], None] | None = None,
    *,
    to_the_end: bool = False,
) -> Report:
    """Walks until closure, a counterexample, or ``most_states``; ``to_the_end``: on after a counterexample, too."""
    program = station.program
    start_at = Instant(START_MONO, START_UTC)
    start = Node(initial_state(program), first_witness(program, start_at), start_at, "start", None)
    seen = {_key(start, station)}
    waiting: deque[tuple[int, Node]] = deque([(0, start)])
    steps = depth = 0
    first: Counterexample | None = None
    names: set[str] = set()
    while waiting:
        depth, node = waiting.popleft()
        for after, wrong in _steps(node, station):
            steps += 1
            if wrong:
                first = first or wrong[0]
                names.update(one.invariant for one in wrong)
                if not to_the_end:
                    return Report(len(seen), steps, depth, False, first, frozenset(names))
            found = _key(after, station)
            if found not in seen:
                seen.add(found)
                waiting.append((depth + 1, after))
        if progress is not None:
            progress(len(seen), len(waiting))
        if len(seen) > most_states:
            return Report(len(seen), steps, depth, False, first, frozenset(names))
    return Report(len(seen), steps, depth, True, first, frozenset(names))


def true_utc(now: Instant) -> float:
    """The true time, whatever the controller's clock says: what an analyzer dates its results by."""
    return START_UTC + now.mono - START_MONO


def _key(node: Node, station: Station) -> object:
    off = node.now.utc - true_utc(node.now)
    return key(node.state, node.now, station.scale), key(node.witness, node.now, station.scale), round(off, 3)


def _steps(node: Node, station: Station) -> Iterator[tuple[Node, tuple[Counterexample, ...]]]:
    went_on = Instant(node.now.mono + station.tick, node.now.utc + station.tick)
    for one in station.inputs:
        now = went_on if one.clock is None else Instant(went_on.mono, true_utc(went_on) + one.clock)
        image = one.image(node.state, now)
        command = one.command(node.state)
        commands = (command,) if command is not None else ()
        result = scan(station.program, node.state, image, commands, now)
        step = Step(station.program, node.state, image, commands, now, result)
        witness = looked_on(node.witness, step)
        after = Node(result.state, witness, now, one.text, node)
        wrong = broken(step, node.witness, witness)
        yield after, tuple(Counterexample(found.name, text, after.story) for found, text in wrong)
    yield _restart(node, station, node.now, "restart")
    for off in station.clocks:
        yield _restart(node, station, Instant(node.now.mono, true_utc(node.now) + off), f"restart, clock {off:+g} s")


def _restart(node: Node, station: Station, now: Instant, by: str) -> tuple[Node, tuple[Counterexample, ...]]:
    """The controller is killed and started again at once."""
    program = station.program
    state = restored(program, to_saved(program, node.state, node.now), now)
    after = Node(state, restarted(node.witness, program, now), now, by, node)
    wrong = broken_by_restart(program, node.state, state)
    return after, tuple(Counterexample("restart", text, after.story) for text in wrong)
