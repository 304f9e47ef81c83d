"""Alarms in a site file: the station's own, and what is said of those that it has anyway.

An entry with ``when`` is an alarm of the site's own; one without changes an alarm that a dispenser, guard, signal,
device or output has by itself, named by its id (``FILL-1.no-flow``; ``penstock alarms --all`` lists them).
"""

from typing import Annotated, Literal

from pydantic import StringConstraints, model_validator

from config.expression import When
from config.model import FileModel, PositiveSeconds, Quantity, Seconds, Tag

AlarmId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$", max_length=200)]
"""``LAH-101`` for one of the site's own; ``<owner>.<name>`` for one that is there anyway."""
AlarmPriority = Literal["critical", "high", "medium", "low", "journal"]


class Alarm(FileModel):
    """Only what is given changes anything; of an alarm of the site's own the rest is as the docs say.

    ``deadband``: how far the signal must come back before the alarm returns, for one comparison with a quantity.
    ``shelve_limit``: the longest time on the shelf. ``suppressed_when``: while this is so, the alarm means nothing.
    ``response``: what the operator does.
    """

    when: When | None = None
    priority: AlarmPriority | None = None
    on_delay: Seconds | None = None
    off_delay: Seconds | None = None
    deadband: Quantity | None = None
    latched: bool | None = None
    shelvable: bool | None = None
    shelve_limit: PositiveSeconds | None = None
    suppressed_when: When | None = None
    group: Tag | None = None
    text: str | None = None
    text_zh: str | None = None
    response: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Alarm":
        if self.priority == "critical" and (self.shelvable or self.shelve_limit is not None):
            raise ValueError("no shelvable and no shelve_limit: a critical alarm is never shelved")
        if self.shelvable is False and self.shelve_limit is not None:
            raise ValueError("no shelve_limit, because the alarm is not shelvable")
        if self.priority == "journal" and self.latched:
            raise ValueError("no latched: what is only recorded waits for nobody")
        if self.deadband is not None and self.when is None:
            raise ValueError("no deadband: only an alarm with 'when' has one")
        return self
