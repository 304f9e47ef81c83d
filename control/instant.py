"""The moment a scan looks at: handed in, never read from a clock here."""

from typing import NamedTuple


class Instant(NamedTuple):
    """``mono``: seconds on the monotonic clock, for every duration. ``utc``: seconds UTC, for records only.

    The UTC clock may step; durations never use it, except to age the first result an analyzer shows after a
    start, when nothing else tells how old it is. ``synchronised``: whether the UTC clock follows a time server;
    ``None``: not known.
    """

    mono: float
    utc: float
    synchronised: bool | None = None
