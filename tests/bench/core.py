"""The pure parts and the store, in one process: scan, decoding, writing to disk."""

import json
import sqlite3
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml

from config.load import load_site
from config.profile import ModbusProfile
from config.sample import Quality, Reason, Sample
from control.compiler import compile_site
from control.instant import Instant
from control.scan import scan
from control.state import initial_state
from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan
from edge.cli.station import example_site
from edge.store.spool import NewRecord, Spool
from tests.bench.figures import figure, line

BEST_OF = 7
ROWS, ROWS_PER_COMMIT = 20_000, 100


def run() -> None:
    """Measures and prints."""
    print("pure parts and store, in one process", flush=True)
    _scan()
    _decode()
    _large_site()
    _spool()


def _best(work: Callable[[], object], times: int) -> float:
    """Seconds of one call: the best of some series, because the machines are noisy."""
    best = float("inf")
    for _ in range(BEST_OF):
        began = time.perf_counter()
        for _ in range(times):
            work()
        best = min(best, (time.perf_counter() - began) / times)
    return best


def _scan() -> None:
    for name in ("fill-station", "plant-outlet"):
        program = compile_site(load_site(example_site(name)))
        now = Instant(100.0, 1_800_000_000.0)
        image = tuple(Sample(1.0, Quality.GOOD, Reason.OK, 100.0, now.utc) for _ in program.signal_names)
        state = scan(program, initial_state(program), image, (), now).state
        figure(f"scan of {name}", _best(lambda: scan(program, state, image, (), now), 300) * 1e6, "us")  # noqa: B023


def _decode() -> None:
    signals = {f"v{i}": {"table": "holding", "address": i, "type": "uint16", "scale": 0.1} for i in range(100)}
    profile = {"protocol": "modbus", "signals": signals}
    site = {
        "site": {"id": "bench"},
        "links": {"io": {"type": "modbus-tcp", "host": "127.0.0.1"}},
        "devices": {"D": {"link": "io", "unit": 1, "profile": profile}},
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "site.yaml"
        path.write_text(yaml.safe_dump(site), "utf-8")
        loaded = load_site(path)
    compiled = loaded.profiles["D"]
    assert isinstance(compiled, ModbusProfile)
    parameters = Parameters(lambda field, before, now: None)
    [read] = DevicePlan(list(loaded.signals.field), compiled, ZoneInfo("UTC"), parameters).reads
    data = struct.pack(">100H", *range(100))

    def bare() -> list[tuple[int, Sample]]:
        values = struct.unpack(">100H", data)
        return [(i, Sample(value, Quality.GOOD, Reason.OK, 1.0)) for i, value in enumerate(values)]

    ours = _best(lambda: read.decode(data, 1.0), 300) * 1e6
    line("decoding 100 registers into samples", ours, _best(bare, 300) * 1e6, "us")


def _large_site() -> None:
    signals = {f"v{i}": {"table": "holding", "address": i, "type": "uint16"} for i in range(100)}
    site = {
        "site": {"id": "bench"},
        "links": {"io": {"type": "modbus-tcp", "host": "127.0.0.1"}},
        "devices": {
            f"D-{n}": {"link": "io", "unit": n, "profile": {"protocol": "modbus", "signals": signals}}
            for n in range(1, 101)
        },
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "site.yaml"
        path.write_text(json.dumps(site, indent=1), "utf-8")  # no anchors: every map is read on its own
        began = time.perf_counter()
        load_site(path)
        ours = time.perf_counter() - began
        began = time.perf_counter()
        yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        bare = time.perf_counter() - began
    line("loading a site of 10,000 signals", ours, bare, "s")


def _spool() -> None:
    payload = bytes(120)
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory) / "spool.db")
        began = time.perf_counter()
        for _ in range(ROWS // ROWS_PER_COMMIT):
            spool.append(1, [NewRecord("data", "D", 1, payload)] * ROWS_PER_COMMIT)
        ours = ROWS / (time.perf_counter() - began)
        spool.close()
        bare_db = sqlite3.connect(Path(directory) / "bare.db", isolation_level=None)
        bare_db.execute("PRAGMA journal_mode=WAL")
        bare_db.execute("PRAGMA synchronous=NORMAL")
        bare_db.execute("CREATE TABLE record(id INTEGER PRIMARY KEY, time_ms INTEGER, payload BLOB)")
        began = time.perf_counter()
        for _ in range(ROWS // ROWS_PER_COMMIT):
            bare_db.execute("BEGIN")
            bare_db.executemany("INSERT INTO record(time_ms, payload) VALUES(?, ?)", [(1, payload)] * ROWS_PER_COMMIT)
            bare_db.execute("COMMIT")
        bare = ROWS / (time.perf_counter() - began)
        bare_db.close()
    line("rows into the spool", ours, bare, "rows/s", higher_is_better=True)
