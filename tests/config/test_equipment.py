"""Equipment in a site file: what cannot be is refused with its place; what hits the pipe is a warning."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.equipment import Pipe
from config.errors import ConfigError
from config.load import load_site
from config.water_hammer import surge, water_hammer

SITE = Path(__file__).parents[1] / "control" / "sites" / "pumps.yaml"
Change = Callable[[dict[str, Any]], object]


def changed(tmp_path: Path, change: Change) -> Path:
    data = yaml.safe_load(SITE.read_text("utf-8"))
    change(data)
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(data), "utf-8")
    return path


def staging(**more: object) -> Change:
    return lambda site: site["pump_groups"]["PG-1"].update(staging={"by": "openings", "up": "120 %", **more})


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        (staging(down="115 %"), "pump_groups.PG-1.staging.down", "does not hunt"),
        (staging(down="100 %", signal="RIO.flow_1"), "pump_groups.PG-1.staging.signal", "no signal"),
        (staging(by="flow", up="50 m3/h", down="40 m3/h"), "pump_groups.PG-1.staging.signal", "signal of the flow"),
        (staging(by="flow", down="100 %", signal="RIO.flow_1"), "pump_groups.PG-1.staging.up", "a flow"),
        (lambda site: site["pump_groups"]["PG-1"].pop("staging"), "pump_groups.PG-1.staging", "by flow, pressure"),
        (lambda site: site["pump_groups"]["PG-1"].update(duty=4), "pump_groups.PG-1.duty", "at most 3"),
        (lambda site: site["pump_groups"]["PG-1"].update(pumps=["P-1", "P-4"]), "pump_groups.PG-1.pumps.1", "a pump"),
        (
            lambda site: site["pump_groups"].update({"PG-2": {"pumps": ["P-3", "P-2"]}}),
            "pump_groups.PG-2.pumps.0",
            "a pump in one group",
        ),
        (lambda site: site["dispensers"]["FILL-1"].update(pump="P-1"), "dispensers.FILL-1.pump", "the group, PG-1"),
        (
            lambda site: site["valves"]["XV-2"].update(close_command="RIO.close_1"),
            "valves.XV-2.close_command",
            "an output of its own",
        ),
        (lambda site: site["valves"]["XV-2"].update(fail="last"), "valves.XV-2", "fail: close"),
        (lambda site: site["valves"]["XV-2"].update(remote="RIO.flow_1"), "valves.XV-2.remote", "a bool signal"),
        (lambda site: site["pumps"]["P-1"]["speed"].update(output="SC-9"), "pumps.P-1.speed.output", "SC-1"),
        (
            lambda site: site["pumps"]["P-1"]["dry_run"]["suction"].update(below="3 NTU"),
            "pumps.P-1.dry_run.suction.below",
            "a level or a pressure",
        ),
        (lambda site: site["pumps"]["P-1"].update(dry_run={}), "pumps.P-1.dry_run", "suction, current or flow"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path: Path, change: Change, path: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_site(changed(tmp_path, change))
    found = {problem.path: problem.expected for problem in caught.value.problems}
    assert path in found, found
    assert expected in found[path]


def test_the_surge_is_that_of_the_notes() -> None:
    """DN100, 60 m3/h, 200 m: a slam of about 21 bar, and 0.85 bar in 10 s (shared water notes 3.5)."""
    pipe = Pipe(length="200 m", diameter="0.1 m")
    slam, slow = surge(pipe, 60.0, 0.2), surge(pipe, 60.0, 10.0)
    assert (slam.fast, slow.fast) == (True, False)
    assert slam.rise == pytest.approx(21.2, abs=0.1)
    assert slow.rise == pytest.approx(0.85, abs=0.01)


def test_a_stroke_that_is_fast_for_its_pipe_is_a_warning(tmp_path: Path) -> None:
    def piped(length: str, **more: str) -> list[str]:
        pipe = {"length": length, "diameter": "100 mm", **more}
        return water_hammer(load_site(changed(tmp_path, lambda site: site["valves"]["XV-1"].update(pipe=pipe))).site)

    assert piped("200 m") == []
    [fast] = piped("3000 m")
    assert "XV-1" in fast
    assert "there and back" in fast
    [hard] = piped("1500 m", max_rise="5 bar")
    assert "the pipe bears 5 bar" in hard
