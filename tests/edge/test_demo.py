"""The demo tells its whole story unattended, and the READMEs show what it prints."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.cli import exit_codes

ROOT = Path(__file__).parents[2]
LIMIT_S = 240
"""The story takes about a minute; a busy test machine is given more."""


def _shape(text: str) -> list[str]:
    """Lines without the figures, which differ from run to run."""
    return [re.sub(r"\b[0-9a-f]{2}( [0-9a-f]{2})+\b|\d+(\.\d+)?", "#", line.strip()) for line in text.splitlines()]


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_is_broken_off_says_so_and_leaves_no_process_behind(number: signal.Signals) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "edge", "demo", "--once"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("1. "):
            break
    demo.send_signal(number)
    rest, _ = demo.communicate(timeout=LIMIT_S)
    assert demo.returncode == exit_codes.WRONG
    assert "Traceback" not in rest
    assert _ends(demo.pid)


def _ends(group: int) -> bool:
    """True once nothing of a process group runs any more."""
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
