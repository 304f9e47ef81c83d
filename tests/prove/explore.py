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
from tests.prove.abstraction import key

START_UTC: Final = 1_790_000_000.0


@dataclass(frozen=True, slots=True)
class Input:
    """What happens in one tick, in words, and what the controller is given."""

    text: str
    image: Callable[[ScanState, Instant], tuple[Sample, ...]]
    command: Callable[[ScanState], Command | None]


@dataclass(frozen=True, slots=True)
class Station:
    """A program with its inputs. ``cap``: beyond the longest delay, where ages need not be told apart."""

    program: Program
    inputs: tuple[Input, ...]
    tick: float
    cap: float


@dataclass(frozen=True, slots=True)
class Node:
    """A reached state, how it was reached, and what the onlooker remembers."""

    state: ScanState
    witness: Witness
    now: Instant
    by: str
    parent: "Node | None"

    def story(self) -> list[str]:
        """What happened, from the start."""
        steps: list[str] = []
        node: Node | None = self
        while node is not None:
            steps.append(node.by)
            node = node.parent
        return steps[::-1]


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
    """How far a walk came: ``closed`` when no state is left to look at."""

    states: int
    steps: int
    depth: int
    closed: bool
    counterexample: Counterexample | None


def explore(station: Station, most_states: int, progress: Callable[[int, int], None] | None = None) -> Report:
    """Walks until closure, a counterexample, or ``most_states``."""
    program = station.program
    start_at = Instant(1000.0, START_UTC)
    start = Node(initial_state(program), first_witness(program, start_at), start_at, "start", None)
    seen = {_key(start, station)}
    waiting: deque[tuple[int, Node]] = deque([(0, start)])
    steps = depth = 0
    while waiting:
        depth, node = waiting.popleft()
        for after, wrong in _steps(node, station):
            steps += 1
            if wrong is not None:
                return Report(len(seen), steps, depth, False, wrong)
            found = _key(after, station)
            if found not in seen:
                seen.add(found)
                waiting.append((depth + 1, after))
        if progress is not None:
            progress(len(seen), len(waiting))
        if len(seen) > most_states:
            return Report(len(seen), steps, depth, False, None)
    return Report(len(seen), steps, depth, True, None)


def _key(node: Node, station: Station) -> object:
    now = node.now.mono
    return key(node.state, now, station.cap), key(node.witness, now, station.cap)


def _steps(node: Node, station: Station) -> Iterator[tuple[Node, Counterexample | None]]:
    now = Instant(node.now.mono + station.tick, node.now.utc + station.tick)
    for one in station.inputs:
        image = one.image(node.state, now)
        command = one.command(node.state)
        commands = (command,) if command is not None else ()
        result = scan(station.program, node.state, image, commands, now)
        step = Step(station.program, node.state, image, commands, now, result)
        witness = looked_on(node.witness, step)
        after = Node(result.state, witness, now, one.text, node)
        wrong = broken(step, node.witness, witness)
        yield after, _counterexample(wrong[0][0].name, wrong[0][1], after) if wrong else None
    yield _restart(node, station)


def _restart(node: Node, station: Station) -> tuple[Node, Counterexample | None]:
    """The controller is killed and started again at once."""
    program = station.program
    state = restored(program, to_saved(program, node.state, node.now), node.now)
    witness = restarted(node.witness, program, node.now)
    after = Node(state, witness, node.now, "restart", node)
    wrong = broken_by_restart(program, node.state, state)
    return after, _counterexample("restart", wrong[0], after) if wrong else None


def _counterexample(invariant: str, text: str, node: Node) -> Counterexample:
    return Counterexample(invariant, text, tuple(node.story()))
