"""Requests that are commands: what each must say, and the command that the scan is given."""

import math
import time
import uuid
from typing import Any, Final

from config.sample import Value
from config.units import kind_of, quantity
from control.command import Command, Op
from control.override import Forceable
from control.program import Program
from edge.arguments import BadRequest, number, text, whole

OPS: Final = frozenset(Op)
_BOOLS: Final = {"on": True, "open": True, "true": True, "off": False, "closed": False, "close": False, "false": False}
_ENDS: Final = {"open": 100.0, "closed": 0.0, "close": 0.0}


def command_from(request: dict[str, Any], source: str, program: Program) -> Command:
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
        case Op.PERMIT:
            fit = request.get("fit")
            if not isinstance(fit, bool):
                raise BadRequest("'fit' must be true or false")
            if "issued_ms" not in request and not source.startswith("local:"):
                raise BadRequest("'issued_ms' must be a number: a permit without its time of issue is none")
            return Command(
                id=command_id,
                op=op,
                target=f"{text(request, 'dispenser')}.{text(request, 'guard', 'permit')}",
                source=source,
                value=fit,
                duration_s=number(request, "ttl_s", 0.0),
                reason=text(request, "reason", ""),
                issued_utc=number(request, "issued_ms", time.time() * 1000) / 1000,
            )
        case Op.PRE_ACT_RESET:
            return Command(command_id, op, text(request, "dispenser"), source, reason=text(request, "reason", ""))
        case Op.METER_REPLACED:
            reads_m3, reason = number(request, "reads_m3"), text(request, "reason", "")
            return Command(command_id, op, text(request, "dispenser"), source, value=reads_m3, reason=reason)
        case Op.MODE:
            return Command(command_id, op, text(request, "target"), source, value=text(request, "value"))
        case Op.LOOP_SETPOINT | Op.LOOP_OUTPUT:
            return Command(command_id, op, text(request, "target"), source, value=number(request, "value"))
        case Op.TUNE:
            return Command(
                id=command_id,
                op=op,
                target=text(request, "target"),
                source=source,
                value=number(request, "value") if request.get("value") is not None else None,
                count=whole(request, "count", 0),
            )
        case Op.CANCEL | Op.RESET | Op.START:
            return Command(command_id, op, text(request, "dispenser"), source)
        case Op.SHELVE | Op.UNSHELVE | Op.OUT_OF_SERVICE | Op.IN_SERVICE:
            return Command(
                id=command_id,
                op=op,
                target=text(request, "target"),
                source=source,
                duration_s=number(request, "duration_s", 0.0),
                reason=text(request, "reason", ""),
            )
        case Op.PUMP_OUT_OF_SERVICE | Op.PUMP_IN_SERVICE:
            return Command(command_id, op, text(request, "target"), source, reason=text(request, "reason", ""))
        case Op.FORCE | Op.BYPASS:
            return Command(
                id=command_id,
                op=op,
                target=text(request, "target"),
                source=source,
                value=_forced(request, program) if op is Op.FORCE else None,
                duration_s=number(request, "duration_s"),
                reason=text(request, "reason"),
            )
        case Op.SIGN_OFF:
            return Command(command_id, op, text(request, "target"), source, reason=text(request, "reason"))
        case Op.RELEASE | Op.END_BYPASS | Op.ACK | Op.ROTATE | Op.PROOF_TEST:
            return Command(command_id, op, text(request, "target"), source)


def _forced(request: dict[str, Any], program: Program) -> Value:
    """The value to force, as what it is forced on has it; words and quantities are read, what does not fit is left."""
    value, found = request.get("value"), program.overrides.forceable.get(text(request, "target"))
    if isinstance(value, bool) or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    if not isinstance(value, str):
        raise BadRequest("'value' must be a word, a number with its unit, or true or false")
    if found is None or found.kind == "text":
        return text(request, "value")
    if found.kind == "bool":
        return _BOOLS.get(value.strip().lower(), value)
    return _number(value, found, program)


def _number(value: str, found: Forceable, program: Program) -> Value:
    if found.is_output and value.strip().lower() in _ENDS:
        return _ENDS[value.strip().lower()]
    kind = kind_of("%" if found.is_output else program.units[found.place])
    try:
        return quantity(value, kind)
    except ValueError as error:
        raise BadRequest(f"'{value}' is not {error}") from error
