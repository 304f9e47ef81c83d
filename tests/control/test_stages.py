"""Slow start and slow finish, with a modulating valve or a second valve; and how fast a valve closes."""

from itertools import pairwise

import pytest

from control.fill_phase import Phase
from tests.control.bench import PERIOD_S, FillStation, edited

VALVE = (
    "  XV-101: {type: motor, open_command: RIO-101.xv_101, opened: RIO-101.zso_101, closed: RIO-101.zsc_101, "
    "travel: 4 s}\n"
)
COIL = "        p_101: {table: coil, address: 17, type: bool, writable: true, description: run P-101}\n"
STAGES = "    max_order: 20 m3\n    slow_start: 50 L\n    slow_finish: 100 L\n"


class TwoValves(FillStation):
    """A second valve beside XV-101, through which 9 m3/h flow; both without a pump."""

    def __init__(self) -> None:
        second = VALVE.replace("101", "102").replace("RIO-102", "RIO-101")
        signals = (
            COIL + "        xv_102: {table: coil, address: 18, type: bool, writable: true}\n"
            "        zso_102: {table: discrete, address: 13, type: bool}\n"
            "        zsc_102: {table: discrete, address: 14, type: bool}\n"
        )
        super().__init__(
            edited(
                "fill-station",
                (COIL, signals),
                (VALVE, VALVE + second),
                ("    max_order: 20 m3\n", STAGES + "    slow_valve: XV-102\n"),
                ("    pump: P-101\n", ""),
            )
        )

    def plant(self) -> None:
        if not hasattr(self, "second"):
            self.second = 0.0
        before = self.total_m3
        super().plant()
        step = PERIOD_S / self.travel_s
        self.second = min(max(self.second + (step if self.output("XV-102") else -step), 0.0), 1.0)
        self.flow_m3h = 51.0 * self.position + 9.0 * self.second
        self.total_m3 = before + self.flow_m3h / 3600 * PERIOD_S
        self.values |= {
            "RIO-101.zso_102": self.second >= 1.0,
            "RIO-101.zsc_102": self.second <= 0.0,
            "FIT-101.flow": self.flow_m3h,
            "FIT-101.total": self.total_m3,
        }


def test_two_motor_valves_fill_slowly_fully_and_slowly_again() -> None:
    station = TwoValves()
    station.ready()
    assert station.order(0.6).accepted
    seen: dict[str, tuple[object, object]] = {}
    for _ in range(3000):
        station.scan()
        seen[station.fill.phase] = (station.output("XV-101"), station.output("XV-102"))
        if station.fill.phase is Phase.IDLE:
            break
    assert seen[Phase.SLOW_START] == (False, True)
    assert seen[Phase.FULL_FLOW] == (True, True)
    assert seen[Phase.SLOW_FINISH] == (False, True)
    assert seen[Phase.CLOSING] == seen[Phase.SETTLING] == (False, False)
    # 9 m3/h through a valve of 4 s: 5 L, where one stage of 60 m3/h would leave 33 L.
    assert station.events_named("receipt")[-1].body["overrun_m3"] < 0.006


def test_a_second_valve_that_is_not_proved_closed_lets_no_order_in() -> None:
    station = TwoValves()
    station.ready()
    station.second = 0.5
    station.scan()
    answer = station.order(0.6)
    assert answer.refusal is not None
    assert answer.refusal.code == "valve-unknown"


class Modulating(FillStation):
    """XV-101 as a positioned valve that follows at once, in a pipe where 60 m3/h flow at 100 %."""

    def __init__(self, close_time: str = "0 s") -> None:
        analog = (
            COIL + "        zt_101: {table: holding, address: 40, type: float32, unit: '%'}\n"
            "        zc_101: {table: holding, address: 42, type: float32, unit: '%', writable: true}\n"
        )
        valve = "  XV-101: {type: modulating, position_command: RIO-101.zc_101, position: RIO-101.zt_101, travel: 1 s, "
        super().__init__(
            edited(
                "fill-station",
                (COIL, analog),
                (VALVE, f"{valve}close_time: {close_time}}}\n"),
                ("    max_order: 20 m3\n", STAGES + "    slow_opening: 20 %\n"),
                ("    pump: P-101\n", ""),
            )
        )

    def plant(self) -> None:
        demand = self.output("XV-101")
        assert isinstance(demand, float)
        self.flow_m3h = 0.6 * demand
        self.total_m3 += self.flow_m3h / 3600 * PERIOD_S
        self.values |= {
            "RIO-101.zt_101": demand,
            "RIO-101.zc_101": demand,
            "FIT-101.flow": self.flow_m3h,
            "FIT-101.total": self.total_m3,
        }

    def openings(self, seconds: float) -> list[float]:
        found = []
        for _ in range(round(seconds / PERIOD_S)):
            self.scan()
            value = self.output("XV-101")
            assert isinstance(value, float)
            found.append(value)
        return found


def test_a_modulating_valve_opens_in_part_in_the_slow_stages() -> None:
    station = Modulating()
    station.ready()
    station.order(0.6)
    station.until(Phase.SLOW_START)
    station.scan()
    assert station.output("XV-101") == 20.0
    station.until(Phase.FULL_FLOW)
    assert station.output("XV-101") == 100.0
    station.until(Phase.SLOW_FINISH)
    assert station.output("XV-101") == 20.0
    station.until(Phase.CLOSING)
    assert station.output("XV-101") == 0.0


def test_a_quality_trip_closes_at_the_speed_that_the_pipe_bears() -> None:
    station = Modulating("10 s")
    station.ready()
    station.order(10.0)
    station.until(Phase.FULL_FLOW)
    station.run(2.0)
    station.values["AIT-101.turbidity"] = 16.0
    openings = station.openings(12.0)
    assert station.state.trips[0].latched
    assert openings[0] < 100.0
    assert all(before - after <= 5.0 + 1e-9 for before, after in pairwise([100.0, *openings]))
    assert openings[98] <= 1.0
    assert openings[-1] == 0.0


@pytest.mark.parametrize("close_time", ["0 s", "10 s"])
def test_a_burst_closes_at_once(close_time: str) -> None:
    station = Modulating(close_time)
    station.ready()
    station.order(10.0)
    station.until(Phase.FULL_FLOW)
    station.run(2.0)
    plant = station.plant

    def burst() -> None:
        plant()
        station.values["FIT-101.flow"] = 120.0

    station.plant = burst  # type: ignore[method-assign]
    station.run(3.3)
    assert station.output("XV-101") == 0.0
    assert station.state.trips[0].latched
