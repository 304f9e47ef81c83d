"""The supply account of a continuous dispenser: what was served since when, closed each hour and at each stop."""

from dataclasses import dataclass, replace
from typing import Any, Final

from control.event import Event, Kind
from control.instant import Instant
from control.receipt import ReceiptFacts, time_quality

PERIOD_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Account:
    """``served_m3`` since the totaliser read ``start_m3``, at ``since_at`` (monotonic), ``since_utc``."""

    served_m3: float = 0.0
    start_m3: float | None = None
    since_at: float | None = None
    since_utc: float = 0.0


NEVER_OPEN: Final = Account()


def begun(account: Account, now: Instant) -> Account:
    """The account as supply begins; one that is still open goes on (a stop shorter than the valve's travel)."""
    open_ = account.served_m3 > 0
    return replace(
        account,
        since_at=account.since_at if open_ and account.since_at is not None else now.mono,
        since_utc=account.since_utc if open_ else now.utc,
    )


def due(account: Account, now: Instant) -> bool:
    """True once the account has been open for its period."""
    return account.since_at is not None and now.mono - account.since_at >= PERIOD_S


def closed(
    account: Account, facts: ReceiptFacts, total_m3: float | None, more: dict[str, Any], now: Instant
) -> tuple[Account, Event]:
    """A new account from ``total_m3`` on, and the record of the one before."""
    body = {
        "use": facts.use,
        "served_m3": round(account.served_m3, 6),
        "meter": facts.meter,
        "total_start_m3": account.start_m3,
        "total_end_m3": total_m3,
        "from_utc": account.since_utc,
        "to_utc": now.utc,
        "time_quality": time_quality(now),
        "config_version": facts.config_version,
        **more,
    }
    return Account(0.0, total_m3, now.mono, now.utc), Event(Kind.RECEIPT, "served", facts.tag, body)
