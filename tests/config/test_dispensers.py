"""What a site file may not say of a dispenser: each is found, with where, what, and what was expected."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.load import load_site

SITES = Path(__file__).parents[2] / "config" / "sites"
FULL = "    full_flow: 60 m3/h\n"
ARM = "    arm: {overfill: RIO-101.lsh_101}\n"
FILL_QUOTA = "    quota: {daily: 900 m3, yearly: 200000 m3}\n"
CONTROL = "    setpoint: 120 m3/h\n"
PIPE_QUOTA = "    quota: {daily: 4500 m3, yearly: 1200000 m3, at_limit: throttle, throttle: 20 m3/h}\n"


@pytest.mark.parametrize(
    ("site", "old", "new", "path"),
    [
        ("fill-station", FULL, FULL + "    high_flow: 50 m3/h\n", "FILL-1.high_flow"),
        ("fill-station", "low_flow: 12 m3/h", "low_flow: 90 m3/h\n    high_flow: 80 m3/h", "FILL-1.low_flow"),
        ("fill-station", FULL, FULL + "    slow_valve: XV-102\n    slow_start: 5 L\n", "FILL-1.slow_valve"),
        ("fill-station", FULL, FULL + "    slow_valve: XV-101\n    slow_start: 5 L\n", "FILL-1.slow_valve"),
        ("fill-station", FULL, FULL + "    slow_start: 5 L\n", "FILL-1.valve"),
        ("fill-station", ARM, "    arm: {overfill: FIT-101.flow}\n", "FILL-1.arm.overfill"),
        ("fill-station", ARM, "    arm: {hose: RIO-101.hose}\n", "FILL-1.arm.hose"),
        ("fill-station", "rollover: 1000000 m3}", "empty_pipe: FIT-101.flow}", "FILL-1.meter.empty_pipe"),
        ("fill-station", FILL_QUOTA, "    quota: {}\n", "FILL-1.quota"),
        ("fill-station", FILL_QUOTA, "    quota: {daily: 9 m3, at_limit: throttle}\n", "FILL-1.quota.at_limit"),
        ("plant-outlet", PIPE_QUOTA, "    quota: {daily: 9 m3, at_limit: throttle}\n", "INDUSTRY.quota.throttle"),
        ("plant-outlet", PIPE_QUOTA, "    quota: {daily: 9 m3, throttle: 9 m3/h}\n", "INDUSTRY.quota.throttle"),
        ("plant-outlet", CONTROL, "    setpoint: 3 bar\n", "INDUSTRY.setpoint"),
        ("plant-outlet", CONTROL, "    setpoint: 300 m3/h\n", "INDUSTRY.setpoint"),
        ("plant-outlet", CONTROL, CONTROL + "    pressure: PLC-200.level\n", "INDUSTRY.pressure"),
        ("plant-outlet", CONTROL, CONTROL + "    control: pressure\n", "INDUSTRY.pressure"),
        ("plant-outlet", CONTROL, CONTROL + "    ramp_down: 0 m3/h\n", "INDUSTRY.ramp_down"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(site: str, old: str, new: str, path: str, tmp_path: Path) -> None:
    text = (SITES / f"{site}.yaml").read_text(encoding="utf-8")
    assert old in text
    changed = tmp_path / "site.yaml"
    changed.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_site(changed)
    assert f"dispensers.{path}" in {problem.path for problem in error.value.problems}
    assert all(problem.expected for problem in error.value.problems)
