"""Measurements through the scan: the example take-off with three turbidimeters and currents on remote I/O."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sample import NOT_YET_READ, Quality, Reason, Sample, quality_of
from config.signals import protecting_signals
from control.cause import chain
from control.code import Code
from control.compiler import compile_site
from control.condition import condition
from control.instant import Instant
from control.judgement import Judgement
from control.measurement import UNREAD, Conditioned
from control.scaling import Scale
from control.voting import Vote
from tests.control.bench import Bench, load

LOADED = load("voted-take-off")
PROBES = ("AIT-301.turbidity", "AIT-302.turbidity", "AIT-303.turbidity")


class TakeOff(Bench):
    """Values that move a little, as those of living instruments do; the valve is where it was told to be."""

    def __init__(self) -> None:
        super().__init__(LOADED)
        self.turbidity = dict.fromkeys(PROBES, 2.0)
        self.milliamps = {"RIO-301.ai_0": 12.0, "RIO-301.ai_1": 8.0, "RIO-301.ai_2": 8.0}
        self.total_m3 = 100.0
        self.marks: dict[str, bool] = {}
        self.plant()

    def plant(self) -> None:
        opening = self.output("FV-301")
        assert isinstance(opening, float)
        self.total_m3 += opening / 3600 * 0.1
        self.values |= {
            "FCV-301.position": opening,
            "FCV-301.position_command": opening,
            "FIT-301.flow": opening,
            "FIT-301.total": self.total_m3,
        }
        self.values |= {name: value + 1e-4 * (round(self.mono * 10) % 7) for name, value in self.turbidity.items()}
        self.values |= {name: value / 1000 for name, value in self.milliamps.items()}
        self.values |= dict.fromkeys(("RIO-302.hs_301", "RIO-302.hs_302", "RIO-302.hs_303"), False) | self.marks

    def reading(self, name: str) -> Sample:
        return self.used[self.program.signal_names.index(name)]

    @property
    def used(self) -> tuple[Sample, ...]:
        return condition(self.program, self.state.conditioned, tuple(self.image), self.now)[1]

    def trip(self) -> Code | None:
        cause = self.state.trips[0].cause
        return chain(cause)[-1].code if cause is not None else None


def test_currents_become_level_pressure_and_flow() -> None:
    station = TakeOff()
    station.run(1.0)
    assert station.reading("LT-301.level").value == pytest.approx(2.5)
    assert station.reading("PT-301.pressure").value == pytest.approx(2.5)
    assert station.reading("FIT-302.flow").value == pytest.approx(80.0)
    assert station.program.units[station.program.signal_names.index("FIT-302.flow")] == "m3/h"


def test_a_broken_wire_leaves_no_level_stops_the_water_and_says_so() -> None:
    station = TakeOff()
    station.run(20.0)
    assert station.output("FV-301") != 0.0
    station.milliamps["RIO-301.ai_0"] = 0.0
    station.run(6.0)
    assert station.reading("LT-301.level").reason is Reason.DEVICE_FAULT
    assert station.output("FV-301") == 0.0
    assert "LT-301.level.loop-failed" in station.alarms
    [fault] = [alarm.cause for alarm in station.state.alarms.standing if alarm.id == "LT-301.level.loop-failed"]
    assert fault is not None
    assert fault.seen is not None
    assert (fault.seen.signal, fault.seen.value) == ("RIO-301.ai_0", 0.0)


def test_the_level_is_filtered_and_the_filter_begins_anew_after_an_outage() -> None:
    station = TakeOff()
    station.run(5.0)
    station.milliamps["RIO-301.ai_0"] = 20.0
    station.run(2.0)
    after_one_time_constant = station.reading("LT-301.level").value
    assert after_one_time_constant == pytest.approx(2.5 + 2.5 * (1 - 2.718281828**-1), abs=0.07)
    station.reasons["RIO-301.ai_0"] = Reason.NO_COMMUNICATION
    station.run(1.0)
    assert station.reading("LT-301.level").reason is Reason.NO_COMMUNICATION
    del station.reasons["RIO-301.ai_0"]
    station.scan()
    assert station.reading("LT-301.level").value == pytest.approx(5.0)


def test_one_probe_that_lies_does_not_stop_the_water_but_is_an_alarm() -> None:
    station = TakeOff()
    station.run(20.0)
    station.turbidity["AIT-302.turbidity"] = 12.0
    station.scan()
    assert station.reading("AIT-302.turbidity").reason is Reason.JUMPED
    assert "AIT-302.turbidity.signal-jumped" in station.alarms
    station.run(66.0)
    assert station.trip() is None
    assert station.reading("AIT-300.turbidity").value == pytest.approx(2.0, abs=0.01)
    assert station.output("FV-301") != 0.0
    assert "AIT-300.turbidity.vote-disagrees" in station.alarms


def test_two_probes_above_the_limit_trip() -> None:
    station = TakeOff()
    station.run(20.0)
    station.turbidity |= {"AIT-301.turbidity": 8.0, "AIT-303.turbidity": 9.0}
    station.run(15.0)
    assert station.trip() is Code.ABOVE_LIMIT
    assert station.output("FV-301") == 0.0


def test_a_step_of_the_water_beyond_the_instant_limit_trips_at_once_though_it_is_doubted() -> None:
    station = TakeOff()
    station.run(20.0)
    station.turbidity |= dict.fromkeys(PROBES, 60.0)
    station.run(0.2)
    assert station.reading("AIT-301.turbidity").reason is Reason.JUMPED
    assert station.trip() is Code.ABOVE_INSTANT


def test_a_lost_probe_counts_as_one_that_is_beyond_the_limit() -> None:
    station = TakeOff()
    station.run(20.0)
    station.reasons["AIT-301.turbidity"] = Reason.NO_COMMUNICATION
    station.run(70.0)
    assert station.trip() is None
    assert "AIT-300.turbidity.vote-short" in station.alarms
    station.turbidity["AIT-302.turbidity"] = 8.0
    station.run(15.0)
    assert station.trip() is Code.ABOVE_LIMIT


def test_two_lost_probes_leave_the_water_unknown_and_it_stops_without_a_trip() -> None:
    station = TakeOff()
    station.run(20.0)
    station.silent |= {"AIT-301", "AIT-302"}
    station.run(20.0)
    assert station.reading("AIT-300.turbidity").reason is Reason.STALE
    assert station.output("FV-301") == 0.0
    assert station.trip() is None


def test_a_probe_under_maintenance_is_marked_and_the_other_two_decide() -> None:
    station = TakeOff()
    station.run(20.0)
    station.marks = {"RIO-302.hs_302": True}
    station.turbidity["AIT-302.turbidity"] = 0.3
    station.run(5.0)
    assert station.reading("AIT-302.turbidity").reason is Reason.MAINTENANCE
    assert station.reading("AIT-300.turbidity").value == pytest.approx(2.0, abs=0.01)
    assert station.output("FV-301") != 0.0


def test_a_frozen_probe_is_found() -> None:
    station = TakeOff()
    index = station.program.signal_names.index("AIT-301.turbidity")
    state, now = station.state.conditioned, station.now
    for second in range(0, 1900, 100):
        now = Instant(station.mono + second, station.now.utc + second)
        image = list(station.image)
        image[index] = Sample(2.5, Quality.GOOD, Reason.OK, now.mono)
        for name in ("RIO-302.hs_301", "AIT-302.turbidity", "AIT-303.turbidity"):
            at = station.program.signal_names.index(name)
            image[at] = Sample(False if "hs" in name else 2.0 + second * 1e-6, Quality.GOOD, Reason.OK, now.mono)
        state, used = condition(station.program, state, tuple(image), now)
        assert used[index].reason is (Reason.FROZEN if second >= 1800 else Reason.OK)


def test_what_a_guarded_measurement_is_calculated_from_is_critical() -> None:
    assert {"AIT-300.turbidity", *PROBES} <= protecting_signals(LOADED.site)
    critical = {signal.name for signal in LOADED.signals.signals if signal.critical}
    of_the_interlock = {"PT-301.pressure", "RIO-301.ai_1"}
    assert critical == {"AIT-300.turbidity", *PROBES} | of_the_interlock


def test_a_scan_in_which_nothing_changed_keeps_every_state_object() -> None:
    station = TakeOff()
    station.run(2.0)
    image, now = tuple(station.image), station.now
    first, used = condition(station.program, station.state.conditioned, image, now)
    second, again = condition(station.program, first, image, Instant(now.mono + 0.1, now.utc + 0.1))
    assert second is first
    assert all(a is b for a, b in zip(used, again, strict=True))


def test_blocks_stand_in_the_order_in_which_they_rest_on_each_other() -> None:
    program = compile_site(LOADED)
    done: set[int] = set()
    own = {block.index for block in program.conditioned}
    for block in program.conditioned:
        assert {index for index in block.inputs if index in own and index != block.index} <= done
        done.add(block.index)
    assert len(done) == 7


def test_a_thousand_conditioned_signals_cost_well_below_a_millisecond_while_nothing_changes() -> None:
    scale = Scale(0.004, 0.02, 0.0, 6.0, False, 0.0, True)
    program = compile_site(LOADED)
    blocks = tuple(
        Conditioned(1000 + i, f"LT-{i}.level", "m", (i,), 1, (f"RIO.ai_{i}",), "A", scale, None, None, 2.0)
        for i in range(1000)
    )
    program = replace(program, conditioned=blocks, stale_after=(10.0,) * 2000)
    image = tuple(Sample(0.01, Quality.GOOD, Reason.OK, 1.0) for _ in range(2000))
    state, _ = condition(program, (UNREAD,) * 1000, image, Instant(1.0, 1.0))
    took = []
    for _ in range(30):
        began = time.process_time()
        after, _ = condition(program, state, image, Instant(1.1, 1.1))
        took.append(time.process_time() - began)
        assert after is state
    assert min(took) < 1e-3


reasons = st.sampled_from(
    [Reason.OK, Reason.OK, Reason.OK, Reason.STALE, Reason.OVER_RANGE, Reason.NO_COMMUNICATION, Reason.MAINTENANCE]
)
three = st.tuples(*[st.tuples(reasons, st.sampled_from([0.004, 0.012, 0.0202, 0.03]))] * 3)


@settings(max_examples=80)
@given(st.lists(three, min_size=1, max_size=6), st.integers(1, 3))
def test_nothing_invents_a_good_value_over_any_course_of_qualities(
    course: list[tuple[tuple[Reason, float], ...]], needed: int
) -> None:
    vote = Vote("V.level", ("L0.level", "L1.level", "L2.level"), "m", needed, "low", 0.5, 1.0, False)
    scale = Scale(0.004, 0.02, 0.0, 6.0, False, 0.0, True)
    blocks = (
        *(Conditioned(3 + i, f"L{i}.level", "m", (i,), 1, (f"R.ai_{i}",), "A", scale, filter=2.0) for i in range(3)),
        Conditioned(6, "V.level", "m", (3, 4, 5), 3, ("L0.level", "L1.level", "L2.level"), "m", vote=vote),
    )
    states = [UNREAD] * 4
    for at, readings in enumerate(course, 1):
        image = [
            Sample(None if quality_of(why) is Quality.BAD else amps, quality_of(why), why, float(at))
            for why, amps in readings
        ] + [Sample(None, Quality.BAD, Reason.NOT_YET_READ, 0.0)] * 4
        for place, block in enumerate(blocks):
            states[place] = block.step(states[place], image, Instant(at, at))
            image[block.index] = states[place].output
        for i in range(3):
            assert image[3 + i].quality >= image[i].quality
            assert not image[3 + i].good or 0.0038 <= readings[i][1] <= 0.0205
        good = sum(sample.good for sample in image[3:6])
        assert image[6].good is (3 - good < needed)
        if image[6].good:
            assert image[6].value in [sample.value for sample in image[3:6] if sample.good]


def test_a_vote_moves_on_with_its_newest_reading_though_it_is_as_old_as_its_oldest() -> None:
    vote = Vote("V.turbidity", ("A.t", "B.t"), "NTU", 1, "high", 5.0, 30.0, False)
    judgement = Judgement("V.turbidity", "NTU", max_rate=1.0)
    block = Conditioned(2, "V.turbidity", "NTU", (0, 1), 2, ("A.t", "B.t"), "NTU", None, vote, judgement)
    state = UNREAD
    slow = Sample(1.0, Quality.GOOD, Reason.OK, 0.0)
    for second in range(10):
        quick = Sample(2.0 + 0.5 * second, Quality.GOOD, Reason.OK, float(second))
        state = block.step(state, (quick, slow, NOT_YET_READ), Instant(float(second), 0.0))
        assert state.output.good
        assert (state.output.value, state.output.received) == (quick.value, 0.0)
