"""Every error Penstock raises on purpose, as one short tree.

An operating error names the offending thing and what to do about it, and carries a stable code that
the CLI's ``--json`` output and the platform can match on. Programming errors are not in this tree:
they crash loudly.
"""

from dataclasses import dataclass


class PenstockError(Exception):
    """Root of the tree. ``code`` is stable across versions; the text is for people."""

    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a configuration file.

    ``file`` is the path as the user gave it, ``line`` counts from 1 (0: the whole file), ``path`` is the
    dotted way to the value, ``found`` is what stands there and ``expected`` what should.
    """

    file: str
    line: int
    path: str
    found: str
    expected: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        at = f" {self.path}:" if self.path else ""
        return f"{where}:{at} found {self.found}; expected {self.expected}"


class ConfigError(PenstockError):
    """A configuration that cannot be used. Holds every problem found, not only the first."""

    code = "config"

    def __init__(self, problems: list[Problem]) -> None:
        count = len(problems)
        head = f"{count} problem{'s' if count != 1 else ''} in the configuration"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in problems)]))
        self.problems = problems


class LinkError(PenstockError):
    """A bus or session that cannot be opened or has failed."""

    code = "link"


class DeviceError(PenstockError):
    """A device that refused, answered wrongly or did not answer."""

    code = "device"


class CommandRefused(PenstockError):
    """A request that was understood and is not allowed now; the message says why."""

    code = "refused"


class StoreError(PenstockError):
    """A store file that cannot be opened, read or written."""

    code = "store"
