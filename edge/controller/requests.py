"""What the controller answers on its socket. Reads are made from the state as it stands; commands go to the scan."""

import contextlib
import math
import os
import time
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any, Final

from config.errors import CommandRefused
from config.profile import OpcUaSignal
from config.sample import Quality, Reason, Value, hj212_flag
from config.signals import Signal, SignalTable, digits
from control import proof_test
from control.batch import BatchDispenser
from control.bypass import Bypass
from control.cause import chain, sentence, to_json
from control.continuous import ContinuousDispenser, ContinuousState
from control.facts import PERMIT_FACTS, fact_names, facts, permit_facts
from control.fill import BatchState
from control.guard import FastGuard, warnings
from control.matrix import cause_and_effect
from control.matrix import to_json as matrix_json
from control.override import Override
from control.quota import Quota, QuotaState, Span
from control.why import to_json as why_json
from control.why import why
from drivers.modbus.bus import ModbusBus
from drivers.modbus.procedure import Ask
from drivers.modbus.transaction import Result
from drivers.port import WriteResult
from edge.arguments import MAX_TEXT, BadRequest, number, text
from edge.controller import alarms
from edge.controller.allocation import allocation_report
from edge.controller.commands import OPS, command_from
from edge.controller.compliance import compliance_status
from edge.controller.controller import Controller
from edge.controller.equipment import equipment
from edge.controller.explain import problem, status_text, wire
from edge.controller.loops import loops_report
from edge.controller.recorder import metric_name
from edge.field import FIELD_OPS, HAND_SHARE, Bus, Field, link_address
from edge.rpc import refused, user_name
from edge.store.ledger import Ledger

MAX_HISTORY: Final = 1000
"""Events of alarms in one answer."""
MAX_FILLS: Final = 1000
RECORD_S: Final = 2.0
"""How long the disk may take to write down what is done by hand before it is refused."""


class PolledBus:
    """A bus that the controller polls, as a person may use it: between the polls."""

    def __init__(self, bus: ModbusBus) -> None:
        self._bus = bus

    async def ask(self, unit: int, ask: Ask) -> Result:
        return await self._bus.ask(unit, ask)

    async def write(self, signal: Signal, value: Value) -> WriteResult:
        return await self._bus.write(signal.index, value)

    async def write_raw(self, device: str, pdu: bytes) -> WriteResult:
        return await self._bus.write_raw(device, pdu)

    async def act(self, device: str, action: str) -> WriteResult:
        return await self._bus.act(device, action)


class Requests:
    """The handler behind ``edge.rpc.serve``. ``ledger`` is a connection of its own, for reading receipts."""

    def __init__(self, controller: Controller, ledger: Ledger) -> None:
        self._controller = controller
        self._ledger = ledger
        self._began = time.monotonic()
        self._own_user = user_name(os.getuid())
        buses: dict[str, Bus] = {
            driver.name: PolledBus(driver) for driver in controller.drivers if isinstance(driver, ModbusBus)
        }
        self._field = Field(controller.loaded, buses, self._record, self._commanded, HAND_SHARE)

    async def handle(self, request: dict[str, Any], user: str) -> dict[str, Any]:
        """Answers one request; ``user`` is the local user at the other end of the socket."""
        op = request["op"]
        try:
            match op:
                case "ping":
                    return {"ok": True}
                case "status":
                    return {"ok": True, **self._status()}
                case "image":
                    return {"ok": True, **self._image()}
                case "orders":
                    return {"ok": True, "orders": self._orders()}
                case "proof-tests":
                    return {"ok": True, **self._proof_tests()}
                case "overrides":
                    return {"ok": True, "overrides": self._overrides()}
                case "matrix":
                    controller = self._controller
                    sheet = cause_and_effect(controller.program)
                    return {"ok": True, **matrix_json(sheet, controller.state)}
                case "allocation":
                    return {"ok": True, **allocation_report(self._controller.program, self._controller.state)}
                case "loops":
                    return {"ok": True, "loops": self._loops()}
                case "alarms":
                    return self._alarms(request)
                case "why":
                    return self._why(text(request, "name"))
                case "blackbox":
                    return {"ok": True, **self._black_box()}
                case "blackbox-save":
                    return await self._save_black_box(text(request, "reason", ""), user)
                case "receipts" if "since_last_good" in request:
                    return self._since_last_good(text(request, "since_last_good"))
                case "compliance":
                    return {"ok": True, **compliance_status(self._controller)}
                case "receipts":
                    return {"ok": True, "receipts": self._receipts(int(number(request, "limit", 20)))}
                case "refused" if self._is_forwarder(user):
                    return self._note_refused(request)
                case _ if op in OPS:
                    return await self._command(request, user)
                case _ if op in FIELD_OPS:
                    return await self._field.handle(request, user)
                case _:
                    return refused("bad-request", f"no such op '{str(op)[:MAX_TEXT]}'")
        except BadRequest as error:
            return refused("bad-request", str(error))
        except CommandRefused as error:
            return refused(error.code, error.message)

    def _black_box(self) -> dict[str, Any]:
        box = self._controller.black_box
        files = []
        for path in box.files():
            with contextlib.suppress(OSError):
                files.append({"file": str(path), "bytes": path.stat().st_size})
        return {**box.status(self._controller.now()), "files": files}

    async def _save_black_box(self, reason: str, user: str) -> dict[str, Any]:
        now = self._controller.now()
        saved = await self._controller.black_box.save({"asked_by": f"local:{user}", "reason": reason}, now)
        if saved is None:
            return refused("store", "the disk does not take it; see the log of the controller")
        return {"ok": True, "file": str(saved.path), "sha256": saved.sha256, "scans": saved.scans}

    def _is_forwarder(self, user: str) -> bool:
        """The forwarder runs as the same user as the controller; nobody else may speak for the platform."""
        return user == self._own_user

    async def _command(self, request: dict[str, Any], user: str) -> dict[str, Any]:
        source = text(request, "source", "")
        if not (source.startswith("platform:") and self._is_forwarder(user)):
            source = f"local:{user}"
        command = command_from(request, source, self._controller.program)
        answer = await self._controller.ask(command)
        if answer.refusal is None:
            return {"ok": True, "accepted": True, "command_id": command.id, "order_id": command.order_id}
        why_not = "; because ".join(sentence(cause) for cause in chain(answer.refusal))
        return {**refused("refused", why_not), "refusal": to_json(answer.refusal), "command_id": command.id}

    def _status(self) -> dict[str, Any]:
        controller = self._controller
        site = controller.loaded.site
        return {
            "site": site.site.id,
            "name": site.site.name,
            "boot": controller.store.boot,
            "pid": os.getpid(),
            "utc": controller.now().utc,
            "signals": controller.loaded.signals.field_count,
            "links": {driver.name: self._link(driver.name) for driver in controller.drivers},
            "dispensers": {unit.tag: self._dispenser(i) for i, unit in enumerate(controller.program.dispensers)},
            **equipment(controller.program, controller.state, controller.now()),
            "alarms": alarms.shown_alarms(controller.state.alarms, controller.now()),
            "overrides": self._overrides(),
            "permits": {
                permit.name: dict(zip((name for name, _ in PERMIT_FACTS), permit_facts(permit, state), strict=True))
                for permit, state in zip(controller.program.permits, controller.state.permits, strict=True)
                if state.fit is not None
            },
            "scan": {"period_ms": site.scan.period * 1000, **controller.timing.figures()},
            "store": controller.store.status().to_json(),
            "uplink": {"broker": site.uplink.broker, "node": site.uplink.node} if site.uplink else None,
        }

    def _proof_tests(self) -> dict[str, Any]:
        """Every guard with its last proof test, when the next is due, and a result that waits for a signature."""
        program, proof = self._controller.program, self._controller.state.proof
        signed = dict(proof.signed_utc)
        unsigned = {one.guard: proof_test.body(one) for one in proof.unsigned}
        return {
            "running": program.guards[proof.running.guard].name if proof.running is not None else None,
            "guards": [
                {
                    "guard": guard.name,
                    "interval_s": interval,
                    "last_utc": signed.get(guard.name),
                    "due_utc": proof_test.due_utc(proof, guard.name, interval) if interval is not None else None,
                    "overdue": interval is not None
                    and self._controller.now().utc >= proof_test.due_utc(proof, guard.name, interval),
                    "unsigned": unsigned.get(guard.name),
                }
                for guard, interval in zip(program.guards, program.proof_intervals, strict=True)
            ],
        }

    def _overrides(self) -> list[dict[str, Any]]:
        """What people force and what they have taken out, with the time left."""
        state, now = self._controller.state, self._controller.now()
        standing: list[Override | Bypass] = [*state.overrides, *state.bypasses.standing]
        return [
            {
                "target": one.target,
                "kind": "override" if isinstance(one, Override) else "bypass",
                "value": one.value if isinstance(one, Override) else None,
                "by": one.by,
                "reason": one.reason,
                "since_utc": one.since_utc,
                "left_s": round(max(one.ends_at - now.mono, 0.0), 1),
            }
            for one in standing
        ]

    def _link(self, name: str) -> dict[str, Any]:
        status = next(driver.status() for driver in self._controller.drivers if driver.name == name)
        link = self._controller.loaded.site.links[name]
        signals = self._controller.loaded.signals
        load = self._controller.image[signals.index[f"{name}.bus_load"]].number
        if load is None:
            # Until there are figures of a period: since the start.
            load = round(min(100.0 * status.busy_s / max(time.monotonic() - self._began, 1e-3), 100.0), 1)
        told = status.to_json()
        for tag, device in told["devices"].items():
            device["bad_signals"] = bad = self._bad(tag)
            if device["online"] and bad and not device["last_error"]:
                device["last_error"] = self._told_of(bad, len(_of(signals, tag)))
        return {"type": link.type, "address": link_address(link), "bus_load": load, **told}

    def _bad(self, device: str) -> list[str]:
        """The signals of a device that should have a value and have none."""
        return [
            signal.name
            for signal in _of(self._controller.loaded.signals, device)
            if (sample := self._controller.image[signal.index]).quality is Quality.BAD
            and sample.reason not in (Reason.WRITE_ONLY, Reason.NOT_YET_READ)
        ]

    def _told_of(self, names: list[str], of: int) -> str:
        """The first of the signals without a value, and how many there are."""
        signal = self._controller.loaded.signals[names[0]]
        sample = self._controller.image[signal.index]
        what = status_text(sample.raw) if isinstance(signal.definition, OpcUaSignal) else ""
        return f"{len(names)} of {of} signals bad: {signal.field} {what or str(sample.reason)}"

    def _dispenser(self, index: int) -> dict[str, Any]:
        controller = self._controller
        unit, state = controller.program.dispensers[index], controller.state.dispensers[index]
        trip = controller.state.trips[index]
        common: dict[str, Any] = {
            "phase": str(state.phase),
            "use": unit.dispenser.use,
            "tripped": trip.latched,
            "trip": to_json(trip.cause) if trip.cause is not None else None,
            "unattributed_m3": round(state.meter.unattributed_m3 + state.meter.idle_m3, 6),
            "total_m3": state.meter.total_m3,
            "flow_m3h": controller.image[unit.dispenser.flow].number,
            "valve": controller.program.valves[unit.valve].tag,
            "pump": controller.program.pumps[unit.pump].tag if unit.pump is not None else None,
            "pump_group": unit.group.tag if unit.group is not None else None,
            "guards": [self._guard(g) for g in unit.guards],
            "tripped_also": [to_json(cause) for cause in trip.later],
            "concessions": [to_json(one.cause) for one in controller.program.concessions if one.dispenser == unit.tag],
            "quota": self._quota(unit.dispenser.quota, state.quota) if unit.dispenser.quota is not None else None,
        }
        match unit.dispenser, state:
            case BatchDispenser(), BatchState():
                order = state.order
                common |= {
                    "mode": "batch",
                    "order": asdict(order) if order is not None else None,
                    "delivered_m3": round(state.delivered_m3, 6),
                    "because": [sentence(cause) for cause in chain(state.cause)] if order is not None else [],
                    "pre_act": {"learned_from_m3": [round(one, 6) for one in state.overruns_m3]},
                }
            case ContinuousDispenser() as settings, ContinuousState():
                common |= {
                    "mode": "continuous",
                    "control": settings.control,
                    "setpoint": settings.wanted(state),
                    "ramped": round(state.ramped, 3),
                    "setpoint_unit": settings.unit,
                    "opening": round(state.opening, 2),
                    "served_m3": round(state.served_m3, 6),
                }
        return common

    def _quota(self, quota: Quota, state: QuotaState) -> dict[str, Any]:
        return {
            str(span): {"limit_m3": quota.limit_m3(span, state), "used_m3": round(used.used_m3, 6)}
            for span, used in ((Span.DAY, state.day), (Span.YEAR, state.year))
        }

    def _orders(self) -> list[dict[str, Any]]:
        """The orders in hand: how far each is, and what it waits for."""
        found = []
        for index, unit in enumerate(self._controller.program.dispensers):
            told = self._dispenser(index)
            if told["mode"] == "batch" and told["order"] is not None:
                keys = ("phase", "order", "delivered_m3", "flow_m3h", "because")
                found.append({"dispenser": unit.tag, **{key: told[key] for key in keys}})
        return found

    def _guard(self, index: int) -> dict[str, Any]:
        controller = self._controller
        guard, state = controller.program.guards[index], controller.state.guards[index]
        value = state.result_value
        if isinstance(guard, FastGuard):
            value = controller.image[guard.signal].number
        age = controller.now().mono - state.result_at if state.result_at is not None else None
        return {
            "parameter": guard.parameter,
            "signal": guard.signal_name,
            "kind": guard.kind,
            "value": value,
            "unit": guard.unit,
            "low": guard.low,
            "high": guard.high,
            "limit_origin": guard.limit_origin,
            "limit_status": guard.limit_status,
            "verdict": state.verdict.name.lower(),
            "result_age_s": round(age, 1) if age is not None else None,
            "result_lag_s": round(state.result_lag_s, 1) if state.result_at is not None else None,
            "marked": str(state.mark.reason) if state.mark.reason is not None else None,
            "warnings": [to_json(cause) for cause in warnings(state)],
            "cause": to_json(state.cause) if state.cause is not None else None,
        }

    def _image(self) -> dict[str, Any]:
        controller = self._controller
        mono = controller.now().mono
        signals = {
            signal.name: {
                "value": sample.value,
                "unit": signal.unit,
                "kind": signal.kind,
                "link": signal.link,
                "digits": digits(signal),
                "quality": sample.quality.name.lower(),
                "reason": str(sample.reason),
                "flag": hj212_flag(sample.reason),
                "age_s": round(mono - sample.received, 3) if math.isfinite(sample.received) else None,
                "source_time": sample.source_time,
                "metric": metric_name(signal),
            }
            for signal, sample in zip(controller.loaded.signals.signals, controller.image, strict=True)
        }
        devices = {
            tag: {"online": device.online}
            for driver in controller.drivers
            for tag, device in driver.status().devices.items()
        }
        dispensers = {
            unit.tag: dict(zip(fact_names(unit.dispenser), facts(controller.state, i), strict=True))
            for i, unit in enumerate(controller.program.dispensers)
        }
        return {"signals": signals, "devices": devices, "dispensers": dispensers}

    def _loops(self) -> list[dict[str, Any]]:
        controller = self._controller
        return loops_report(controller.program, controller.state, controller.image, controller.now().mono)

    def _alarms(self, request: dict[str, Any]) -> dict[str, Any]:
        """Those that concern the operator; with ``which``: ``silenced``, ``all``, ``history`` or ``figures``."""
        controller, which = self._controller, text(request, "which", "shown")
        annunciator, now = controller.state.alarms, controller.now()
        match which:
            case "shown":
                return {"ok": True, "alarms": alarms.shown_alarms(annunciator, now)}
            case "silenced":
                return {"ok": True, "alarms": alarms.silenced_alarms(annunciator, now)}
            case "all":
                return {"ok": True, "alarms": alarms.all_alarms(controller.program, annunciator, now)}
            case "history":
                limit = int(number(request, "limit", 50))
                return {"ok": True, "history": self._ledger.latest_events("alarm", min(max(limit, 0), MAX_HISTORY))}
            case "figures":
                return {"ok": True, **alarms.figures(annunciator, now)}
            case _:
                return refused("bad-request", "'which' is shown, silenced, all, history or figures")

    def _why(self, name: str) -> dict[str, Any]:
        controller = self._controller
        signals = controller.loaded.signals
        known = signals.index.get(name)
        answer = why(
            controller.program,
            controller.state,
            controller.image,
            name,
            controller.now(),
            digits(signals.signals[known]) if known is not None else 10,
        )
        if answer is None:
            return self._how(name) or refused("unknown-name", self._unknown(name))
        result = why_json(answer)
        names = [cause["seen"]["signal"] for cause in result["causes"] if cause["seen"]] or list(answer.signals)
        for cause in result["causes"]:
            if cause["seen"] and isinstance(signals[cause["seen"]["signal"]].definition, OpcUaSignal):
                cause["seen"]["status"] = status_text(bytes.fromhex(cause["seen"]["raw"]))
        if known is not None:
            names.append(name)
            result["problem"] = self._problem(signals.signals[known])
        return {"ok": True, **result, "wire": self._wires(names)}

    def _how(self, name: str) -> dict[str, Any] | None:
        """How a link or device does, and which of its signals are not good; ``None`` for what is neither."""
        site, signals = self._controller.loaded.site, self._controller.loaded.signals
        if name in site.links:
            status = self._link(name)
            state = "up" if status["connected"] else "DOWN"
            own = [
                signal for tag, device in site.devices.items() if device.link == name for signal in _of(signals, tag)
            ]
        elif name in site.devices:
            link = self._link(site.devices[name].link)
            status = {**link["devices"][name], "link": site.devices[name].link, "address": link["address"]}
            status["unit"] = site.devices[name].unit
            if not status["last_error"] and not link["connected"]:
                status["last_error"] = link["last_error"]
            state = "online" if status["online"] else "OFFLINE"
            own = _of(signals, name)
        else:
            return None
        wrong = [
            {"name": signal.name, **found}
            for signal in own
            if (found := self._problem(signal)) is not None and found["reason"] != Reason.WRITE_ONLY
        ]
        state = f"{state}, {len(own) - len(wrong)} of {len(own)} signals good"
        return {"ok": True, "subject": name, "state": state, "causes": [], "wire": {}, "status": status, "bad": wrong}

    def _unknown(self, name: str) -> str:
        """What may be asked for instead of a name there is none of."""
        controller = self._controller
        site, signals = controller.loaded.site, controller.loaded.signals
        device = name.partition(".")[0]
        if device in site.devices:
            return f"{device} has no such signal; it has {', '.join(one.field for one in _of(signals, device))}"
        measured = [signal.field for signal in signals.measurements if signal.device == device]
        if measured:
            return f"{device} has no such measurement; it has {', '.join(measured)}"
        named = [demand.tag for demand in controller.state.outputs] + list(controller.program.dispenser_index)
        named += [*controller.program.loop_index, *site.devices, *site.links]
        rules = [*controller.program.guard_index, *site.interlocks, *site.permissives]
        close = get_close_matches(name, [*named, *rules, *controller.program.alarms.index], 1)
        example = signals.field[0].name if signals.field else f"{next(iter(site.links), 'link')}.connected"
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        return f"there is no '{name}'{hint}; ask for {', '.join(named)}, or for a signal such as {example}"

    def _problem(self, signal: Signal) -> dict[str, Any] | None:
        controller = self._controller
        link = next((driver.status() for driver in controller.drivers if driver.name == signal.link), None)
        sample = controller.image[signal.index]
        blocks = zip(controller.program.conditioned, controller.state.conditioned, strict=True)
        fault = next((state.fault for block, state in blocks if block.index == signal.index), None)
        return problem(controller.loaded, link, signal, sample, controller.since(signal.index), fault)

    def _wires(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Where each signal comes from, and all that a measurement is calculated from, down to the wire."""
        found: dict[str, dict[str, Any]] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop(0)
            if name in found:
                continue
            signal = self._controller.loaded.signals[name]
            sample = self._controller.image[signal.index]
            told = wire(self._controller.loaded, signal, sample)
            found[name] = {**told, "symbol": signal.unit, "reason": str(sample.reason)}
            waiting += told.get("inputs", [])
        return found

    def _receipts(self, limit: int) -> list[dict[str, Any]]:
        return self._ledger.latest("receipt", min(max(limit, 1), 1000))

    def _since_last_good(self, dispenser: str) -> dict[str, Any]:
        """The fills between the last good reading before the newest trip and that trip."""
        if dispenser not in self._controller.program.dispenser_index:
            return refused("no-such-dispenser", f"there is no dispenser '{dispenser}'")
        trip = self._ledger.newest("event", dispenser, "trip")
        if trip is None:
            return refused("no-trip", f"{dispenser} was never tripped")
        if "last_good_utc" not in trip:
            return refused("no-trip", f"the newest trip of {dispenser} was not of the water: {trip['cause']['text']}")
        tripped_utc = trip["time_ms"] / 1000
        begins = trip["last_good_utc"]
        fills = self._ledger.fills_within(dispenser, begins if begins is not None else 0.0, tripped_utc, MAX_FILLS)
        window = {key: trip[key] for key in ("guard", "last_good_utc", "first_bad_utc")}
        return {"ok": True, **window, "tripped_utc": tripped_utc, "cause": trip["cause"], "receipts": fills}

    async def _record(self, subject: str, body: dict[str, Any]) -> bool:
        """Writes into the ledger what somebody does by hand; false when the disk does not take it in time."""
        store = self._controller.store
        store.put_entry("command", subject, body, int(self._controller.now().utc * 1000))
        return await store.flush(RECORD_S)

    def _commanded(self, tag: str) -> str:
        """What is demanded of a valve or pump just now, and by which rank."""
        demand = next(demand for demand in self._controller.state.outputs if demand.tag == tag)
        value = {True: "on", False: "off"}[demand.value] if isinstance(demand.value, bool) else f"{demand.value} %"
        return f"{value}, demanded by {demand.rank.name.lower().replace('_', ' ')}: {sentence(demand.cause)}"

    def _note_refused(self, request: dict[str, Any]) -> dict[str, Any]:
        """A command from upstream that never reached a scan: recorded like any other."""
        body = {
            "name": "refused-upstream",
            "id": text(request, "command_id", ""),
            "source": text(request, "source", ""),
            "accepted": False,
            "error": text(request, "error", ""),
            "text": text(request, "text", ""),
        }
        self._controller.store.put_entry("command", "uplink", body, int(self._controller.now().utc * 1000))
        return {"ok": True}


def _of(signals: SignalTable, device: str) -> list[Signal]:
    """The field signals of a device."""
    return signals.by_device.get(device, [])
