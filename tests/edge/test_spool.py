"""Records keep their order and identity until they are let go of, and an alias is given once."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import StoreError
from edge.sparkplug import DataType, Metric
from edge.store.database import CorruptStore
from edge.store.spool import NewRecord, Spool


def _rows(count: int, kind: str = "data") -> list[NewRecord]:
    return [NewRecord(kind, "D", 1000 + i, bytes([i % 256])) for i in range(count)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(0, 5)),
            st.tuples(st.just("delete"), st.integers(0, 60)),
            st.tuples(st.just("reopen"), st.integers(0, 1)),
        ),
        max_size=20,
    )
)
def test_sequences_have_no_gap_whatever_is_deleted_or_reopened(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("spool") / "spool.db"
    spool, boot = Spool(path), 1
    kept: list[tuple[int, int]] = []
    last = {1: 0, 2: 0}
    for step, number in steps:
        if step == "append":
            spool.append(boot, _rows(number))
            kept += [(boot, last[boot] + 1 + i) for i in range(number)]
            last[boot] += number
        elif step == "delete":
            ids = [record.id for record in spool.read(0, 1000)][:number]
            assert spool.delete_through(ids[-1] if ids else 0) == len(ids)
            kept = kept[len(ids) :]
        else:
            spool.close()
            spool, boot = Spool(path), max(boot, number + 1)
    assert [(record.boot, record.sequence) for record in spool.read(0, 1000)] == kept
    assert spool.last_sequence(boot) == last[boot]
    assert spool.depth().rows == len(kept)
    spool.close()


def test_an_alias_is_kept_over_a_changed_site_and_never_given_again(tmp_path: Path) -> None:
    flow, total = Metric("D", "flow", DataType.DOUBLE, "m3/h"), Metric("D", "total", DataType.DOUBLE, "m3")
    spool = Spool(tmp_path / "spool.db")
    first = spool.register([flow, total])
    spool.close()
    spool = Spool(tmp_path / "spool.db")
    second = spool.register([Metric("E", "level", DataType.DOUBLE, "m"), flow._replace(unit="L/s")])
    assert second["D", "flow"] == first["D", "flow"]
    assert second["E", "level"] > max(first.values())
    assert spool.metrics()[first["D", "flow"]].unit == "L/s"
    assert spool.metrics()[first["D", "total"]] == total
    spool.close()


def test_reading_goes_on_where_it_left_off(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    spool.append(3, _rows(5))
    first = spool.read(0, 2)
    rest = spool.read(first[-1].id, 10)
    assert [record.sequence for record in (*first, *rest)] == [1, 2, 3, 4, 5]
    assert [record.payload for record in rest] == [bytes([2]), bytes([3]), bytes([4])]
    spool.close()


def test_the_controller_appends_while_the_forwarder_reads_and_deletes(tmp_path: Path) -> None:
    writer, reader = Spool(tmp_path / "spool.db"), Spool(tmp_path / "spool.db")
    seen: list[int] = []
    for round_ in range(5):
        writer.append(1, _rows(10))
        records = reader.read(0, 7)
        seen += [record.sequence for record in records]
        reader.delete_through(records[-1].id)
        assert writer.last_sequence(1) == 10 * (round_ + 1)
    seen += [record.sequence for record in reader.read(0, 100)]
    assert seen == list(range(1, 51))
    writer.close()
    reader.close()


def test_the_birth_death_number_goes_round_at_255(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    assert [spool.next_bdseq() for _ in range(257)] == [*range(256), 0]
    spool.close()


def test_a_failed_append_leaves_nothing_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    spool.append(1, _rows(2))
    broken: list[NewRecord] = [*_rows(1), NewRecord("data", None, 0, b"")]  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        spool.append(1, broken)
    spool.append(1, _rows(1))
    assert [record.sequence for record in spool.read(0, 10)] == [1, 2, 3]
    spool.close()


def test_a_file_that_is_no_database_is_corrupt_and_one_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_bytes(b"not a database, and longer than a header " * 50)
    with pytest.raises(CorruptStore, match=r"spool\.db"):
        Spool(tmp_path / "spool.db")
    with pytest.raises(StoreError, match="cannot be opened"):
        Spool(tmp_path / "none" / "spool.db")
