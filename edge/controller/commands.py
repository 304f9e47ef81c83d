"""Requests that are commands: what each must say, and the command that the scan is given."""

import uuid
from typing import Any, Final

from control.command import Command, Op
from edge.arguments import number, text

OPS: Final = frozenset(Op)


def command_from(request: dict[str, Any], source: str) -> Command:
    """The command of a request whose ``op`` is one of ``OPS``. Raises ``BadRequest`` on what is missing or no number.

    A dispenser's commands name it as ``dispenser``; every other names its ``target``.
    """
    op = Op(request["op"])
    command_id = text(request, "command_id", "") or uuid.uuid4().hex
    match op:
        case Op.ORDER:
            return Command(
                id=command_id,
                op=op,
                target=text(request, "dispenser"),
                source=source,
                order_id=text(request, "order_id", "") or f"local-{command_id[:12]}",
                volume_m3=number(request, "volume_m3"),
                vehicle=text(request, "vehicle", ""),
                user=text(request, "user", ""),
                use=text(request, "use", ""),
                expires_utc=number(request, "order_expires_ms") / 1000 if "order_expires_ms" in request else None,
            )
        case Op.SETPOINT:
            target = text(request, "dispenser")
            if "pressure_bar" in request:
                return Command(command_id, op, target, source, value=number(request, "pressure_bar"))
            return Command(command_id, op, target, source, flow_m3h=number(request, "flow_m3h"))
        case Op.QUOTA:
            return Command(
                id=command_id,
                op=op,
                target=text(request, "dispenser"),
                source=source,
                volume_m3=number(request, "volume_m3"),
                value=text(request, "span"),
                reason=text(request, "reason", ""),
            )
        case Op.PRE_ACT_RESET:
            return Command(command_id, op, text(request, "dispenser"), source, reason=text(request, "reason", ""))
        case Op.METER_REPLACED:
            reads_m3, reason = number(request, "reads_m3"), text(request, "reason", "")
            return Command(command_id, op, text(request, "dispenser"), source, value=reads_m3, reason=reason)
        case Op.CANCEL | Op.RESET | Op.START:
            return Command(command_id, op, text(request, "dispenser"), source)
