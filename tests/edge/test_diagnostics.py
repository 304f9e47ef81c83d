"""How links and devices do, as readings."""

from collections.abc import Sequence
from pathlib import Path

from config.sample import Reason, Value
from drivers.port import DeviceStatus, LinkStatus
from edge.controller.diagnostics import Diagnostics
from tests.edge.sites import small_site


class _Driver:
    """A link as its driver tells of it."""

    name = "io"

    def __init__(self) -> None:
        self.device = DeviceStatus(online=True)
        self.link = LinkStatus(connected=True, devices={"D-1": self.device})

    def status(self) -> LinkStatus:
        return self.link


def _figures(diagnostics: Diagnostics, names: Sequence[str], now: float) -> dict[str, tuple[Value, Reason]]:
    samples = diagnostics.take(now)
    return {name: (sample.value, sample.reason) for name, sample in zip(names, samples, strict=True)}


def test_how_quick_a_device_was_says_nothing_of_one_that_is_silent(tmp_path: Path) -> None:
    driver = _Driver()
    table = small_site(tmp_path).signals
    diagnostics = Diagnostics(table, [driver], 1.0)  # type: ignore[list-item]
    names = [signal.name for signal in table.diagnostics]
    driver.device.round_trips.extend([0.01, 0.02, 0.03])
    assert _figures(diagnostics, names, 1.0)["D-1.comm_round_trip_p50"] == (0.02, Reason.OK)
    driver.device.online = False
    figures = _figures(diagnostics, names, 2.0)
    assert figures["D-1.comm_round_trip_p50"] == figures["D-1.comm_round_trip_p99"] == (None, Reason.NOT_YET_READ)
    assert figures["D-1.comm_online"] == (False, Reason.OK)


def test_the_load_of_a_bus_is_the_share_of_the_time_since_the_last_look(tmp_path: Path) -> None:
    driver = _Driver()
    table = small_site(tmp_path).signals
    diagnostics = Diagnostics(table, [driver], 10.0)  # type: ignore[list-item]
    names = [signal.name for signal in table.diagnostics]
    assert _figures(diagnostics, names, 100.0)["io.bus_load"] == (None, Reason.NOT_YET_READ)
    driver.link.busy_s = 2.5
    assert not diagnostics.due(109.9)
    assert diagnostics.due(110.0)
    assert _figures(diagnostics, names, 110.0)["io.bus_load"] == (25.0, Reason.OK)
