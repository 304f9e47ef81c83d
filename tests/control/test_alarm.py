"""The state machine of one alarm, against the table of ISA-18.2 and against a direct model of what an alarm is."""

import json
from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from control import alarm, annunciator
from control.alarm import (
    CHINESE,
    LETTERS,
    RESTART_HOLD_S,
    SILENCED,
    TRANSITIONS,
    UNANSWERED,
    Alarm,
    AlarmState,
    Priority,
    State,
    Trigger,
)
from control.alarm_figures import CHATTER_S, FLOOD_ABOVE, FLOOD_ENDS_BELOW, WINDOW_S
from control.annunciator import Alarms, Annunciator
from control.cause import Cause
from control.code import Code
from control.command import Command, Op
from control.event import Event
from control.instant import Instant

CAUSE = Cause(Code.DEVICE_OFFLINE, "D-1", ("no communication",))
UTC = 1_790_000_000.0


def at(mono: float) -> Instant:
    return Instant(mono, UTC + mono)


STANDARD = """
A occurs B              B acknowledge C         B returns D             C returns A
D acknowledge A         D occurs B              B returns-latched E     C returns-latched F
E acknowledge F         E reset D               F reset A               E occurs B
F occurs B              A occurs-journal C
A shelve G  B shelve G  C shelve G  D shelve G  E shelve G  F shelve G
A suppress H  B suppress H  C suppress H  D suppress H  E suppress H  F suppress H
A remove I  B remove I  C remove I  D remove I  E remove I  F remove I  G remove I  H remove I
G ends A  H ends A  I ends A  G ends-latched E  H ends-latched E  I ends-latched E
"""
"""The transitions of the diagram in ISA-18.2 (5.2) and IEC 62682, by its letters, in the words of this test."""
WORDS = {
    "occurs": Trigger.OCCURS,
    "occurs-journal": Trigger.RECORDED,
    "acknowledge": Trigger.ACKNOWLEDGE,
    "returns": Trigger.RETURNS,
    "returns-latched": Trigger.LATCHES,
    "reset": Trigger.RESET,
    "shelve": Trigger.SHELVE,
    "suppress": Trigger.SUPPRESS,
    "remove": Trigger.REMOVE,
    "ends": Trigger.END,
    "ends-latched": Trigger.END_LATCHED,
}


def test_the_table_is_that_of_the_standard() -> None:
    words = STANDARD.split()
    letter = {one: state for state, one in LETTERS.items()}
    read = {(letter[a], WORDS[b]): letter[c] for a, b, c in zip(words[::3], words[1::3], words[2::3], strict=True)}
    assert read == dict(TRANSITIONS)


def test_every_state_has_its_letter_and_its_chinese_name() -> None:
    assert [LETTERS[state] for state in State] == list("ABCDEFGHI")
    assert set(CHINESE) == set(State)


def test_an_alarm_in_which_nothing_changed_is_the_same_object() -> None:
    rest = Alarm("X.y", Priority.LOW).at_rest()
    assert alarm.step(rest, None, False, at(1.0))[0] is rest
    stands, _ = alarm.step(rest, CAUSE, False, at(1.0))
    assert stands.state is State.UNACKNOWLEDGED
    assert alarm.step(stands, CAUSE, False, at(2.0)) == (stands, ())
    assert alarm.step(stands, CAUSE, False, at(2.0))[0] is stands


@pytest.mark.parametrize("delay", [0.0, 5.0])
def test_it_comes_after_its_on_delay_and_goes_after_its_off_delay(delay: float) -> None:
    state = Alarm("X.y", Priority.LOW, on_delay=delay, off_delay=2 * delay).at_rest()
    came = went = None
    for tenth in range(400):
        now = at(tenth / 10)
        present = 5.0 <= now.mono < 20.0
        state, triggers = alarm.step(state, CAUSE if present else None, False, now)
        came = now.mono if Trigger.OCCURS in triggers else came
        went = now.mono if Trigger.RETURNS in triggers else went
    assert came == 5.0 + delay
    assert went == 20.0 + 2 * delay


def test_what_is_gone_before_its_on_delay_was_no_alarm() -> None:
    state = Alarm("X.y", Priority.LOW, on_delay=5.0).at_rest()
    for tenth in range(300):
        state, triggers = alarm.step(state, CAUSE if tenth % 50 < 49 else None, False, at(tenth / 10))
        assert triggers == ()


def test_a_shelf_ends_at_its_time_and_what_stands_is_announced_anew() -> None:
    rest = Alarm("X.y", Priority.LOW, shelve_limit=100.0).at_rest()
    shelved = alarm.changed(rest, Trigger.SHELVE, at(10.0), by="local:li.wei", reason="works", ends_at=110.0)
    for mono in (10.0, 60.0, 109.9):
        shelved, triggers = alarm.step(shelved, CAUSE, False, at(mono))
        assert triggers == ()
    after, triggers = alarm.step(shelved, CAUSE, False, at(110.0))
    assert triggers == (Trigger.END, Trigger.OCCURS)
    assert (after.state, after.by, after.reason) == (State.UNACKNOWLEDGED, "", "")


ALARMS = (
    Alarm("plain", Priority.MEDIUM, shelve_limit=100.0, group="g"),
    Alarm("latched", Priority.HIGH, latched=True, shelve_limit=100.0, group="g"),
    Alarm("slow", Priority.LOW, on_delay=2.0, off_delay=3.0, latched=True, shelve_limit=100.0),
    Alarm("journal", Priority.JOURNAL, shelve_limit=100.0),
    Alarm("trip", Priority.CRITICAL),
)
TABLE = Alarms(ALARMS, {}, {one.id: place for place, one in enumerate(ALARMS)})


@dataclass
class Model:
    """What an alarm is, without a table of states: what stands, what is known to people, what is silenced."""

    settings: Alarm
    stands: bool = False
    unseen: bool = False
    held: bool = False
    silence: str = ""
    shelf_ends: float = 0.0
    turning: float | None = None
    hold_until: float | None = None
    ended: bool = False

    def tick(self, present: bool, suppressed: bool, now: float) -> bool:
        """True when it is announced."""
        stood = self.stands
        self._delay(present, now)
        if (self.silence == "G" and now >= self.shelf_ends) or (self.silence == "H" and not suppressed):
            self.end()
        announced = self.stands and (self.ended or not stood)
        self.ended = False
        if suppressed and not self.silence:
            self.silence = "H"
        if self.silence:
            self.unseen = False
            return False
        self.unseen = (self.unseen or announced) and self.settings.priority is not Priority.JOURNAL
        return announced and self.unseen

    def _delay(self, present: bool, now: float) -> None:
        if present is self.stands:
            self.turning = None
            self.hold_until = None if present else self.hold_until
            return
        self.turning = now if self.turning is None else self.turning
        held_back = not present and self.hold_until is not None and now < self.hold_until
        if now - self.turning >= (self.settings.on_delay if present else self.settings.off_delay) and not held_back:
            self.stands, self.turning, self.hold_until = present, None, None
            self.held = self.held or (present and self.settings.latched)

    def end(self) -> None:
        """A silence ends: a latched one that stood meanwhile shows itself; what stands is announced by the tick."""
        self.silence, self.ended, self.unseen = "", True, self.held

    @property
    def letter(self) -> str:
        if self.silence:
            return self.silence
        if self.stands:
            return "B" if self.unseen else "C"
        if self.held:
            return "E" if self.unseen else "F"
        return "D" if self.unseen else "A"


class AlarmMachine(RuleBasedStateMachine):
    """Everything that can happen to five alarms, in any order, with the model beside."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.state = Annunciator()
        self.models = [Model(one) for one in ALARMS]
        self.present = [False] * len(ALARMS)
        self.suppressed = [False] * len(ALARMS)
        self.history: list[tuple[dict[int, Cause], set[int], Command | None, float]] = []
        self.events: list[tuple[float, Event]] = []
        self.came: deque[float] = deque()
        self.flood = False
        self.first = ""
        self.began = Annunciator()

    @rule(which=st.integers(0, 4), seconds=st.sampled_from([0.1, 1.0, 5.0, 70.0, 300.0]))
    def it_turns(self, which: int, seconds: float) -> None:
        self.present[which] = not self.present[which]
        self.scan(seconds)

    @rule(which=st.integers(0, 4), times=st.integers(1, 6))
    def it_chatters(self, which: int, times: int) -> None:
        for _ in range(2 * times):
            self.present[which] = not self.present[which]
            self.scan(4.0)

    @rule(which=st.integers(0, 4))
    def design_turns(self, which: int) -> None:
        self.suppressed[which] = not self.suppressed[which]
        self.scan(0.1)

    @rule(seconds=st.sampled_from([0.1, 3.0, 10.0, 61.0, 100.0, 600.0, 601.0]))
    def time_passes(self, seconds: float) -> None:
        self.scan(seconds)

    @rule(which=st.integers(0, 4))
    def acknowledge(self, which: int) -> None:
        model = self.models[which]
        accepted = self.ask(Op.ACK, which)
        assert accepted is (model.letter in "BDE")
        if accepted:
            model.unseen = False

    @rule(which=st.integers(0, 4))
    def reset(self, which: int) -> None:
        model = self.models[which]
        accepted = self.ask(Op.RESET, which)
        assert accepted is (model.letter in "EF")
        if accepted:
            model.held = False

    @rule(which=st.integers(0, 4), seconds=st.sampled_from([10.0, 100.0, 101.0]), reason=st.sampled_from(["", "works"]))
    def shelve(self, which: int, seconds: float, reason: str) -> None:
        model = self.models[which]
        accepted = self.ask(Op.SHELVE, which, seconds, reason)
        assert accepted is (not model.silence and seconds <= 100.0 and reason != "" and which != 4)
        if accepted:
            model.silence, model.shelf_ends, model.unseen = "G", self.now + seconds, False

    @rule(which=st.integers(0, 4), reason=st.sampled_from(["", "works"]))
    def take_out_of_service(self, which: int, reason: str) -> None:
        model = self.models[which]
        accepted = self.ask(Op.OUT_OF_SERVICE, which, reason=reason)
        assert accepted is (model.silence != "I" and reason != "" and which != 4)
        if accepted:
            model.silence, model.unseen = "I", False

    @rule(which=st.integers(0, 4), op=st.sampled_from([Op.UNSHELVE, Op.IN_SERVICE]), turns=st.booleans())
    def give_back(self, which: int, op: Op, turns: bool) -> None:
        model = self.models[which]
        accepted = self.ask(op, which)
        assert accepted is (model.silence == ("G" if op is Op.UNSHELVE else "I"))
        if accepted:
            model.end()
            self.present[which] = self.present[which] is not turns
            self.scan(0.0)

    @rule()
    def restart(self) -> None:
        saved = json.loads(json.dumps(annunciator.to_saved(self.state, at(self.now))))
        recent, counts = self.state.figures, dict(self.state.first_out)
        self.state = annunciator.from_saved(TABLE, saved, at(self.now))
        assert self.state.figures.days == recent.days
        assert dict(self.state.first_out) == counts
        self.history.clear()
        self.came.clear()
        self.flood = False
        self.began = self.state
        for model in self.models:
            model.turning = None
            model.hold_until = self.now + RESTART_HOLD_S if model.stands else None

    def ask(self, op: Op, which: int, seconds: float = 0.0, reason: str = "") -> bool:
        command = Command("c", op, ALARMS[which].id, "local:x", duration_s=seconds, reason=reason)
        before = self.state
        self.state, events, refusal = annunciator.obey(TABLE, self.state, command, at(self.now))
        assert (self.state is before) is (refusal is not None)
        self.events += [(self.now, event) for event in events]
        self.history.append(({}, set(), command, self.now))
        self.mark(events)
        return refusal is None

    def scan(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 3)
        raised = {i: CAUSE for i, one in enumerate(self.present) if one}
        suppressed = {i for i, one in enumerate(self.suppressed) if one}
        self.state, events = annunciator.step(TABLE, self.state, raised, suppressed, at(self.now))
        self.history.append((raised, suppressed, None, self.now))
        self.events += [(self.now, event) for event in events]
        announced = {
            model.settings.id
            for i, model in enumerate(self.models)
            if model.tick(self.present[i], self.suppressed[i], self.now)
        }
        sounded = {e.subject for e in events if e.name == "alarm" and e.body["priority"] != "journal"}
        assert sounded == announced
        self.recount(len(sounded), [event.name for event in events])
        self.mark(events)

    def mark(self, events: tuple[Event, ...]) -> None:
        """The first of the group, by the events alone."""
        for event in events:
            if event.name == "alarm" and event.subject in ("plain", "latched"):
                self.first = self.first or event.subject
                assert event.body["first_out"] is (self.first == event.subject)
        if not any(state.alarm.group == "g" for state in self.state.shown):
            self.first = ""

    def recount(self, came: int, names: list[str]) -> None:
        self.came.extend([self.now] * came)
        while self.came and self.now - self.came[0] > WINDOW_S:
            self.came.popleft()
        begins = not self.flood and len(self.came) > FLOOD_ABOVE
        ends = self.flood and len(self.came) < FLOOD_ENDS_BELOW
        assert ("alarm-flood" in names, "alarm-flood-ended" in names) == (begins, ends)
        self.flood = begins or (self.flood and not ends)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        for place, model in enumerate(self.models):
            state = self.state.states.get(place) or AlarmState(ALARMS[place])
            assert LETTERS[state.state] == model.letter, ALARMS[place].id
            assert state.stands is model.stands
            assert state.held is (model.held and state.alarm.latched)

    @invariant()
    def figures_are_exact(self) -> None:
        figures = self.state.figures
        assert figures.in_window(at(self.now)) == len(self.came)
        assert (figures.flood_since_utc is not None) is self.flood
        total = sum(count for _, counts in figures.days for count in counts.values())
        assert total == sum(1 for _, e in self.events if e.name == "alarm" and e.body["priority"] != "journal")
        begun = min((step[3] for step in self.history), default=self.now)
        chattering = set()
        for one in ALARMS:
            times = [t for t, e in self.events if e.name == "alarm" and e.subject == one.id and t >= begun]
            if one.priority is not Priority.JOURNAL and len(times) >= 3 and self.now - times[-3] <= CHATTER_S:
                chattering.add(one.id)
        assert set(figures.chattering(at(self.now))) == chattering

    @invariant()
    def what_is_silenced_does_not_wait_for_anybody(self) -> None:
        shown = {state.id for state in self.state.shown}
        silenced = {state.id for state in self.state.silenced}
        assert not shown & silenced
        assert {s.id for s in self.state.states.values() if s.state in UNANSWERED} <= shown
        assert all(s.state in SILENCED for s in self.state.silenced)

    @invariant()
    def the_first_of_a_group_is_marked_until_all_are_normal(self) -> None:
        assert self.state.first_out.get("g", "") == self.first

    def teardown(self) -> None:
        state = self.began
        for raised, suppressed, command, now in self.history:
            if command is None:
                state, _ = annunciator.step(TABLE, state, raised, suppressed, at(now))
            else:
                state, _, _ = annunciator.obey(TABLE, state, command, at(now))
        assert state == self.state


TestAlarmMachine = AlarmMachine.TestCase
TestAlarmMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_every_transition_of_the_table_is_taken_and_no_other() -> None:
    """Breadth first over everything that may happen to a plain, a latched and a journal alarm."""
    taken: set[tuple[State, Trigger]] = set()
    kinds = (ALARMS[0], ALARMS[1], ALARMS[3])
    waiting = [one.at_rest() for one in kinds]
    seen = {(one.id, one.state, one.stands, one.held) for one in waiting}
    while waiting:
        before = waiting.pop()
        after: list[AlarmState] = []
        for cause in (None, CAUSE):
            for suppressed in (False, True):
                state, triggers = alarm.step(before, cause, suppressed, at(1.0))
                middle = before
                for trigger in triggers:
                    taken.add((middle.state, trigger))
                    middle = alarm.changed(middle, trigger, at(1.0))
                assert middle.state is state.state
                after.append(state)
        for trigger in (
            Trigger.ACKNOWLEDGE,
            Trigger.RESET,
            Trigger.SHELVE,
            Trigger.REMOVE,
            alarm.ending(before),
        ):
            if alarm.can(before, trigger):
                taken.add((before.state, trigger))
                after.append(alarm.changed(before, trigger, at(1.0), ends_at=1.0))
        for one in after:
            key = (one.id, one.state, one.stands, one.held)
            if key not in seen:
                seen.add(key)
                waiting.append(one)
    assert taken == set(TRANSITIONS)
