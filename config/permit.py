"""Quality permits that a plant outlet gives to take-off points downstream."""

from typing import Annotated

from pydantic import Field

from config.model import FileModel, PositiveSeconds, Tag


class Permit(FileModel):
    """Says fit as long as every guard of ``dispensers``, and each of ``guards`` (``RIVER.turbidity``), says so.

    It is renewed each ``interval`` and holds for ``ttl``. When the water is not fit it says so at once; when it is not
    known to be, it is renewed no more.
    """

    dispensers: tuple[Tag, ...] = ()
    guards: tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*\.[a-z][a-z0-9_]*$")], ...] = ()
    interval: PositiveSeconds = 60.0
    ttl: PositiveSeconds = 240.0
