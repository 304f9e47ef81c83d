"""Two controllers in one state directory would both move the valve."""

import errno
import os
from pathlib import Path

import pytest

from config.errors import LinkError, StoreError
from edge.single_instance import single_instance


def test_a_second_one_is_refused_while_the_first_runs_and_welcome_after(tmp_path: Path) -> None:
    with single_instance(tmp_path, "controller"):
        with pytest.raises(LinkError, match="another controller already runs"), single_instance(tmp_path, "controller"):
            pass
        with single_instance(tmp_path, "forwarder"):
            pass
    with single_instance(tmp_path, "controller"):
        pass


def test_those_that_share_it_keep_out_one_that_wants_it_alone(tmp_path: Path) -> None:
    with (
        single_instance(tmp_path, "controller", shared=True),
        single_instance(tmp_path, "controller", shared=True),
        pytest.raises(LinkError, match="a tool has a port open"),
        single_instance(tmp_path, "controller"),
    ):
        pass
    with (
        single_instance(tmp_path, "controller"),
        pytest.raises(LinkError),
        single_instance(tmp_path, "controller", shared=True),
    ):
        pass


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/state"), single_instance(tmp_path / "file" / "state", "controller"):
        pass


def test_who_may_only_look_into_the_directory_can_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with single_instance(tmp_path, "controller"):
        pass
    really_open = os.open

    def as_a_reader(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise PermissionError(errno.EACCES, "Permission denied")
        return really_open(path, flags, mode)

    monkeypatch.setattr(os, "open", as_a_reader)
    with single_instance(tmp_path, "controller", shared=True):
        pass
    with pytest.raises(StoreError, match="Permission denied"), single_instance(tmp_path, "controller"):
        pass
