"""A meter accounts for every litre its register moves by: taken, unattributed, or said to have been no water."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sample import Quality, Reason, Sample, bad
from control.code import Code
from control.instant import Instant
from control.meter import Counted, Meter, MeterState, from_saved, to_saved

ROLLOVER_M3 = 1_000_000.0
METER = Meter("FILL-1", 0, "FIT-101.total", ROLLOVER_M3, 60.0, 2.0)
WITH_FLAG = replace(METER, empty_pipe=1)


def good(value: float | bool, at: float) -> Sample:
    return Sample(value, Quality.GOOD, Reason.OK, at)


class Reading:
    """A meter read once a second."""

    def __init__(self, meter: Meter = METER) -> None:
        self.meter, self.state, self.at = meter, MeterState(), 0.0
        self.taken_m3, self.names, self.alarms = 0.0, list[str](), list[Code]()

    def read(self, total: float | None, *, taken: bool = False, empty: bool = False, later: float = 1.0) -> Counted:
        self.at += later
        sample = bad(Reason.NO_COMMUNICATION, self.at) if total is None else good(total, self.at)
        step = self.meter.step(self.state, (sample, good(empty, self.at)), taken=taken, now=Instant(self.at, self.at))
        self.state = step.state
        self.taken_m3 += step.volume_m3
        self.names += [event.name for event in step.events]
        self.alarms = [cause.code for cause in step.alarms]
        return step

    def restart(self, down_s: float) -> None:
        """The controller ends, and starts again ``down_s`` later by a clock that has not moved."""
        saved = to_saved(self.state, Instant(self.at, self.at))
        self.at += down_s
        self.state = from_saved(saved, Instant(self.at, self.at))


def test_what_passes_is_taken_by_the_dispenser_or_booked_as_unattributed_once_it_has_stopped() -> None:
    meter = Reading()
    meter.read(100.0)
    meter.read(100.5, taken=True)
    meter.read(100.7)
    assert (meter.taken_m3, meter.state.unattributed_m3) == (0.5, 0.0)
    meter.read(100.7, later=3.0)
    assert meter.state.unattributed_m3 == pytest.approx(0.2)
    assert meter.state.counted_m3 == pytest.approx(0.7)
    assert meter.names == ["unattributed"]


def test_a_step_without_news_keeps_the_state_object() -> None:
    meter = Reading()
    meter.read(100.0)
    before = meter.state
    meter.read(100.0, later=0.0)
    assert meter.state is before


def test_a_register_that_rolls_over_goes_on_counting() -> None:
    meter = Reading()
    meter.read(999_999.9)
    meter.read(0.2, taken=True)
    assert meter.taken_m3 == pytest.approx(0.3)
    assert meter.names == []


@pytest.mark.parametrize(("present", "code"), [(12.0, Code.TOTALISER_BACKWARD), (7000.0, Code.TOTALISER_JUMP)])
def test_another_register_is_an_alarm_and_no_water(present: float, code: Code) -> None:
    meter = Reading()
    meter.read(5000.0)
    meter.read(present, taken=True)
    assert meter.alarms == [code]
    assert meter.names == [str(code)]
    meter.read(present + 0.5, taken=True)
    assert meter.taken_m3 == pytest.approx(0.5)
    assert meter.alarms == []


def test_a_register_that_shows_nil_for_a_moment_goes_on_from_where_it_was() -> None:
    meter = Reading()
    meter.read(10.0)
    meter.read(0.0, taken=True)
    assert meter.alarms == [Code.TOTALISER_BACKWARD]
    meter.restart(down_s=0.0)
    meter.read(0.0, taken=True)
    meter.read(10.1, taken=True)
    assert meter.taken_m3 == pytest.approx(0.1)
    assert meter.names == ["totaliser-backward", "totaliser-is-back"]
    meter.read(10.3, taken=True)
    assert meter.taken_m3 == pytest.approx(0.3)


def test_a_register_that_was_reset_counts_from_nil_also_past_what_it_showed() -> None:
    meter = Reading()
    meter.read(0.05)
    meter.read(0.0)
    for total in (0.02, 0.04, 0.06, 0.08):
        meter.read(total, taken=True)
    assert meter.taken_m3 == pytest.approx(0.08)
    meter.read(0.0)
    meter.read(20.0, taken=True, later=1200.0)
    assert meter.taken_m3 == pytest.approx(20.08)
    assert "totaliser-is-back" not in meter.names


def test_a_leak_that_never_stops_is_booked_each_hour() -> None:
    meter = Reading()
    meter.read(100.0)
    for n in range(1, 3701):
        meter.read(100.0 + 0.0001 * n)
    assert meter.names == ["unattributed"]
    assert meter.state.unattributed_m3 == pytest.approx(0.36, abs=0.001)
    assert meter.state.idle_m3 == pytest.approx(0.01, abs=0.001)


def test_what_can_have_flowed_while_the_meter_was_not_read_is_counted() -> None:
    meter = Reading()
    meter.read(5000.0)
    meter.read(None)
    meter.read(5100.0, later=3600.0, taken=True)
    assert meter.taken_m3 == 100.0


def test_what_may_have_passed_while_the_controller_was_down_is_counted() -> None:
    meter = Reading()
    meter.read(5000.0)
    meter.restart(down_s=4 * 3600.0)
    meter.read(5400.0)
    assert meter.state.idle_m3 == 400.0


def test_more_than_can_have_passed_while_the_controller_was_down_is_another_register() -> None:
    meter = Reading()
    meter.read(5000.0)
    meter.restart(down_s=1.0)
    meter.read(55_000.0)
    assert (meter.state.idle_m3, meter.state.unattributed_m3) == (0.0, 0.0)
    assert Code.TOTALISER_JUMP in meter.alarms


def test_a_clock_that_went_back_does_not_tell_how_long_the_controller_was_down() -> None:
    meter = Reading()
    meter.read(5000.0)
    meter.state = from_saved(to_saved(meter.state, Instant(meter.at, 1e9)), Instant(meter.at, 1e9 - 5.0))
    meter.read(5400.0)
    assert meter.state.idle_m3 == 400.0


def test_counts_of_an_empty_pipe_are_no_water_and_an_alarm() -> None:
    meter = Reading(WITH_FLAG)
    meter.read(100.0)
    meter.read(100.4, taken=True, empty=True)
    assert (meter.taken_m3, meter.alarms) == (0.0, [Code.PIPE_EMPTY])
    step = meter.read(100.4, taken=True)
    assert [event.body["ignored_m3"] for event in step.events] == [pytest.approx(0.4)]
    meter.read(100.6, taken=True)
    assert meter.taken_m3 == pytest.approx(0.2)
    assert meter.alarms == []


def test_a_replaced_meter_carries_the_count_over_and_books_no_water() -> None:
    meter = Reading()
    meter.read(5000.0)
    meter.read(5001.0, taken=True)
    meter.read(None)
    image = (bad(Reason.NO_COMMUNICATION, meter.at),)
    assert METER.refusal(meter.state, 12.3, image) is None
    meter.state, event = METER.replaced(meter.state, 12.3, image, "local:li.wei", "worn", Instant(meter.at, 9.0))
    assert (event.body["old_total_m3"], event.body["new_total_m3"], event.body["by"]) == (5001.0, 12.3, "local:li.wei")
    meter.read(12.3)
    meter.read(12.8, taken=True)
    assert meter.taken_m3 == pytest.approx(1.5)
    assert meter.state.counted_m3 == pytest.approx(1.5)
    assert (meter.state.idle_m3, meter.names) == (0.0, [])


def test_a_new_meter_that_sends_counts_from_what_it_sends_not_from_its_rounded_display() -> None:
    state, _ = METER.replaced(MeterState(5000.0), 12.0, (good(12.345, 1.0),), "local:li.wei", "worn", Instant(1, 1))
    assert state.total_m3 == 12.345


@pytest.mark.parametrize(
    ("reads", "sends", "code"),
    [
        (12.3, 5001.0, Code.READING_DIFFERS),
        (-1.0, None, Code.READING_NOT_ALLOWED),
        (ROLLOVER_M3, None, Code.READING_NOT_ALLOWED),
        (float("nan"), 12.0, Code.READING_NOT_ALLOWED),
    ],
)
def test_a_reading_that_cannot_be_the_new_meters_is_refused(reads: float, sends: float | None, code: Code) -> None:
    sample = bad(Reason.NO_COMMUNICATION, 1.0) if sends is None else good(sends, 1.0)
    refusal = METER.refusal(MeterState(5001.0), reads, (sample,))
    assert refusal is not None
    assert refusal.code is code


steps = st.lists(st.tuples(st.floats(0, 20), st.booleans(), st.booleans(), st.booleans()), max_size=30)


@settings(max_examples=60)
@given(st.floats(0, ROLLOVER_M3, exclude_max=True), steps)
def test_every_litre_is_booked_once_over_any_course(start: float, course: list[tuple[float, bool, bool, bool]]) -> None:
    meter, total, moved, air = Reading(WITH_FLAG), start, 0.0, 0.0
    meter.read(total)
    for volume, taken, empty, restart in course:
        total, counted_before = (total + volume) % ROLLOVER_M3, meter.state.counted_m3
        if restart:
            meter.restart(down_s=0.0)
        step = meter.read(total, taken=taken, empty=empty, later=3.0)
        moved += volume
        air += volume if empty else 0.0
        assert step.volume_m3 >= 0.0
        assert meter.state.counted_m3 >= counted_before
    booked = meter.taken_m3 + meter.state.unattributed_m3 + meter.state.idle_m3
    assert booked == pytest.approx(meter.state.counted_m3, abs=1e-6)
    # A step below what rounding of the register hides is made up for by the next one.
    assert booked + air == pytest.approx(moved, abs=1e-6)
