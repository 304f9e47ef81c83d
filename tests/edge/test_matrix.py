"""``penstock matrix`` on a screen of 80 columns, and as a sheet."""

import csv
import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from edge.cli import matrix


def _answer(columns: int) -> dict[str, Any]:
    tags = [f"FILL-{i:02}" for i in range(columns)]
    return {
        "columns": tags,
        "effects": {"T": "trips", "S": "stops"},
        "rows": [
            {
                "subject": "tank-low",
                "cause": "清水池低液位，" * 12,
                "delay_s": 5.0,
                "effects": dict.fromkeys(tags, "T"),
                "active": True,
            },
            {
                "subject": "FILL-01.turbidity",
                "cause": "x",
                "delay_s": None,
                "effects": {tags[-1]: "S"},
                "active": False,
            },
        ],
    }


def _shown(monkeypatch: pytest.MonkeyPatch, columns: int) -> list[str]:
    out = io.StringIO()
    monkeypatch.setattr(matrix, "console", Console(width=80, file=out))
    matrix._show(_answer(columns))
    return out.getvalue().splitlines()


def test_wide_characters_stand_in_line_and_nothing_is_wider_than_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _shown(monkeypatch, 3)
    assert {cell_len(line.rstrip()) <= 80 for line in lines} == {True}
    first = next(line for line in lines if "tank-low" in line)
    last = next(line for line in lines if "FILL-01.turbidity" in line)
    # The letters of both rows stand under each other, though one has Chinese before them.
    assert cell_len(first[: first.rindex("T")]) == cell_len(last[: last.rindex("S")])


def test_more_columns_than_fit_go_to_further_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _shown(monkeypatch, 40)
    assert {cell_len(line.rstrip()) <= 80 for line in lines} == {True}
    tables = [line for line in lines if "tank-low" in line]
    assert len(tables) > 1
    assert sum(line.count(" T") for line in tables) == 40


def test_as_a_sheet_every_row_has_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    matrix._write_csv(_answer(3))
    sheet = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert sheet[0] == ["subject", "cause", "delay_s", "active", "FILL-00", "FILL-01", "FILL-02"]
    assert sheet[1][2:] == ["5", "true", "T", "T", "T"]
    assert sheet[2][2:] == ["", "false", "", "", "S"]
