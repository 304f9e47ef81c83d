"""The receipt of a fill holds what shared water notes 3.8 ask for."""

import pytest

from control.fill_phase import Phase
from control.instant import Instant
from tests.control.bench import FillStation, edited


def receipt_of(station: FillStation) -> dict[str, object]:
    station.until(Phase.FULL_FLOW)
    station.values["AIT-101.turbidity"] = 4.5
    station.run(3.0)
    station.values["AIT-101.turbidity"] = 2.0
    station.until(Phase.IDLE)
    body: dict[str, object] = station.events_named("receipt")[-1].body
    return body


def test_it_says_who_and_what_and_how_the_water_flowed() -> None:
    station = FillStation().ready()
    station.order(0.8, "o-7", user="环卫处", use="road-cleaning", expires_utc=station.now.utc + 600)
    body = receipt_of(station)
    assert body["order_id"] == "o-7"
    assert (body["user"], body["vehicle"], body["use"]) == ("环卫处", "晋D12345", "road-cleaning")
    assert body["max_flow_m3h"] == pytest.approx(60.0)
    assert 45.0 < body["mean_flow_m3h"] < 60.0  # type: ignore[operator]
    assert body["by_flow_m3"] == pytest.approx(body["delivered_m3"], abs=0.01)
    assert body["overrides"] == []
    assert isinstance(body["config_version"], str)
    assert len(body["config_version"]) == 12


def test_it_says_of_every_parameter_what_it_was_and_how_that_was_known() -> None:
    station = FillStation().ready()
    station.order(0.8)
    body = receipt_of(station)
    quality = {one["parameter"]: one for one in body["quality"]}  # type: ignore[attr-defined]
    turbidity = quality["turbidity"]
    assert (turbidity["start"], turbidity["lowest"], turbidity["highest"], turbidity["end"]) == (2.5, 2.0, 4.5, 2.0)
    assert turbidity["source"] == "AIT-101.turbidity"
    assert turbidity["limit"] == "8 NTU"
    assert turbidity["limit_status"] in ("verified", "unverified")
    assert turbidity["limit_origin"]
    assert (turbidity["start_flag"], turbidity["end_flag"], turbidity["worst_verdict"]) == ("N", "N", "fit")
    cod = quality["cod"]
    assert cod["end_age_s"] > cod["start_age_s"] > 0


@pytest.mark.parametrize(
    ("synchronised", "said"), [(True, "synchronised"), (False, "unsynchronised"), (None, "unknown")]
)
def test_it_says_how_far_its_times_may_be_trusted(synchronised: bool | None, said: str) -> None:
    class Clocked(FillStation):
        @property
        def now(self) -> Instant:
            return Instant(self.mono, self.utc_offset + self.mono, synchronised)

    station = Clocked().ready()
    station.order(0.3)
    assert receipt_of(station)["time_quality"] == said


def test_a_comment_makes_no_new_version_of_the_site_file_and_a_setting_does() -> None:
    plain = FillStation()
    same = FillStation(edited("fill-station", ("max_order: 20 m3", "max_order: 20 m3  # as agreed")))
    other = FillStation(edited("fill-station", ("max_order: 20 m3", "max_order: 19 m3")))
    versions = [one.program.dispensers[0].dispenser.facts.config_version for one in (plain, same, other)]
    assert versions[0] == versions[1] != versions[2]


def test_what_is_written_and_is_the_default_makes_no_new_version() -> None:
    plain = FillStation()
    ignores = "    on_unknown: ignore\n"
    same = FillStation(edited("fill-station", (ignores, f"{ignores}    unknown_delay: 5 s\n")))
    versions = [one.program.dispensers[0].dispenser.facts.config_version for one in (plain, same)]
    assert versions[0] == versions[1]
