"""The demo tells its whole story unattended, and the READMEs show what it prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

from edge.cli import exit_codes

ROOT = Path(__file__).parents[2]
LIMIT_S = 240
"""The story takes about a minute; a busy test machine is given more."""


def _shape(text: str) -> list[str]:
    """Lines without the figures, which differ from run to run."""
    return [re.sub(r"[0-9a-f]{2}( [0-9a-f]{2})+|\d+(\.\d+)?", "#", line.strip()) for line in text.splitlines()]


def test_it_runs_to_its_end_and_prints_what_the_readmes_show() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge", "demo", "--once"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "COLUMNS": "160"},
    )
    assert done.returncode == exit_codes.DONE, done.stdout + done.stderr
    printed = _shape(done.stdout)
    for line in ("records lost                                 #", "All of it happened."):
        assert line in printed
    for name in ("README.md", "README.zh-CN.md"):
        [shown] = re.findall(r"```text\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
        assert [line for line in _shape(shown) if line not in printed] == []
