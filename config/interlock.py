"""Interlocks and permissives of a site file: what its own conditions stop, and what they must allow first."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.expression import When
from config.model import FileModel, Seconds, Tag
from config.override import Bypassable

Text = Annotated[str, Field(max_length=200)]


class Interlock(FileModel):
    """While ``when`` is true it ``stops`` dispensers, pumps and analog outputs (which take their safe value) and
    ``closes`` valves; and it latches the trip of what it ``trips``: dispensers, which then need a reset by a person.

    ``on_unknown``: what cannot be judged for ``unknown_delay`` counts as true (``act``), or changes nothing
    (``ignore``, with the reason under ``because``). ``text``, ``text_zh``: what it is, for people. ``bypass``: that a
    person may take it out for a time.
    """

    when: When
    trips: tuple[Tag, ...] = ()
    stops: tuple[Tag, ...] = ()
    closes: tuple[Tag, ...] = ()
    on_unknown: Literal["act", "ignore"] = "act"
    because: Text = ""
    unknown_delay: Seconds = 5.0
    priority: Literal["low", "medium", "high", "critical"] = "high"
    text: Text = ""
    text_zh: Text = ""
    bypass: Bypassable | None = None

    @model_validator(mode="after")
    def _does_something(self) -> "Interlock":
        if not (self.trips or self.stops or self.closes):
            raise ValueError("what it trips, stops or closes: a list of tags")
        if self.on_unknown == "ignore" and not self.because.strip():
            raise ValueError("'because': why it may stay as it is when it cannot be judged")
        if self.on_unknown == "act" and self.because:
            raise ValueError("no 'because', unless it says on_unknown: ignore")
        return self


class Permissive(FileModel):
    """Nothing of what it is ``for`` (dispensers, pumps) starts unless ``when`` is true; what runs goes on.

    What cannot be judged is not permitted. ``text``, ``text_zh``: what it is, for people.
    """

    when: When
    for_: Annotated[tuple[Tag, ...], Field(alias="for", min_length=1)]
    text: Text = ""
    text_zh: Text = ""
