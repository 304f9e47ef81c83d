"""Overrides and bypasses in a site file: what people may force, and what they may take out, for how long."""

from typing import Annotated

from pydantic import Field

from config.model import FileModel, PositiveSeconds


class Overrides(FileModel):
    """What may be forced by hand. ``remote``: also by the platform, else only by a person on site."""

    outputs: bool = True
    signals: bool = True
    longest: PositiveSeconds = 8 * 3600.0
    remote: bool = False


class Bypassable(FileModel):
    """That a protective function may be bypassed by a person on site: at most ``longest`` at a time.

    ``per_day``: how many may begin within 24 h. A function without it may not be bypassed.
    """

    longest: PositiveSeconds
    per_day: Annotated[int, Field(ge=1, le=24)] = 3
