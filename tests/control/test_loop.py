"""Loops through the scan: modes, cascades, dosing, split range, what takes an output away, and the auto-tune."""

import json
from dataclasses import replace
from itertools import pairwise
from math import exp
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from config.load import LoadedSite, load_site
from config.sample import Reason, Value
from control.arbitration import Demand, Rank
from control.cause import Cause, chain
from control.code import Code
from control.command import Answer, Command, Op
from control.loop_state import LoopState, Mode
from control.saved import restored, to_saved
from tests.control.bench import PERIOD_S as BENCH_PERIOD_S
from tests.control.bench import Bench

PERIOD_S = 0.5
"""These loops are slow: half a second between scans shows the same and takes a fifth of the time."""
SITE = Path(__file__).parent / "sites" / "loops.yaml"
LOADED: LoadedSite = load_site(SITE)
ACTUATORS = {"FV-1": "fv_1", "FV-2": "fv_2", "FV-3": "fv_3", "FV-4": "fv_4", "SC-1": "ao_1", "SC-2": "ao_2"}


class Plant(Bench):
    """A tank filled through FV-1, an off-take with chlorine dosed into it, a header of two valves, a blend."""

    def __init__(self, loaded: LoadedSite = LOADED) -> None:
        super().__init__(loaded)
        self.inflow = self.chlorine = self.blend = self.blend_pump = self.blend_pipe = 0.0
        self.level, self.outflow, self.demand, self.pressure = 2.0, 0.0, 1.0, 4.0
        self.total = 100.0
        self.values["IO-1.turbidity"] = 1.0
        self.plant()

    def plant(self) -> None:
        for tag, field in ACTUATORS.items():
            shown = self.output(tag)
            self.values[f"IO-1.{field}"] = shown
            if tag.startswith("FV"):
                self.values[f"IO-1.zt_{tag[-1]}"] = shown
        self.inflow += (2.0 * self.percent("FV-1") - self.inflow) * (1 - exp(-PERIOD_S / 3.0))
        self.outflow += (1.5 * self.percent("FV-4") - self.outflow) * (1 - exp(-PERIOD_S / 2.0))
        lag = 1 - exp(-PERIOD_S / 3.0)
        self.blend_pump += (0.4 * self.percent("SC-2") - self.blend_pump) * lag
        self.blend_pipe += (self.blend_pump - self.blend_pipe) * lag
        self.blend += (self.blend_pipe - self.blend) * lag
        self.level += (self.inflow - 60.0) / 3600 * PERIOD_S / 5.0
        self.total += self.outflow / 3600 * PERIOD_S
        dosed = self.percent("SC-1") / 100 * 0.01 * 100_000 / self.outflow if self.outflow > 1 else 0.0
        self.chlorine += (max(dosed - self.demand, 0.0) - self.chlorine) * (1 - exp(-PERIOD_S / 20.0))
        self.values |= {
            "IO-1.level": self.level,
            "IO-1.inflow": self.inflow,
            "IO-1.outflow": self.outflow,
            "IO-1.total": self.total,
            "IO-1.chlorine": self.chlorine,
            "IO-1.pressure": self.pressure,
            "IO-1.blend": self.blend,
        }

    def scan(self, *commands: Command) -> None:
        self.mono += PERIOD_S - BENCH_PERIOD_S
        super().scan(*commands)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / PERIOD_S)):
            self.scan()

    def percent(self, tag: str) -> float:
        value = self.output(tag)
        assert isinstance(value, float)
        return value

    def loop(self, tag: str) -> LoopState:
        return self.state.loops[self.program.loop_index[tag]]

    def code(self, tag: str) -> Code | None:
        limited = self.loop(tag).limited
        return limited.code if limited is not None else None

    def ask_loop(self, op: Op, tag: str, value: Value = None, count: int = 0) -> Answer:
        return self.ask(op, tag, value=value, count=count)

    def take(self, tag: str, value: float) -> None:
        """Somebody of higher rank had the actuator in the scan before."""
        cause = Cause(Code.NOT_USED, tag)
        outputs = tuple(
            Demand(d.tag, d.signal, value, Rank.OVERRIDE, cause) if d.tag == tag else d for d in self.state.outputs
        )
        self.state = replace(self.state, outputs=outputs)


def test_loops_are_stepped_from_the_outer_to_the_inner_one() -> None:
    tags = [unit.loop.tag for unit in Plant().program.loops]
    assert tags.index("LIC-1") < tags.index("FIC-1")


def test_a_cascade_holds_the_level_by_the_flow() -> None:
    plant = Plant()
    plant.level = 1.7
    plant.run(1500.0)
    assert plant.level == pytest.approx(2.0, abs=0.05)
    assert plant.inflow == pytest.approx(60.0, abs=3.0)
    assert plant.loop("FIC-1").setpoint == pytest.approx(plant.loop("LIC-1").output)


def test_an_output_moves_no_faster_than_its_rate() -> None:
    plant, seen = Plant(), []
    plant.level = 1.0
    for _ in range(200):
        plant.scan()
        seen.append(plant.percent("FV-1"))
    assert max(abs(b - a) for a, b in pairwise(seen)) <= 10.0 * PERIOD_S + 1e-9


@pytest.mark.parametrize("mode", ["manual", "auto", "cascade"])
@pytest.mark.parametrize("then", ["manual", "auto", "cascade"])
def test_a_change_of_mode_moves_nothing(mode: str, then: str) -> None:
    plant = Plant()
    plant.run(200.0)
    plant.ask_loop(Op.MODE, "FIC-1", mode)
    plant.run(30.0)
    before = plant.percent("FV-1")
    assert plant.ask_loop(Op.MODE, "FIC-1", then).accepted
    assert plant.loop("FIC-1").chosen.mode == then
    assert plant.percent("FV-1") == pytest.approx(before, abs=0.2)


def test_cascade_to_auto_keeps_the_setpoint_in_force() -> None:
    plant = Plant()
    plant.run(100.0)
    in_force = plant.loop("FIC-1").setpoint
    plant.ask_loop(Op.MODE, "FIC-1", "auto")
    assert plant.loop("FIC-1").chosen.setpoint == pytest.approx(in_force, abs=1.0)
    assert plant.code("LIC-1") is None or plant.loop("LIC-1").limited is not None
    plant.run(600.0)
    assert plant.code("LIC-1") is Code.LOOP_TAKEN
    assert plant.loop("LIC-1").output == plant.loop("FIC-1").setpoint
    before = plant.percent("FV-1")
    plant.ask_loop(Op.MODE, "FIC-1", "cascade")
    assert plant.percent("FV-1") == pytest.approx(before, abs=0.2)


def test_an_inner_loop_that_cannot_follow_does_not_wind_up_the_outer_one() -> None:
    plant = Plant()
    plant.level = 1.2
    plant.run(60.0)
    plant.take("FV-1", 5.0)
    for _ in range(1200):
        plant.scan()
        plant.take("FV-1", 5.0)
    assert plant.code("FIC-1") is Code.LOOP_TAKEN
    assert plant.code("LIC-1") is Code.LOOP_INNER_HELD
    outer = plant.loop("LIC-1")
    error = 2.0 - plant.level
    assert outer.pid.integral == pytest.approx(plant.inflow, abs=0.1 * 60 * error + 5.0)


def test_what_was_taken_away_comes_back_without_a_bump() -> None:
    plant = Plant()
    plant.run(300.0)
    for _ in range(40):
        plant.scan()
        plant.take("FV-1", 42.0)
    assert plant.loop("FIC-1").output == 42.0
    plant.scan()
    assert plant.percent("FV-1") == pytest.approx(42.0, abs=2.0)


def test_an_override_is_tracked_and_released_without_a_bump() -> None:
    plant = Plant()
    plant.run(200.0)
    assert plant.ask(Op.FORCE, "FV-1", value=42.0, duration_s=600.0, reason="test").accepted
    plant.run(60.0)
    assert plant.percent("FV-1") == plant.loop("FIC-1").output == 42.0
    assert plant.code("FIC-1") is Code.LOOP_TAKEN
    assert plant.ask(Op.RELEASE, "FV-1").accepted
    assert plant.percent("FV-1") == pytest.approx(42.0, abs=2.0)


def test_an_override_does_not_dose_where_protect_forbids_the_dispenser() -> None:
    plant = Plant()
    plant.run(100.0)
    plant.ask(Op.FORCE, "SC-1", value=80.0, duration_s=600.0, reason="test")
    plant.scan()
    assert plant.percent("SC-1") == 80.0
    plant.values["IO-1.turbidity"] = 50.0
    plant.scan()
    assert plant.percent("SC-1") == 0.0


@pytest.mark.parametrize("way", ["interlock", "release"])
def test_a_valve_that_no_dispenser_has_closes_no_faster_than_its_pipe_bears_either(way: str, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    more = "{{table: holding, address: {}, type: uint16, scale: 0.1, unit: '%'{}}}"
    signals = f"fv_5: {more.format(32, ', writable: true')}\n        zt_5: {more.format(33, '')}\n        ao_1:"
    valve = "{type: modulating, position_command: IO-1.fv_5, position: IO-1.zt_5, travel: 20 s, close_time: 40 s}"
    text = SITE.read_text("utf-8").replace("ao_1:", signals, 1).replace("valves:\n", f"valves:\n  FV-5: {valve}\n", 1)
    path.write_text(f"{text}\ninterlocks:\n  tank-full: {{when: IO-1.level > 5 m, closes: [FV-5]}}\n", "utf-8")
    plant = Plant(load_site(path))
    plant.run(5.0)
    assert plant.ask(Op.FORCE, "FV-5", value=80.0, duration_s=600.0, reason="flushing").accepted
    plant.run(5.0)
    assert plant.percent("FV-5") == 80.0
    if way == "release":
        plant.ask(Op.RELEASE, "FV-5")
    else:
        plant.level = 6.0
    openings = [80.0]
    for _ in range(80):
        plant.scan()
        openings.append(plant.percent("FV-5"))
    slowest = 80.0 * 40.0 / 100.0
    assert openings.index(0.0) * PERIOD_S >= slowest - 1.0
    assert max(before - after for before, after in pairwise(openings)) <= 2.5
    assert openings[-1] == 0.0


def test_an_output_by_hand_needs_manual_and_goes_there_at_its_rate() -> None:
    plant = Plant()
    plant.run(10.0)
    refused = plant.ask_loop(Op.LOOP_OUTPUT, "FIC-1", 80.0)
    assert refused.refusal is not None
    assert refused.refusal.code is Code.LOOP_NOT_MANUAL
    plant.ask_loop(Op.MODE, "FIC-1", "manual")
    before = plant.percent("FV-1")
    assert plant.ask_loop(Op.LOOP_OUTPUT, "FIC-1", 80.0).accepted
    assert plant.percent("FV-1") <= before + 10.0 * PERIOD_S + 1e-9
    plant.run(15.0)
    assert plant.percent("FV-1") == 80.0
    demand = next(d for d in plant.state.outputs if d.tag == "FV-1")
    assert demand.cause.values == ("80 %", "local:test")


@pytest.mark.parametrize(
    ("op", "tag", "value", "code"),
    [
        (Op.MODE, "FIC-9", "auto", Code.NO_SUCH_LOOP),
        (Op.MODE, "FIC-1", "fast", Code.LOOP_NO_SUCH_MODE),
        (Op.MODE, "LIC-1", "cascade", Code.LOOP_NO_REMOTE),
        (Op.LOOP_SETPOINT, "FIC-1", 20.0, Code.LOOP_IN_CASCADE),
        (Op.LOOP_SETPOINT, "LIC-1", 3.5, Code.LOOP_VALUE_NOT_ALLOWED),
        (Op.LOOP_SETPOINT, "LIC-1", float("nan"), Code.LOOP_VALUE_NOT_ALLOWED),
        (Op.LOOP_OUTPUT, "LIC-1", 10.0, Code.LOOP_NOT_MANUAL),
        (Op.TUNE, "LIC-1", None, Code.TUNE_NOT_ALLOWED),
        (Op.TUNE, "FFC-1", 11.0, Code.LOOP_VALUE_NOT_ALLOWED),
    ],
)
def test_what_is_not_allowed_is_refused(op: Op, tag: str, value: Value, code: Code) -> None:
    plant = Plant()
    plant.run(60.0)
    before = plant.state.loops
    refusal = plant.ask_loop(op, tag, value).refusal
    assert refusal is not None
    assert refusal.code is code
    assert [one.chosen for one in plant.state.loops] == [one.chosen for one in before]


def test_a_measurement_that_is_not_known_holds_and_then_goes_where_the_site_says() -> None:
    plant = Plant()
    plant.run(300.0)
    before = plant.percent("FV-1")
    plant.reasons["IO-1.inflow"] = Reason.NO_COMMUNICATION
    plant.run(4.5)
    assert plant.percent("FV-1") == before
    assert plant.code("FIC-1") is Code.LOOP_BLIND
    assert "FIC-1.loop-blind" in {alarm.id for alarm in plant.state.alarms.standing}
    plant.run(10.0)
    assert plant.percent("FV-1") == 15.0
    plant.reasons.clear()
    plant.scan()
    assert plant.percent("FV-1") == pytest.approx(15.0, abs=5.0)
    assert "FIC-1.loop-blind" not in {alarm.id for alarm in plant.state.alarms.standing}


def test_a_gap_between_scans_is_not_integrated_over() -> None:
    plant = Plant()
    plant.run(300.0)
    plant.ask_loop(Op.MODE, "FIC-1", "auto")
    plant.ask_loop(Op.LOOP_SETPOINT, "FIC-1", 150.0)
    before = plant.percent("FV-1")
    plant.mono += 3600.0
    plant.scan()
    assert plant.percent("FV-1") == pytest.approx(before, abs=0.01)


# -- dosing ----------------------------------------------------------------------------------------------------------


def dosing() -> Plant:
    plant = Plant()
    plant.run(300.0)
    return plant


def test_dosing_follows_the_flow_and_trims_to_the_residual() -> None:
    plant = dosing()
    assert plant.outflow == pytest.approx(100.0, rel=0.02)
    assert plant.chlorine == pytest.approx(1.0, abs=0.03)
    assert plant.percent("SC-1") == pytest.approx(20.0, rel=0.05)
    plant.demand = 1.3
    plant.run(600.0)
    assert plant.chlorine == pytest.approx(1.0, abs=0.03)
    assert plant.percent("SC-1") == pytest.approx(23.0, rel=0.05)


def test_the_trim_has_limited_authority() -> None:
    plant = dosing()
    plant.demand = 3.0
    plant.run(900.0)
    assert plant.percent("SC-1") == pytest.approx(1.3 * 20.0, rel=0.03)
    assert plant.code("AIC-1") is Code.LOOP_AT_LIMIT
    plant.demand = 1.0
    plant.run(400.0)
    assert plant.chlorine == pytest.approx(1.0, abs=0.05)


def test_a_change_of_flow_changes_the_dose_at_once_and_not_the_trim() -> None:
    plant = dosing()
    trim = plant.loop("AIC-1").pid.output
    plant.outflow = 50.0
    plant.scan()
    assert plant.outflow < 65.0
    assert plant.percent("SC-1") == pytest.approx(0.2 * plant.outflow, rel=0.03)
    assert plant.loop("AIC-1").pid.output == pytest.approx(trim, abs=3.0)


def test_without_a_residual_the_flow_alone_doses_after_a_while() -> None:
    plant = dosing()
    plant.demand = 1.3
    plant.run(600.0)
    plant.reasons["IO-1.chlorine"] = Reason.DEVICE_FAULT
    plant.run(5.0)
    assert plant.percent("SC-1") == pytest.approx(23.0, rel=0.05)
    plant.run(10.0)
    assert plant.percent("SC-1") == pytest.approx(20.0, rel=0.03)


def test_dosing_stops_with_its_dispenser() -> None:
    plant = dosing()
    plant.values["IO-1.turbidity"] = 50.0
    plant.scan()
    assert plant.percent("SC-1") == 0.0
    demand = next(d for d in plant.state.outputs if d.tag == "SC-1")
    assert [cause.code for cause in chain(demand.cause)][:2] == [Code.LOOP_STOPPED, Code.TRIPPED]
    assert plant.code("AIC-1") is Code.LOOP_STOPPED


# -- split range, ratio, feed-forward --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "first", "second"), [(0.0, 100.0, 0.0), (25.0, 50.0, 0.0), (50.0, 0.0, 0.0), (80.0, 0.0, 60.0)]
)
def test_a_split_range_gives_each_actuator_its_part(output: float, first: float, second: float) -> None:
    plant = Plant()
    plant.run(1.0)
    plant.ask_loop(Op.MODE, "PIC-1", "manual")
    plant.ask_loop(Op.LOOP_OUTPUT, "PIC-1", output)
    plant.scan()
    assert (plant.output("FV-2"), plant.output("FV-3")) == pytest.approx((first, second))


def test_direct_action_opens_on_a_rising_measurement() -> None:
    plant = Plant()
    plant.run(5.0)
    before = plant.loop("PIC-1").output
    plant.pressure = 5.0
    plant.run(2.0)
    assert plant.loop("PIC-1").output > before + 5.0


def test_a_ratio_and_a_feed_forward_follow_their_signal() -> None:
    plant = Plant()
    plant.run(600.0)
    assert plant.loop("FFC-1").setpoint == pytest.approx(0.1 * plant.inflow + 1.0, abs=0.1)
    assert plant.blend == pytest.approx(0.1 * plant.inflow + 1.0, abs=0.2)
    wanted = plant.loop("FFC-1").setpoint
    plant.reasons["IO-1.inflow"] = Reason.NO_COMMUNICATION
    plant.scan()
    assert plant.loop("FFC-1").setpoint == wanted


def test_an_analog_output_that_nobody_demands_is_safe() -> None:
    assert Plant().output("SC-2") == 20.0


# -- auto-tune -------------------------------------------------------------------------------------------------------


def test_a_tune_proposes_and_changes_nothing() -> None:
    plant = Plant()
    plant.run(600.0)
    before, settings_before = plant.loop("FFC-1"), plant.program.loops
    assert plant.ask_loop(Op.TUNE, "FFC-1", 5.0, count=3).accepted
    plant.run(1.0)
    assert plant.code("FFC-1") is Code.LOOP_TUNES
    plant.run(200.0)
    [event] = plant.events_named("tuned")
    assert {one["rule"] for one in event.body["proposals"]} >= {"Ziegler-Nichols PI", "Tyreus-Luyben PI"}
    after = plant.loop("FFC-1")
    assert after.tune is None
    assert after.chosen == before.chosen
    assert plant.program.loops is settings_before
    assert after.tuned is not None
    assert after.tuned.cycles == 3
    assert plant.percent("SC-2") == pytest.approx(before.output, abs=1.5)


def test_a_tune_is_given_up_when_the_measurement_is_lost_and_by_hand() -> None:
    plant = Plant()
    plant.run(600.0)
    centre = plant.percent("SC-2")
    plant.ask_loop(Op.TUNE, "FFC-1", 5.0)
    plant.run(20.0)
    plant.reasons["IO-1.blend"] = Reason.FROZEN
    plant.scan()
    [event] = plant.events_named("tune-ended")
    assert event.body["code"] == "loop-blind"
    assert plant.loop("FFC-1").tune is None
    assert plant.percent("SC-2") == pytest.approx(centre, abs=0.5)
    plant.reasons.clear()
    plant.run(200.0)
    plant.ask_loop(Op.TUNE, "FFC-1", 5.0)
    plant.run(20.0)
    assert plant.ask_loop(Op.MODE, "FFC-1", "manual").accepted
    assert plant.loop("FFC-1").tune is None


# -- restart, replay, any order of events ----------------------------------------------------------------------------


def test_mode_setpoint_and_the_last_tune_survive_a_restart_and_an_output_by_hand_does_not() -> None:
    plant = Plant()
    plant.run(600.0)
    plant.ask_loop(Op.TUNE, "FFC-1", 5.0, count=2)
    plant.run(200.0)
    plant.ask_loop(Op.MODE, "FIC-1", "manual")
    plant.ask_loop(Op.LOOP_OUTPUT, "FIC-1", 70.0)
    plant.ask_loop(Op.LOOP_SETPOINT, "LIC-1", 2.5)
    saved = json.loads(json.dumps(to_saved(plant.program, plant.state, plant.now)))
    tuned = plant.loop("FFC-1").tuned
    plant.state = restored(plant.program, saved, plant.now)
    assert plant.loop("FFC-1").tuned == tuned
    assert plant.loop("LIC-1").chosen.setpoint == 2.5
    assert plant.loop("FIC-1").chosen.mode is Mode.MANUAL
    plant.run(5.0)
    assert plant.percent("FV-1") == 0.0


class LoopMachine(RuleBasedStateMachine):
    """A cascade under any order of modes, set-points, lost readings, overrides and gaps."""

    @initialize()
    def begin(self) -> None:
        self.plant = Plant()
        self.plant.run(1.0)
        self.taken = False
        self.gap = False

    def scan(self) -> None:
        before, self.before = self.plant.percent("FV-1"), self.plant.loop("FIC-1")
        self.plant.scan()
        loop = self.plant.loop("FIC-1")
        if (not self.taken and loop.limited is None) or (loop.limited and loop.limited.code is Code.LOOP_AT_LIMIT):
            assert abs(loop.output - before) <= 10.0 * PERIOD_S + 1e-6

    @rule(scans=st.integers(1, 20))
    def run(self, scans: int) -> None:
        for _ in range(scans):
            self.scan()

    @rule(mode=st.sampled_from(["manual", "auto", "cascade"]), tag=st.sampled_from(["FIC-1", "LIC-1"]))
    def choose(self, mode: str, tag: str) -> None:
        before = self.plant.percent("FV-1")
        self.plant.ask_loop(Op.MODE, tag, mode)
        assert abs(self.plant.percent("FV-1") - before) <= 5.0 + 1e-6

    @rule(value=st.floats(-10, 210))
    def setpoint(self, value: float) -> None:
        self.plant.ask_loop(Op.LOOP_SETPOINT, "FIC-1", value)

    @rule(name=st.sampled_from(["inflow", "level"]), lost=st.booleans())
    def reading(self, name: str, lost: bool) -> None:
        self.plant.reasons = {f"IO-1.{name}": Reason.NO_COMMUNICATION} if lost else {}

    @rule(value=st.floats(0, 100))
    def override(self, value: float) -> None:
        self.plant.take("FV-1", value)
        self.plant.scan()
        assert self.plant.loop("FIC-1").output == pytest.approx(value)
        self.scan()

    @precondition(lambda self: not self.taken)
    @rule(seconds=st.floats(2, 1e5))
    def gap_between_scans(self, seconds: float) -> None:
        self.plant.mono += seconds
        self.scan()

    @invariant()
    def bounded(self) -> None:
        if not hasattr(self, "plant"):
            return
        for unit, state in zip(self.plant.program.loops, self.plant.state.loops, strict=True):
            assert unit.loop.low <= state.output <= unit.loop.high
            assert abs(state.pid.integral) < 1e4
        for demand in self.plant.state.outputs:
            assert isinstance(demand.value, float)
            assert 0.0 <= demand.value <= 100.0


LoopMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=15)
TestLoopMachine = LoopMachine.TestCase
