"""What the controller tells of the allocation, as data."""

from math import isfinite
from typing import Any

from control.cause import chain, sentence
from control.program import Program
from control.state import ScanState


def allocation_report(program: Program, state: ScanState) -> dict[str, Any]:
    """What is available and divided, and what each off-take wants and gets, in the order of the site file."""
    settings, now = program.allocation, state.allocation
    if settings is None or now is None:
        return {"available_m3h": None, "divided_m3h": None, "off_takes": []}
    made = settings.production_m3h if settings.production is None else now.production_m3h
    return {
        "production_m3h": made,
        "production": settings.production_name or None,
        "level_m": now.level_m if settings.level is not None else None,
        "level": settings.level_name or None,
        "empty_m": settings.empty_m,
        "full_m": settings.full_m,
        "from_storage_m3h": settings.from_storage_m3h,
        "available_m3h": round(now.available_m3h, 3) if now.available_m3h is not None else None,
        "divided_m3h": round(now.divided_m3h, 3),
        "granted_m3h": round(sum(grant.flow_m3h for grant in now.grants), 3),
        "shortage": [sentence(cause) for cause in chain(now.shortage)] if now.shortage is not None else None,
        "off_takes": [
            {
                "off_take": off_take.tag,
                "priority": off_take.priority,
                "minimum_m3h": off_take.minimum_m3h,
                "share": off_take.share,
                "wants_m3h": want.flow_m3h if isfinite(want.flow_m3h) else None,
                "gets_m3h": round(grant.flow_m3h, 3),
                "standing": str(grant.standing),
                "may_begin": grant.may_begin if want.would_take_m3h > 0 else None,
                "why": [sentence(cause) for cause in chain(grant.why)] if grant.why is not None else None,
            }
            for off_take, want, grant in zip(settings.off_takes, now.wants or (), now.grants, strict=False)
        ],
    }
