"""Why something is as it is: a chain from an output down to the value on the wire.

Every demand, refusal, trip and alarm carries a Cause. A Cause is data (a code and its figures), so that the
platform can match on it and a person can read it in their language; ``sentence`` renders it.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from config.sample import Reason, Sample, Value
from control.code import Code
from control.sentences import Language, render


class Seen(NamedTuple):
    """The reading a cause rests on, as it was then: what `why` shows as the value on the wire."""

    signal: str
    value: Value
    unit: str
    reason: str
    utc: float
    source_time: float | None
    raw: str


@dataclass(frozen=True, slots=True)
class Cause:
    """One link of a chain: ``subject`` is the tag or signal it speaks of, ``values`` its figures with units."""

    code: Code
    subject: str
    values: tuple[str, ...] = ()
    because: "Cause | None" = None
    seen: Seen | None = None


def seen(name: str, unit: str, sample: Sample, utc: float) -> Seen:
    """Keeps a reading for a cause."""
    return Seen(name, sample.value, unit, str(sample.reason), utc, sample.source_time, sample.raw.hex(" "))


def sentence(cause: Cause, language: Language = "en") -> str:
    """One cause in words."""
    return render(cause.code, cause.subject, cause.values, language)


def chain(cause: Cause | None) -> list[Cause]:
    """A cause and what it rests on, outermost first."""
    links: list[Cause] = []
    while cause is not None:
        links.append(cause)
        cause = cause.because
    return links


def root(cause: Cause) -> Cause:
    """The first cause: the end of the chain."""
    return chain(cause)[-1]


def to_json(cause: Cause) -> dict[str, Any]:
    """A cause as JSON, with its sentence in both languages."""
    result: dict[str, Any] = {
        "code": str(cause.code),
        "subject": cause.subject,
        "values": list(cause.values),
        "text": sentence(cause),
        "text_zh": sentence(cause, "zh"),
    }
    if cause.seen is not None:
        result["seen"] = cause.seen._asdict()
    if cause.because is not None:
        result["because"] = to_json(cause.because)
    return result


def from_json(data: dict[str, Any]) -> Cause:
    """The inverse of ``to_json``. Raises ``KeyError`` or ``ValueError`` on anything else."""
    because = data.get("because")
    kept = data.get("seen")
    return Cause(
        Code(data["code"]),
        data["subject"],
        tuple(data["values"]),
        from_json(because) if because else None,
        Seen(**kept) if kept else None,
    )


def amount(value: float, unit: str) -> str:
    """A figure for a person: ``12.4 NTU``, ``90 s``, ``1.5 h``."""
    if unit == "s" and value >= 5400:
        return f"{value / 3600:.1f} h"
    # A total has the digits of its display, never an exponent.
    digits = 4 if abs(value) < 1e4 else 10
    return f"{value:.{digits}g} {unit}" if unit else f"{value:.{digits}g}"


def reason_text(sample: Sample) -> str:
    """Why a reading cannot be used, in words."""
    return str(sample.reason).replace("-", " ") if sample.reason is not Reason.OK else "no value"
