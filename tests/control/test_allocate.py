"""The allocation through the scan: what it does to set-points, orders, alarms and answers."""

from math import exp
from pathlib import Path

import pytest
import yaml

from config.errors import ConfigError
from config.load import load_site
from config.sample import Reason
from control.allocation import AllocationState, Standing
from control.cause import chain
from control.code import Code
from control.command import Answer, Op
from control.continuous import ContinuousState
from control.fill import BatchState
from control.why import why
from tests.control.bench import PERIOD_S, Bench

SITE = Path(__file__).parent / "sites" / "allocation.yaml"
LOADED = load_site(SITE)


class Outlets(Bench):
    """Two pipes with a lag of half a second and a fill point of 60 m3/h; the tank stands still."""

    def __init__(self) -> None:
        super().__init__(LOADED)
        self.flows, self.totals, self.fill_position = [0.0, 0.0, 0.0], [10.0, 20.0, 30.0], 0.0
        self.values |= {"IO-1.made": 180.0, "IO-1.level": 3.5, "IO-1.turbidity": 1.0}
        self.plant()

    def plant(self) -> None:
        opens = self.output("XV-3") is True
        self.fill_position = min(max(self.fill_position + (PERIOD_S if opens else -PERIOD_S) / 2.0, 0.0), 1.0)
        shown = [self.output("FV-1"), self.output("FV-2")]
        assert isinstance(shown[0], float)
        assert isinstance(shown[1], float)
        targets = [2.0 * shown[0], 1.5 * shown[1], 60.0 * self.fill_position]
        for i, target in enumerate(targets):
            self.flows[i] += (target - self.flows[i]) * (1 - exp(-PERIOD_S / 0.5)) if i < 2 else target - self.flows[i]
            self.totals[i] += self.flows[i] / 3600 * PERIOD_S
            self.values |= {f"IO-1.flow_{i + 1}": self.flows[i], f"IO-1.total_{i + 1}": self.totals[i]}
        self.values |= {"IO-1.fv_1": shown[0], "IO-1.zt_1": shown[0], "IO-1.fv_2": shown[1], "IO-1.zt_2": shown[1]}
        self.values |= {
            "IO-1.xv_3": opens,
            "IO-1.zso_3": self.fill_position >= 1.0,
            "IO-1.zsc_3": self.fill_position <= 0.0,
        }

    @property
    def allocation(self) -> AllocationState:
        assert self.state.allocation is not None
        return self.state.allocation

    @property
    def granted(self) -> list[float]:
        return [grant.flow_m3h for grant in self.allocation.grants]

    def order(self, volume_m3: float = 0.2, order_id: str = "o-1") -> Answer:
        return self.ask(Op.ORDER, "FILL-1", order_id=order_id, volume_m3=volume_m3, vehicle="")

    def standing(self) -> set[str]:
        return {alarm.id for alarm in self.state.alarms.standing}

    def codes(self, tag: str) -> list[Code]:
        return [cause.code for cause in chain(next(d.cause for d in self.state.outputs if d.tag == tag))]


def test_with_water_for_all_nobody_is_held_back() -> None:
    outlets = Outlets()
    outlets.run(60.0)
    assert outlets.granted[:2] == [120.0, 60.0]
    assert outlets.flows[:2] == pytest.approx([120.0, 60.0], rel=0.03)
    assert outlets.codes("FV-1") == [Code.REGULATING]


def test_a_shortage_caps_the_setpoints_and_says_why() -> None:
    outlets = Outlets()
    outlets.run(60.0)
    outlets.values["IO-1.level"] = 2.0
    outlets.run(60.0)
    assert sum(outlets.granted) <= 140.0
    assert sum(outlets.flows) == pytest.approx(sum(outlets.granted), rel=0.03)
    assert outlets.codes("FV-1") == [
        Code.REGULATING,
        Code.ALLOCATED,
        Code.ALLOCATION_LESS,
        Code.LEVEL_ALLOWS,
    ]


def test_who_cannot_have_its_minimum_is_closed_alarmed_and_recorded() -> None:
    outlets = Outlets()
    outlets.run(60.0)
    outlets.values["IO-1.level"] = 1.5
    outlets.run(60.0)
    assert outlets.allocation.grants[1].standing is Standing.OUT
    assert outlets.output("FV-2") == 0.0
    assert outlets.codes("FV-2") == [Code.NOTHING_ALLOCATED, Code.ALLOCATION_OUT, Code.LEVEL_ALLOWS]
    assert "RIVER.allocation-out" in outlets.standing()
    assert [event.subject for event in outlets.events_named("allocated-nothing")] == ["RIVER"]
    outlets.values["IO-1.level"] = 3.5
    outlets.run(90.0)
    assert outlets.granted[:2] == [120.0, 60.0]
    assert [event.subject for event in outlets.events_named("allocated-again")] == ["RIVER"]
    assert "RIVER.allocation-out" not in outlets.standing()


def test_an_order_is_refused_when_its_flow_cannot_be_granted() -> None:
    outlets = Outlets()
    outlets.run(60.0)
    outlets.values["IO-1.level"] = 1.7
    outlets.run(30.0)
    refusal = outlets.order().refusal
    assert refusal is not None
    assert [cause.code for cause in chain(refusal)] == [Code.ALLOCATION_NO_START, Code.LEVEL_ALLOWS]
    told = why(outlets.program, outlets.state, tuple(outlets.image), "FILL-1", outlets.now)
    assert told is not None
    assert told.state == "idle; may not start"
    assert told.causes[0].code is Code.ALLOCATION_NO_START


def test_a_fill_takes_its_flow_from_the_others_and_keeps_it_to_its_end() -> None:
    outlets = Outlets()
    outlets.values["IO-1.made"] = 100.0
    outlets.run(60.0)
    assert outlets.order().accepted
    assert outlets.granted[2] == 60.0
    assert sum(outlets.granted) <= 200.0
    outlets.run(4.0)
    outlets.values["IO-1.level"] = 1.2
    outlets.run(20.0)
    assert outlets.granted[2] in (0.0, 60.0)
    outlets.run(30.0)
    state = outlets.state.dispensers[2]
    assert isinstance(state, BatchState)
    [receipt] = outlets.events_named("receipt")
    assert receipt.body["complete"]


def test_the_water_of_one_that_may_not_run_goes_to_the_others() -> None:
    outlets = Outlets()
    outlets.values["IO-1.level"] = 2.0
    outlets.run(60.0)
    before = outlets.granted[1]
    assert outlets.ask(Op.SETPOINT, "INDUSTRY", flow_m3h=0.0).accepted
    outlets.run(5.0)
    assert before < 60.0
    assert outlets.granted[:2] == [0.0, 60.0]


def test_an_unknown_level_stops_all_with_an_alarm_and_comes_back_by_itself() -> None:
    outlets = Outlets()
    outlets.run(60.0)
    outlets.reasons["IO-1.level"] = Reason.NO_COMMUNICATION
    outlets.run(9.0)
    assert outlets.granted[:2] == [120.0, 60.0]
    outlets.run(2.0)
    assert outlets.granted == [0.0, 0.0, 0.0]
    assert "allocation.level-unknown" in outlets.standing()
    outlets.reasons.clear()
    outlets.run(120.0)
    assert outlets.granted[:2] == [120.0, 60.0]


def test_a_raised_setpoint_is_never_served_beyond_the_grant() -> None:
    outlets = Outlets()
    outlets.values["IO-1.level"] = 2.0
    outlets.run(60.0)
    outlets.ask(Op.SETPOINT, "RIVER", flow_m3h=100.0)
    for _ in range(50):
        outlets.scan()
        for index in (0, 1):
            state = outlets.state.dispensers[index]
            assert isinstance(state, ContinuousState)
            assert state.told_for is not None
            assert state.told_for[0] <= outlets.granted[index] + 1e-6


@pytest.mark.parametrize(
    ("change", "path", "told"),
    [
        (("production", "IO-1.level"), "allocation.production", "a signal in a unit of flow"),
        (("off_takes", {"INDUSTRI": {"priority": 1}}), "allocation.off_takes.INDUSTRI", "did you mean 'INDUSTRY'?"),
        (("off_takes", {"RIVER": {"priority": 1, "minimum": "120 m3/h"}}), "allocation.off_takes.RIVER.minimum", "100"),
        (("level", {"signal": "IO-1.level", "empty": "3 m", "full": "1 m"}), "allocation.level", "empty below full"),
    ],
)
def test_a_mistake_is_told_where_it_stands(tmp_path: Path, change: tuple[str, object], path: str, told: str) -> None:
    data = yaml.safe_load(SITE.read_text("utf-8"))
    data["allocation"][change[0]] = change[1]
    file = tmp_path / "site.yaml"
    file.write_text(yaml.safe_dump(data), "utf-8")
    with pytest.raises(ConfigError) as raised:
        load_site(file)
    texts = {problem.path: f"{problem.found}; {problem.expected}" for problem in raised.value.problems}
    assert path in texts, texts
    assert told in texts[path]
