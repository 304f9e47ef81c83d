"""The black box of a site: how much of every scan's input is kept, and how many files of it."""

from typing import Annotated

from pydantic import Field

from config.model import FileModel, Seconds


class BlackBox(FileModel):
    """``before`` and ``after``: the time around a trip that goes into its file. ``keep``: files, the oldest goes.

    ``max_samples`` bounds the memory: readings, scans and events that are held together. A station that has more in
    that time keeps a shorter one.
    """

    before: Seconds = 300.0
    after: Seconds = 60.0
    keep: Annotated[int, Field(ge=1, le=10_000)] = 20
    max_samples: Annotated[int, Field(ge=1_000, le=10_000_000)] = 100_000
