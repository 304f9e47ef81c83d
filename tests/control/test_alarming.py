"""Alarms seen at the scan: those of the site's own, those that the site changes, what people do, and a restart."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.load import load_site
from config.sample import Reason
from control.alarm import RESTART_HOLD_S, Priority, State
from control.alarm_list import (
    BYPASS,
    BYPASSED,
    DEVICE,
    DISPENSER,
    FORCED,
    GUARD,
    INTERLOCK,
    LOOP,
    NOT_FOLLOWED,
    OFFLINE,
    OUTPUT,
    OVERRIDDEN,
    SIGNAL,
    TRIP,
)
from control.cause import Cause, chain, sentence
from control.code import Code
from control.command import Op
from control.saved import restored, to_saved
from tests.control.bench import SITES, FillStation

Station = Callable[[str], FillStation]
WORDS = {TRIP, OFFLINE, NOT_FOLLOWED, OVERRIDDEN, BYPASSED}


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """The fill station with these alarms in its site file."""

    def make(alarms: str) -> FillStation:
        path = tmp_path / "site.yaml"
        before, _, rest = (SITES / "fill-station.yaml").read_text("utf-8").partition("\nalarms:\n")
        path.write_text(f"{before}\n{rest[rest.index('uplink:') :]}\nalarms:\n{alarms}\n", "utf-8")
        return FillStation(load_site(path)).ready()

    return make


def state_of(station: FillStation, name: str) -> State:
    place = station.program.alarms.index[name]
    state = station.state.alarms.states.get(place)
    return state.state if state is not None else State.NORMAL


def names(station: FillStation) -> list[str]:
    return [event.name for event in station.events if event.name.startswith("alarm")]


def restart(station: FillStation) -> None:
    saved = json.loads(json.dumps(to_saved(station.program, station.state, station.now)))
    station.state = restored(station.program, saved, station.now)
    station.events.clear()


LAH = "  LAH-1: {when: PLC-100.level > 5 m, deadband: 0.5 m, on_delay: 2 s, off_delay: 1 s, text: full, text_zh: 满}"


def test_a_limit_alarm_has_its_delays_and_its_deadband(station: Station) -> None:
    tank = station(LAH)
    tank.values["PLC-100.level"] = 5.2
    tank.run(1.9)
    assert state_of(tank, "LAH-1") is State.NORMAL
    tank.run(0.3)
    assert state_of(tank, "LAH-1") is State.UNACKNOWLEDGED
    tank.values["PLC-100.level"] = 4.6
    tank.run(10.0)
    assert state_of(tank, "LAH-1") is State.UNACKNOWLEDGED
    tank.values["PLC-100.level"] = 4.4
    tank.run(0.9)
    assert state_of(tank, "LAH-1") is State.UNACKNOWLEDGED
    tank.run(0.3)
    assert state_of(tank, "LAH-1") is State.RETURNED
    assert tank.ask(Op.ACK, "LAH-1").accepted
    assert state_of(tank, "LAH-1") is State.NORMAL
    assert names(tank) == ["alarm", "alarm-returned", "alarm-acknowledged"]


def test_its_cause_says_what_the_site_says_and_rests_on_the_reading(station: Station) -> None:
    tank = station(LAH)
    tank.values["PLC-100.level"] = 5.2
    tank.run(3.0)
    [alarm] = tank.state.alarms.standing
    assert alarm.cause is not None
    assert sentence(alarm.cause) == "LAH-1: full"
    assert sentence(alarm.cause, "zh") == "LAH-1：满"
    last = chain(alarm.cause)[-1]
    assert last.seen is not None
    assert (last.seen.signal, last.seen.value) == ("PLC-100.level", 5.2)


def test_a_reading_that_is_not_known_changes_nothing(station: Station) -> None:
    tank = station(LAH)
    tank.reasons["PLC-100.level"] = Reason.NO_COMMUNICATION
    tank.run(10.0)
    assert state_of(tank, "LAH-1") is State.NORMAL
    tank.reasons.clear()
    tank.values["PLC-100.level"] = 5.2
    tank.run(3.0)
    tank.reasons["PLC-100.level"] = Reason.NO_COMMUNICATION
    tank.run(30.0)
    assert state_of(tank, "LAH-1") is State.UNACKNOWLEDGED


def test_design_suppresses_what_means_nothing(station: Station) -> None:
    tank = station("  FAL-1: {when: FIT-101.flow < 1 m3/h for 1 s, suppressed_when: P-101 is stopped}")
    tank.run(5.0)
    assert state_of(tank, "FAL-1") is State.SUPPRESSED
    assert "alarm" not in names(tank)
    tank.full_flow_m3h = 0.5
    tank.order()
    tank.until("full-flow")
    tank.run(3.0)
    assert state_of(tank, "FAL-1") is State.UNACKNOWLEDGED


def test_what_the_site_says_of_an_alarm_that_is_there_anyway(station: Station) -> None:
    here = station("  AIT-101.offline: {priority: high, latched: true, shelvable: false, response: call}")
    here.silent.add("AIT-101")
    here.run(20.0)
    [alarm] = [one for one in here.state.alarms.standing if one.id == "AIT-101.offline"]
    assert (alarm.priority, alarm.alarm.response) == (Priority.HIGH, "call")
    refusal = here.ask(Op.SHELVE, "AIT-101.offline", duration_s=60.0, reason="works").refusal
    assert refusal == Cause(Code.MAY_NOT_BE_SILENCED, "AIT-101.offline")
    here.silent.clear()
    here.run(1.0)
    assert state_of(here, "AIT-101.offline") is State.LATCHED_UNACKNOWLEDGED
    assert here.ask(Op.ACK, "AIT-101.offline").accepted
    assert state_of(here, "AIT-101.offline") is State.LATCHED_ACKNOWLEDGED
    assert here.ask(Op.RESET, "AIT-101.offline").accepted
    assert state_of(here, "AIT-101.offline") is State.NORMAL


def test_one_word_acknowledges_what_belongs_to_a_dispenser_and_all(station: Station) -> None:
    here = station(LAH)
    here.values["PLC-100.level"] = 5.2
    here.values["AIT-101.turbidity"] = 50.0
    here.reasons["PLC-100.outlet_ph"] = Reason.NO_COMMUNICATION
    here.run(70.0)
    waiting = {one.id for one in here.state.alarms.shown}
    assert {"FILL-1.trip", "FILL-1.ph.quality-unknown", "LAH-1"} <= waiting
    assert here.ask(Op.ACK, "FILL-1").accepted
    assert state_of(here, "FILL-1.trip") is State.ACKNOWLEDGED
    assert state_of(here, "FILL-1.ph.quality-unknown") is State.ACKNOWLEDGED
    assert state_of(here, "LAH-1") is State.UNACKNOWLEDGED
    assert here.ask(Op.ACK, "all").accepted
    assert state_of(here, "LAH-1") is State.ACKNOWLEDGED
    assert here.ask(Op.ACK, "all").refusal == Cause(Code.NOTHING_TO_ACKNOWLEDGE, "all")
    assert here.ask(Op.ACK, "FILL-9").refusal == Cause(Code.NO_SUCH_ALARM, "FILL-9")


def test_the_first_of_a_group_is_marked(station: Station) -> None:
    here = station("  A-1: {when: PLC-100.level > 5 m, group: tank}\n  A-2: {when: PLC-100.level > 4 m, group: tank}")
    here.values["PLC-100.level"] = 4.5
    here.run(1.0)
    here.values["PLC-100.level"] = 5.5
    here.run(1.0)
    assert here.state.alarms.first_out["tank"] == "A-2"
    assert [e.body["first_out"] for e in here.events_named("alarm")] == [True, False]
    here.values["PLC-100.level"] = 3.0
    here.run(1.0)
    assert here.state.alarms.first_out["tank"] == "A-2"
    here.ask(Op.ACK, "tank")
    assert "tank" not in here.state.alarms.first_out


@pytest.mark.parametrize(
    ("op", "target", "arguments", "code"),
    [
        (Op.SHELVE, "FILL-1.trip", {"duration_s": 60.0, "reason": "x"}, Code.MAY_NOT_BE_SILENCED),
        (Op.OUT_OF_SERVICE, "FILL-1.trip", {"reason": "x"}, Code.MAY_NOT_BE_SILENCED),
        (Op.SHELVE, "LAH-1", {"duration_s": 8 * 3600.0 + 1, "reason": "x"}, Code.SHELF_TOO_LONG),
        (Op.SHELVE, "LAH-1", {"duration_s": 0.0, "reason": "x"}, Code.SHELF_TOO_LONG),
        (Op.SHELVE, "LAH-1", {"duration_s": 60.0}, Code.REASON_MISSING),
        (Op.OUT_OF_SERVICE, "LAH-1", {}, Code.REASON_MISSING),
        (Op.SHELVE, "LAH-9", {"duration_s": 60.0, "reason": "x"}, Code.NO_SUCH_ALARM),
        (Op.UNSHELVE, "LAH-1", {}, Code.NOT_SHELVED),
        (Op.IN_SERVICE, "LAH-1", {}, Code.NOT_OUT_OF_SERVICE),
        (Op.ACK, "LAH-1", {}, Code.NOTHING_TO_ACKNOWLEDGE),
        (Op.RESET, "LAH-1", {}, Code.NOT_LATCHED),
    ],
)
def test_what_is_refused(station: Station, op: Op, target: str, arguments: dict[str, Any], code: Code) -> None:
    refusal = station(LAH).ask(op, target, **arguments).refusal
    assert refusal is not None
    assert refusal.code is code


def test_who_did_it_and_why_is_recorded(station: Station) -> None:
    here = station(LAH)
    here.ask(Op.SHELVE, "LAH-1", "local:li.wei", duration_s=60.0, reason="tank is being cleaned")
    [event] = here.events_named("alarm-shelved")
    assert (event.body["by"], event.body["reason"]) == ("local:li.wei", "tank is being cleaned")
    assert event.body["until_utc"] == pytest.approx(here.now.utc + 60.0)
    here.ask(Op.UNSHELVE, "LAH-1", "local:wang")
    [event] = here.events_named("alarm-unshelved")
    assert event.body["by"] == "local:wang"


def test_a_restart_keeps_what_was_done_and_announces_nothing_anew(station: Station) -> None:
    here = station(LAH + "\n  X-1: {when: PLC-100.level > 5 m}\n  X-2: {when: PLC-100.level > 5 m}")
    here.values["PLC-100.level"] = 5.2
    here.run(3.0)
    here.ask(Op.ACK, "LAH-1", "local:li.wei")
    here.ask(Op.SHELVE, "X-1", duration_s=50.0, reason="works")
    here.ask(Op.OUT_OF_SERVICE, "X-2", reason="works")
    before = here.state.alarms
    here.silent.update(here.program.signal_names)
    restart(here)
    assert {s.id: (s.state, s.by, s.reason, s.since_utc) for s in here.state.alarms.states.values()} == {
        s.id: (s.state, s.by, s.reason, s.since_utc) for s in before.states.values()
    }
    here.silent.clear()
    here.run(40.0)
    assert state_of(here, "LAH-1") is State.ACKNOWLEDGED
    assert state_of(here, "X-1") is State.SHELVED
    assert "alarm" not in names(here)
    here.run(10.1)
    assert names(here) == ["alarm-unshelved", "alarm"]


def test_what_is_gone_after_a_restart_returns_when_it_is_surely_gone(station: Station) -> None:
    here = station(LAH)
    here.values["PLC-100.level"] = 5.2
    here.run(3.0)
    restart(here)
    here.values["PLC-100.level"] = 3.0
    here.run(RESTART_HOLD_S - 0.5)
    assert state_of(here, "LAH-1") is State.UNACKNOWLEDGED
    here.run(1.0)
    assert state_of(here, "LAH-1") is State.RETURNED


def test_a_time_on_the_shelf_runs_on_while_the_controller_is_off(station: Station) -> None:
    here = station(LAH)
    here.ask(Op.SHELVE, "LAH-1", duration_s=100.0, reason="works")
    saved = to_saved(here.program, here.state, here.now)
    # Another boot: the monotonic clock began anew, the wall clock went on.
    here.mono, here.utc_offset = 50.0, here.now.utc + 70.0 - 50.0
    here.state = restored(here.program, saved, here.now)
    here.run(29.5)
    assert state_of(here, "LAH-1") is State.SHELVED
    here.run(1.0)
    assert state_of(here, "LAH-1") is State.NORMAL


def test_settings_that_changed_over_a_restart_hold_at_once(station: Station) -> None:
    here = station("  X-1: {when: PLC-100.level > 5 m, latched: true}")
    here.values["PLC-100.level"] = 5.2
    here.run(1.0)
    here.values["PLC-100.level"] = 3.0
    here.run(1.0)
    assert state_of(here, "X-1") is State.LATCHED_UNACKNOWLEDGED
    saved = to_saved(here.program, here.state, here.now)
    place = here.program.alarms.index["X-1"]
    changed = list(here.program.alarms.alarms)
    changed[place] = replace(changed[place], latched=False)
    program = replace(here.program, alarms=replace(here.program.alarms, alarms=tuple(changed)))
    assert restored(program, saved, here.now).alarms.states[place].state is State.RETURNED


def test_an_unchanged_scan_keeps_the_annunciator(station: Station) -> None:
    here = station(LAH)
    here.values["PLC-100.level"] = 5.2
    here.run(5.0)
    before = here.state
    here.scan()
    assert here.state.alarms is before.alarms
    assert here.state.alarm_memories is before.alarm_memories


def test_every_listed_alarm_is_a_code_or_one_of_the_words() -> None:
    for declared in (BYPASS, DEVICE, DISPENSER, FORCED, *GUARD.values(), LOOP, OUTPUT, SIGNAL):
        assert set(declared) - WORDS <= set(Code)
    assert set(INTERLOCK) <= set(Code)
