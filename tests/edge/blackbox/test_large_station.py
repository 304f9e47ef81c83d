"""A station with loops, filters, interlocks and pipes: its scans replay, and their work grows with it and no faster."""

from pathlib import Path

import pytest

from edge.blackbox.box import save_file
from edge.blackbox.file import header
from edge.blackbox.replay import replay
from edge.blackbox.ring import Ring
from tests.bench.scan import Station


def test_its_scans_come_out_the_same_to_the_last_bit(tmp_path: Path) -> None:
    station, ring = Station(2), Ring(600.0, 1_000_000)
    station.watch = ring.note
    station.warm_up()
    path = tmp_path / "a.pbb"
    save_file(path, {**header(station.loaded), "why": {}}, ring.spans(), keep=1)
    report = replay(path)
    assert report.identical
    assert report.damaged is None
    assert report.scans > 300


def test_the_work_of_a_scan_grows_with_the_station_and_no_faster() -> None:
    each = []
    for points in (2, 8):
        station = Station(points)
        station.warm_up()
        each.append(station.calls(10) / points)
    assert each[1] == pytest.approx(each[0], rel=0.1)
