"""The order: an authorised fill, and what is checked of it before anything else is looked at.

An order is filled at most once, under the use that its dispenser serves, while it is valid, and within the volume that
one vehicle may take. Shared water notes 3.2: reject a replay by the order's id; an order expires.
"""

from dataclasses import dataclass
from typing import Final

from control.cause import Cause, amount
from control.code import Code
from control.command import Command
from control.instant import Instant

SEEN_ORDERS: Final = 1000
"""Order ids remembered, so that none is filled twice: weeks of fills, longer than any order is valid."""
LONGEST_ID: Final = 100


@dataclass(frozen=True, slots=True)
class Order:
    """An authorised fill. ``expires_at``: monotonic seconds until which it may begin, ``None``: for ever.

    After a restart an order only ends, so that its expiry is not saved.
    """

    id: str
    volume_m3: float
    vehicle: str
    source: str
    accepted_utc: float
    user: str = ""
    expires_at: float | None = None


def accepted(command: Command, now: Instant) -> Order:
    """The order of a command that was let through."""
    expires_at = now.mono + command.expires_utc - now.utc if command.expires_utc is not None else None
    return Order(
        id=command.order_id,
        volume_m3=command.volume_m3,
        vehicle=command.vehicle,
        source=command.source,
        accepted_utc=now.utc,
        user=command.user,
        expires_at=expires_at,
    )


def refusal(
    command: Command, tag: str, use: str, max_order_m3: float, seen: tuple[str, ...], now: Instant
) -> Cause | None:
    """Why an order is not valid here, or ``None``."""
    if not 0 < len(command.order_id) <= LONGEST_ID:
        return Cause(Code.ORDER_ID_NOT_ALLOWED, tag, (str(LONGEST_ID),))
    if command.order_id in seen:
        return Cause(Code.ORDER_SEEN, tag, (command.order_id,))
    if command.expires_utc is not None and not command.expires_utc > now.utc:
        return Cause(Code.ORDER_EXPIRED, tag, (command.order_id,))
    if command.use and command.use != use:
        return Cause(Code.USE_NOT_SERVED, tag, (command.use, use))
    if not 0 < command.volume_m3 <= max_order_m3:
        asked, allowed = amount(command.volume_m3, "m3"), amount(max_order_m3, "m3")
        return Cause(Code.VOLUME_NOT_ALLOWED, tag, (asked, allowed))
    return None


def expired(order: Order, tag: str, now: Instant) -> Cause | None:
    """Why an order that has not begun may not begin any more, or ``None``."""
    if order.expires_at is None or now.mono < order.expires_at:
        return None
    return Cause(Code.ORDER_EXPIRED, tag, (order.id,))
