"""Interlocks and permissives of a site file, seen at the outputs of the scan."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.load import load_site
from config.sample import Reason
from control.arbitration import Rank
from control.cause import Cause, chain, sentence
from control.code import Code
from control.command import Op
from control.saved import restored, to_saved
from control.why import why
from tests.control.bench import SITES, Bench, FillStation

Station = Callable[[str], FillStation]


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """The fill station with further sections in its site file."""

    def make(sections: str) -> FillStation:
        path = tmp_path / "site.yaml"
        text = (SITES / "fill-station.yaml").read_text("utf-8")
        for section in ("interlocks:", "permissives:"):
            before, found, after = text.partition(f"\n{section}")
            rest = after.partition("\n\n")[2]
            text = before + "\n\n" + rest if found else text
        path.write_text(text + "\n" + sections, "utf-8")
        return FillStation(load_site(path))

    return make


LOW = """
interlocks:
  suction-low:
    when: PLC-100.level < 0.8 m until 0.9 m for 2 s
    {effect}
    text: tank low
    text_zh: 清水池低液位
"""
STOPS, TRIPS = LOW.format(effect="stops: [FILL-1]"), LOW.format(effect="trips: [FILL-1]")


def _filling(station: FillStation) -> FillStation:
    station.ready()
    assert station.order(5.0).accepted
    station.until("full-flow")
    return station


def _acts(station: FillStation) -> Cause | None:
    return station.state.interlocks[0].acts


def test_it_stops_a_fill_while_it_acts_and_lets_go_by_itself(station: Station) -> None:
    fill = _filling(station(STOPS))
    fill.values["PLC-100.level"] = 0.7
    fill.run(1.5)
    assert fill.output("XV-101") is True
    fill.run(1.0)
    assert (fill.output("XV-101"), fill.output("P-101")) == (False, False)
    assert {demand.rank for demand in fill.state.outputs} == {Rank.PROTECT}
    fill.values["PLC-100.level"] = 0.85
    fill.run(20.0)
    assert _acts(fill) is not None
    fill.values["PLC-100.level"] = 1.2
    fill.run(10.0)
    assert _acts(fill) is None
    assert not fill.state.trips[0].latched
    assert fill.order(order_id="o-2").accepted


def test_it_says_what_acts_by_which_condition_and_reading(station: Station) -> None:
    fill = _filling(station(STOPS))
    fill.values["PLC-100.level"] = 0.7
    fill.run(3.0)
    answer = why(fill.program, fill.state, tuple(fill.image), "FILL-1", fill.now)
    assert answer is not None
    acts, leaf = answer.causes
    text = "PLC-100.level < 0.8 m until 0.9 m for 2 s"
    assert sentence(acts) == f"interlock suction-low acts: tank low ({text})"
    assert sentence(acts, "zh") == f"联锁 suction-low 动作：清水池低液位（{text}）"
    assert sentence(leaf) == "PLC-100.level < 0.8 m until 0.9 m holds (PLC-100.level = 0.7 m)"
    assert leaf.seen is not None
    assert leaf.seen.value == 0.7
    assert [alarm.id for alarm in fill.state.alarms.standing if alarm.cause is acts] == ["suction-low.interlock-acts"]


def test_one_that_trips_latches_until_a_reset_that_it_must_allow(station: Station) -> None:
    fill = _filling(station(TRIPS))
    fill.values["PLC-100.level"] = 0.7
    fill.run(3.0)
    assert [link.code for link in chain(fill.state.trips[0].cause)] == [
        Code.TRIPPED,
        Code.INTERLOCK_ACTS,
        Code.CONDITION_MET,
    ]
    refused = fill.ask(Op.RESET, "FILL-1")
    assert refused.refusal is not None
    assert refused.refusal.because is _acts(fill)
    fill.values["PLC-100.level"] = 2.0
    fill.run(30.0)
    assert fill.state.trips[0].latched
    assert fill.ask(Op.RESET, "FILL-1").accepted
    fill.run(0.2)
    assert not fill.state.trips[0].latched


def test_its_trip_survives_a_restart_and_it_judges_anew(station: Station) -> None:
    fill = _filling(station(TRIPS))
    fill.values["PLC-100.level"] = 0.7
    fill.run(3.0)
    first_out = chain(fill.state.trips[0].cause)
    fill.state = restored(fill.program, to_saved(fill.program, fill.state, fill.now), fill.now)
    fill.values["PLC-100.level"] = 2.0
    fill.run(10.0)
    assert chain(fill.state.trips[0].cause) == first_out


def test_what_cannot_be_judged_counts_as_acting_once_that_lasts(station: Station) -> None:
    fill = _filling(station(TRIPS.replace(" for 2 s", "")))
    fill.reasons["PLC-100.level"] = Reason.NO_COMMUNICATION
    fill.run(4.5)
    assert not fill.state.trips[0].latched
    assert fill.ask(Op.RESET, "FILL-1").refusal is not None
    fill.run(1.0)
    trip = chain(fill.state.trips[0].cause)
    assert [link.code for link in trip] == [Code.TRIPPED, Code.INTERLOCK_UNKNOWN, Code.CONDITION_UNKNOWN]
    assert trip[-1].values[1] == "PLC-100.level: no communication"


def test_before_it_was_ever_judged_it_forbids_at_once_and_trips_only_after_a_while(station: Station) -> None:
    fill = station(TRIPS.replace(" for 2 s", ""))
    fill.silent.add("PLC-100")
    fill.run(4.0)
    assert _acts(fill) is not None
    assert not fill.state.trips[0].latched
    fill.silent.clear()
    fill.run(0.2)
    assert _acts(fill) is None
    assert not fill.state.trips[0].latched


IGNORES = TRIPS.replace("text: tank low", "on_unknown: ignore\n    because: the pump has its own relay")


def test_one_that_ignores_the_unknown_stays_as_it_was(station: Station) -> None:
    fill = _filling(station(IGNORES.replace(" for 2 s", "")))
    fill.silent.add("PLC-100.level")
    fill.run(30.0)
    assert _acts(fill) is None
    fill.silent.clear()
    fill.values["PLC-100.level"] = 0.7
    fill.run(0.5)
    acts = _acts(fill)
    assert acts is not None
    fill.silent.add("PLC-100.level")
    fill.run(30.0)
    assert _acts(fill) is acts


def test_what_closes_a_valve_or_stops_a_pump_stops_its_dispenser(station: Station) -> None:
    for effect in ("closes: [XV-101]", "stops: [P-101]"):
        fill = _filling(station(LOW.format(effect=effect)))
        fill.values["PLC-100.level"] = 0.7
        fill.run(3.0)
        assert {(demand.value, demand.rank) for demand in fill.state.outputs} == {(False, Rank.PROTECT)}
        receipt = fill.fill.stop
        assert receipt is not None
        assert Code.INTERLOCK_ACTS in {link.code for link in chain(receipt)}


def test_the_state_is_the_same_object_while_nothing_changes(station: Station) -> None:
    fill = station(STOPS).ready()
    before = fill.state.interlocks[0]
    fill.run(5.0)
    assert fill.state.interlocks[0] is before


PERMISSIVE = """
permissives:
  tank-full-enough:
    when: PLC-100.level > 2 m
    for: [FILL-1]
    text: at least 2 m in the tank
"""


def test_a_permissive_refuses_a_start_and_stops_nothing(station: Station) -> None:
    fill = _filling(station(PERMISSIVE))
    fill.values["PLC-100.level"] = 1.5
    fill.run(10.0)
    assert fill.output("XV-101") is True
    fill.ask(Op.CANCEL, "FILL-1")
    fill.until("idle")
    refusal = fill.order(order_id="o-2").refusal
    assert refusal is not None
    assert [link.code for link in chain(refusal)][-2:] == [Code.START_NOT_PERMITTED, Code.CONDITION_NOT_MET]
    fill.values["PLC-100.level"] = 2.5
    fill.run(1.0)
    assert fill.order(order_id="o-3").accepted


def test_a_permissive_that_cannot_be_judged_permits_nothing(station: Station) -> None:
    fill = station(PERMISSIVE).ready()
    fill.reasons["PLC-100.level"] = Reason.MAINTENANCE
    fill.run(0.2)
    refusal = fill.order().refusal
    assert refusal is not None
    assert [link.code for link in chain(refusal)][-2:] == [Code.START_UNKNOWN, Code.CONDITION_UNKNOWN]


def test_what_is_said_of_a_dispenser_is_as_the_scan_before_left_it(station: Station) -> None:
    fill = station(
        """
interlocks:
  no-fill-while-flushing:
    when: FILL-1 is dispensing and PLC-100.level < 2.8 m
    trips: [FILL-1]
"""
    )
    fill.values["PLC-100.level"] = 2.5
    fill.ready()
    assert fill.order().accepted
    fill.run(20.0)
    cause = fill.state.trips[0].cause
    assert cause is not None
    assert sentence(chain(cause)[-1]) == "FILL-1 is dispensing holds (FILL-1: slow-start)"


class PumpStation(Bench):
    """The example pump station, with equipment that follows its outputs at once."""

    def plant(self) -> None:
        self.values |= {
            "RIO-1.opened": self.output("XV-1"),
            "RIO-1.closed": not self.output("XV-1"),
            "RIO-1.running": self.output("P-1"),
            "RIO-1.open": self.output("XV-1"),
            "RIO-1.run": self.output("P-1"),
        }

    def force(self, tag: str) -> None:
        assert self.ask(Op.FORCE, tag, value=True, duration_s=600.0, reason="test").accepted


def _pump_station() -> PumpStation:
    station = PumpStation(load_site(SITES.parents[1] / "docs" / "examples" / "pump-station.yaml"))
    station.values |= {"RIO-1.level": 3.0, "RIO-1.pressure": 2.0, "RIO-1.emergency_stop": False}
    station.run(1.0)
    return station


def test_no_override_outranks_an_interlock() -> None:
    station = _pump_station()
    station.force("XV-1")
    station.force("P-1")
    station.run(1.0)
    assert (station.output("XV-1"), station.output("P-1")) == (True, True)
    station.values["RIO-1.emergency_stop"] = True
    station.run(0.2)
    assert (station.output("XV-1"), station.output("P-1")) == (False, False)
    assert {demand.rank for demand in station.state.outputs} == {Rank.PROTECT}


def test_a_pump_that_is_forced_on_waits_for_its_permissive_and_then_runs_on() -> None:
    station = _pump_station()
    station.values["RIO-1.level"] = 0.8
    station.force("P-1")
    station.run(1.0)
    [demand] = [demand for demand in station.state.outputs if demand.tag == "P-1"]
    assert (demand.value, demand.rank, demand.cause.code) == (False, Rank.PROTECT, Code.START_NOT_PERMITTED)
    station.values["RIO-1.level"] = 1.2
    station.run(0.2)
    assert station.output("P-1") is True
    station.values["RIO-1.level"] = 0.8
    station.run(5.0)
    assert station.output("P-1") is True
