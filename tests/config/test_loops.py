"""What a site file may say of loops, and what each mistake is told."""

from pathlib import Path

import pytest

from config.check.loops import loop_order
from config.errors import ConfigError
from config.load import load_site

SITE = (Path(__file__).parents[1] / "control" / "sites" / "loops.yaml").read_text("utf-8")


def test_loops_are_put_in_the_order_of_their_cascades() -> None:
    order = loop_order(load_site(Path(__file__).parents[1] / "control" / "sites" / "loops.yaml").site)
    assert order.index("LIC-1") < order.index("FIC-1")


@pytest.mark.parametrize(
    ("old", "new", "path", "told"),
    [
        ("pv: IO-1.inflow", "pv: IO-1.inflw", "loops.FIC-1.pv", "did you mean 'inflow'?"),
        ("setpoint: 2 m", "setpoint: 2 m3", "loops.LIC-1.setpoint", "a length"),
        ("setpoint: 2 m", "setpoint: 4 m", "loops.LIC-1.setpoint", "1 to 3 m, the setpoint_range"),
        ("[1 m, 3 m]", "[3 m, 1 m]", "loops.LIC-1.setpoint_range", "a range that rises"),
        ("[0 m3/h, 150 m3/h]", "[0 %, 100 %]", "loops.LIC-1.output_range.0", "a flow"),
        ("[0 m3/h, 150 m3/h]", "[0 m3/h, 300 m3/h]", "loops.LIC-1.output_range", "within 0 to 200 m3/h"),
        ("rate: 10 %", "rate: 10 m", "loops.FIC-1.rate", "a ratio"),
        ("{valve: FV-1}", "{valve: FV-4}", "loops.FIC-1.output", "which INDUSTRY moves"),
        ("{valve: FV-1}", "{valve: FV-2}", "loops.PIC-1.split_range.0", "which FIC-1 moves"),
        ("{valve: FV-1}", "{analog_output: SC-9}", "loops.FIC-1.output.analog_output", "analog output"),
        ("{valve: FV-1}", "{valve: FV-1, loop: LIC-1}", "loops.FIC-1.output", "one of valve, analog_output, loop"),
        ("{valve: FV-1}", "{loop: LIC-1}", "loops.FIC-1.output.loop", "a circle"),
        ("{loop: FIC-1}", "{valve: FV-1}", "loops.FIC-1.mode", "a ratio, or a loop whose output is this one"),
        ("dose: 2 mg/L", "dose: 2 m", "loops.AIC-1.dosing.dose", "a concentration"),
        ("dispenser: INDUSTRY", "dispenser: INDUSTRI", "loops.AIC-1.dispenser", "did you mean 'INDUSTRY'?"),
        ("range: [0 %, 50 %]", "range: [50 %, 0 %]", "loops.PIC-1.split_range.0", "a range that rises"),
        ("amplitude: 10 %", "amplitude: 0 %", "loops.FFC-1.tune.amplitude", "above 0 %"),
        ("band: 10 m3/h", "band: 10 %", "loops.FFC-1.tune.band", "a flow"),
        ("gain: 0.2, integral_time: 4 s", "gain: 0.2, gap: 1 m", "loops.FIC-1.pid.gap", "a flow"),
        ("gain: 0.2, integral_time: 2 s", "gain: 0.2, gap: 0 m3/h", "dispensers.INDUSTRY.pid.gap", "above 0 m3/h"),
        ("gain: 0.2, integral_time: 4 s", "gain: 0, integral_time: 4 s", "loops.FIC-1.pid.gain", "0"),
        ("command: IO-1.ao_1", "command: IO-1.zt_1", "analog_outputs.SC-1.command", "read-only"),
        ("command: IO-1.ao_1", "command: IO-1.fv_1", "analog_outputs.SC-1.command", "an output of its own"),
    ],
)
def test_a_mistake_is_told_where_it_stands(tmp_path: Path, old: str, new: str, path: str, told: str) -> None:
    assert old in SITE
    file = tmp_path / "site.yaml"
    file.write_text(SITE.replace(old, new, 1), "utf-8")
    with pytest.raises(ConfigError) as raised:
        load_site(file)
    texts = {problem.path: f"{problem.found}; {problem.expected}" for problem in raised.value.problems}
    assert path in texts, texts
    assert told in texts[path]
