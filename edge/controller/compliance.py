"""What ``penstock compliance`` is answered: the running sums and the last verdict of each parameter."""

from typing import Any

from edge.controller.controller import Controller


def compliance_status(controller: Controller) -> dict[str, Any]:
    """Each evaluated parameter with its limit, the hour and the day in hand, and the last hour and day."""
    settings, state = controller.program.compliance, controller.state.compliance
    return {
        "timezone": str(settings.zone),
        "rule_status": settings.rule_status,
        "parameters": [
            {
                "name": one.name,
                "parameter": one.parameter,
                "unit": one.unit,
                "low": one.low,
                "high": one.high,
                "single": one.single,
                "clause": one.clause,
                "averaging": one.averaging,
                "limit_status": one.status,
                "hours": one.hours,
                "running": {
                    "valid": sums.open[-1].valid,
                    "mean": sums.open[-1].total / sums.open[-1].valid if sums.open[-1].valid else None,
                    "volume_m3": round(sums.open[-1].volume_m3, 3),
                }
                if sums.open
                else None,
                "means_of_the_day": len(sums.means),
                "last_hour": dict(sums.last_hour) or None,
                "last_day": dict(sums.last_day) or None,
            }
            for one, sums in zip(settings.evaluated, state.running, strict=True)
        ],
    }
