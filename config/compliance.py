"""Compliance with the standards: what a site file adds to it, and the rules by which a mean counts."""

from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

import yaml
from pydantic import Field

from config.model import FileModel, PositiveSeconds, SignalName

_RULES: Final = Path(__file__).parent / "compliance.yaml"


class Evaluated(FileModel):
    """A parameter that is measured and not guarded: its signal, and the ``interval`` of its results.

    Without an interval it is measured all the time. What is guarded is evaluated in any case.
    """

    signal: SignalName
    interval: PositiveSeconds | None = None


class Share(FileModel):
    """A share that must be there, with how far it was verified."""

    value: Annotated[float, Field(gt=0, le=1)]
    status: Literal["verified", "unverified"]
    source: str


class Rules(FileModel):
    """``hour_share``: of the readings of an hour; ``day_share``: of the hours of a day in which water flowed."""

    hour_share: Share
    day_share: Share


@cache
def rules() -> Rules:
    """The rules that ship with Penstock."""
    return Rules.model_validate(yaml.safe_load(_RULES.read_text("utf-8")))
