"""What commands print for people: tables and chains, worst first."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from config.load import LoadedSite
from config.signals import wire_place
from config.water_hammer import water_hammer
from control.cause import sentence
from control.compiler.guards import compile_guards
from control.concession import concessions
from control.sentences import Language
from edge.cli.alarms import alarms_table
from edge.cli.link_tables import links_view
from edge.cli.override import overrides_table
from edge.cli.screen import console

FULL_BUS: Final = 0.8
"""Share of a serial line's time from which on its polls leave too little for retries, probes and writes."""
_VERDICT_STYLE = {
    "fit": "green",
    "aging": "yellow",
    "hold": "yellow",
    "unknown": "magenta",
    "breach": "bold red",
}


def site_summary(loaded: LoadedSite) -> dict[str, Any]:
    """What a site file describes, as JSON."""
    site = loaded.site
    return {
        "site": site.site.id,
        "links": {tag: link.type for tag, link in site.links.items()},
        "devices": len(site.devices),
        "signals": loaded.signals.field_count,
        "measurements": {
            signal.name: {"unit": signal.unit, "from": wire_place(signal, 0)} for signal in loaded.signals.measurements
        },
        "dispensers": {
            tag: {
                "mode": dispenser.mode,
                "use": dispenser.use,
                "guards": {
                    guard.parameter: {
                        "kind": guard.kind,
                        "signal": guard.signal_name,
                        "unit": guard.unit,
                        "high": guard.high,
                        "low": guard.low,
                        "origin": guard.limit_origin,
                        "status": guard.limit_status,
                    }
                    for guard in compile_guards(tag, dispenser, loaded)
                },
            }
            for tag, dispenser in site.dispensers.items()
        },
        "warnings": [*full_buses(loaded), *water_hammer(site)],
        "concessions": [sentence(concession.cause) for concession in concessions(loaded)],
    }


def show_site(loaded: LoadedSite) -> None:
    """Prints what a valid site file describes, and what to think about."""
    summary = site_summary(loaded)
    links = ", ".join(f"{tag} ({kind})" for tag, kind in summary["links"].items())
    told = f": site {summary['site']}, {summary['devices']} devices, {summary['signals']} signals"
    console.print(Text.assemble(("valid", "green"), told))
    console.print(f"links: {links}")
    for name, measurement in summary["measurements"].items():
        unit = f" ({measurement['unit']})" if measurement["unit"] else ""
        console.print(f"measurement {name}{unit}: {measurement['from']}", soft_wrap=True)
    for tag, dispenser in summary["dispensers"].items():
        table = Table(title=f"{tag}: {dispenser['mode']}, {dispenser['use']}", title_justify="left", box=None)
        for heading in ("guard", "signal", "low", "high", "limit from", ""):
            table.add_column(heading)
        for name, guard in dispenser["guards"].items():
            unit = guard["unit"]
            style = "" if guard["status"] == "verified" else "yellow"
            table.add_row(
                name,
                guard["signal"],
                _amount(guard["low"], unit),
                _amount(guard["high"], unit),
                guard["origin"],
                Text(guard["status"], style),
            )
        console.print(table)
    for text in summary["concessions"]:
        console.print(f"conceded: {text}", style="yellow", soft_wrap=True)
    for warning in summary["warnings"]:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)


def full_buses(loaded: LoadedSite) -> list[str]:
    """A warning for each serial line whose planned reads take most of its time: what costs most, and what to do."""
    from drivers.modbus.load import serial_loads

    warnings = []
    for load in serial_loads(loaded):
        if load.share <= FULL_BUS:
            continue
        worst = load.devices[0]
        verdict = "it cannot keep up" if load.share > 1 else "there is hardly time for retries and writes"
        warnings.append(
            f"link {load.link}: its polls take about {load.share:.0%} of its time, so {verdict}. {worst.device} costs "
            f"most: {worst.share:.0%} with {worst.requests:.3g} requests a second, the fastest every "
            f"{worst.fastest:g} s. Poll it less often (poll:), raise the baudrate, or put devices on another line"
        )
    return warnings


def show_status(answer: dict[str, Any]) -> None:
    console.print(status_view(answer))


def show_links(answer: dict[str, Any]) -> None:
    """Links and devices alone, with every figure and every error in full."""
    console.print(links_view(answer["links"], full=True), soft_wrap=True)


def status_view(answer: dict[str, Any]) -> RenderableType:
    """The whole station on one screen, worst first."""
    parts: list[RenderableType] = [_head(answer)]
    if answer["alarms"]:
        parts.append(_alarms(answer["alarms"]))
    if answer["overrides"]:
        standing = overrides_table(answer["overrides"])
        parts.append(Panel(standing, title="by hand", title_align="left", border_style="yellow", expand=False))
    parts += [_dispenser(tag, dispenser, answer) for tag, dispenser in answer["dispensers"].items()]
    parts.append(links_view(answer["links"]))
    parts.append(_foot(answer))
    return Group(*parts)


def _head(answer: dict[str, Any]) -> Text:
    clock = datetime.fromtimestamp(answer["utc"]).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    return Text(f"{answer['site']}  {answer['name']}  boot {answer['boot']}  {clock}", "bold")


def _alarms(alarms: list[dict[str, Any]]) -> Panel:
    table = alarms_table(alarms)
    table.show_header = False
    return Panel(table, title=f"alarms: {len(alarms)}", title_align="left", border_style="red", expand=False)


def _dispenser(tag: str, dispenser: dict[str, Any], answer: dict[str, Any]) -> Panel:
    valve = answer["valves"][dispenser["valve"]]
    line = Text()
    line.append("TRIPPED  " if dispenser["tripped"] else "", "bold red")
    line.append(f"{dispenser['phase']}  ", "bold")
    line.append(f"flow {_amount(dispenser['flow_m3h'], 'm3/h')}  total {_amount(dispenser['total_m3'], 'm3', 9)}  ")
    line.append(f"{dispenser['valve']} {valve['position']}")
    if dispenser["pump"] is not None:
        running = answer["pumps"][dispenser["pump"]]["running"]
        line.append(f"  {dispenser['pump']} {'running' if running else 'off' if running is False else 'unknown'}")
    if dispenser["pump_group"] is not None:
        group = answer["pump_groups"][dispenser["pump_group"]]
        line.append(f"  {dispenser['pump_group']} {' + '.join(group['running']) or 'off'}")
    if dispenser["mode"] == "batch":
        order = dispenser["order"]
        if order is not None:
            line.append(f"\norder {order['id']} {order['vehicle']}: ")
            line.append(f"{dispenser['delivered_m3']:.3f} of {order['volume_m3']:g} m3")
    else:
        unit = dispenser["setpoint_unit"]
        line.append(f"\nset-point {dispenser['setpoint']:g} {unit} (ramped {dispenser['ramped']:g})")
        line.append(f", opening {dispenser['opening']:g} %")
    guards = Table(box=None, padding=(0, 1))
    for heading in ("guard", "value", "limits", "verdict", ""):
        guards.add_column(heading)
    for guard in dispenser["guards"]:
        limits = " .. ".join(f"{v:g}" if v is not None else "" for v in (guard["low"], guard["high"]))
        age = f" ({guard['result_age_s']:.0f} s old)" if guard["result_age_s"] is not None else ""
        verdict = Text(guard["verdict"], _VERDICT_STYLE[guard["verdict"]])
        unverified = Text("unverified", "yellow") if guard["limit_status"] != "verified" else Text("")
        if guard["marked"]:
            unverified.append(f" in {guard['marked']}", "magenta")
        guards.add_row(guard["parameter"], _amount(guard["value"], guard["unit"]) + age, limits, verdict, unverified)
    told = [cause["text"] for cause in (*dispenser["tripped_also"], *dispenser["concessions"])]
    told += [cause["text"] for guard in dispenser["guards"] for cause in guard["warnings"]]
    line.append("".join(f"\n{text}" for text in told), "yellow")
    border = "red" if dispenser["tripped"] else "green"
    title = Text(f"{tag}  {dispenser['mode']}, {dispenser['use']}")
    return Panel(Group(line, guards), title=title, title_align="left", border_style=border, expand=False)


def _foot(answer: dict[str, Any]) -> Text:
    scan, store, uplink = answer["scan"], answer["store"], answer.get("forwarder")
    text = Text()
    text.append(f"scan {scan['period_ms']:g} ms, late p99 {scan['lateness_p99_ms']:g} ms")
    text.append(f", takes p99 {scan['duration_p99_ms']:g} ms\n")
    text.append(f"store {store['written']} records written, {store['dropped']} dropped")
    if store["fault"]:
        text.append(f"  DISK: {store['fault']}", "bold red")
    if answer["uplink"] is None:
        text.append("\nuplink: this site has none")
    elif uplink is None:
        text.append("\nuplink: no forwarder has run here")
    elif not uplink["running"]:
        text.append("\nuplink: the forwarder does not run", "bold red")
    elif uplink["connected"]:
        text.append(f"\nuplink {uplink['broker']} up, {uplink['waiting']} kept, {uplink['sent']} sent")
    else:
        text.append(
            f"\nuplink {uplink['broker']} DOWN ({uplink['last_error']}), {uplink['waiting']} waiting",
            "yellow",
        )
    return text


class _Words(NamedTuple):
    """What is said around the sentences of a chain."""

    colon: str
    because: str
    read: str
    place: str
    beside: str


_WHY: Final[dict[Language, _Words]] = {
    "en": _Words(": ", "because ", "it read {value} ({reason}) at {when}", "from {place}", "beside: "),
    "zh": _Words("：", "因为 ", "{when} 读数 {value}（{reason}）", "来自 {place}", "另外："),
}


def show_why(answer: dict[str, Any], language: Language = "en") -> None:
    console.print(why_view(answer, language))


def why_view(answer: dict[str, Any], language: Language = "en") -> Text:
    """The chain of causes, each under the one it explains, down to the bytes on the wire."""
    words, key = _WHY[language], "text" if language == "en" else "text_zh"
    state = answer["state"] if language == "en" else answer.get("state_zh", answer["state"])
    text = Text()
    text.append(f"{answer['subject']}{words.colon}{state}\n", "bold")
    if answer.get("problem"):
        for line in _problem_lines(answer["problem"]):
            text.append(f"  {line}\n", "yellow")
    if "status" in answer:
        _append_status(text, answer)
    for depth, cause in enumerate(answer["causes"]):
        text.append("  " * depth + words.because + cause[key] + "\n")
        indent = depth + 1
        seen = cause["seen"]
        if seen is not None:
            wire = answer["wire"].get(seen["signal"])
            when = datetime.fromtimestamp(seen["utc"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
            value = _amount(seen["value"], seen["unit"], 7)
            text.append(
                "  " * indent + words.read.format(value=value, reason=seen["reason"], when=when) + "\n", "yellow"
            )
            if wire is not None:
                text.append("  " * indent + words.place.format(place=_place(wire, seen)) + "\n", "cyan")
                _append_inputs(text, answer["wire"], seen["signal"], indent + 1)
    for cause in answer.get("beside", ()):
        text.append(f"  {words.beside}{cause[key]}\n", "yellow")
    if not answer["causes"]:
        inputs = {name for wire in answer["wire"].values() for name in wire.get("inputs", [])}
        for signal, wire in answer["wire"].items():
            if signal not in inputs:
                text.append(f"  {signal}: {_place(wire, wire)}\n")
                _append_inputs(text, answer["wire"], signal, 2)
    text.rstrip()
    return text


def _append_inputs(text: Text, wires: dict[str, Any], name: str, indent: int) -> None:
    """What a measurement is calculated from, each with its present reading, down to the wire."""
    for one in wires[name].get("inputs", []):
        wire = wires[one]
        read = f"{one} {_amount(wire['value'], wire['symbol'], 7)} ({wire['reason']})"
        text.append("  " * indent + read, "yellow")
        text.append(f" from {_place(wire, wire)}\n", "cyan")
        _append_inputs(text, wires, one, indent + 1)


def _place(wire: dict[str, Any], read: dict[str, Any]) -> str:
    """Where a reading came from, and what came: its bytes, or the status of a server."""
    if not wire["link"]:
        return str(wire["place"])
    unit = f" unit {wire['unit']}" if wire["unit"] is not None else ""
    came = f", status {read['status']}" if read.get("status") else f", bytes {read['raw']}" if read["raw"] else ""
    return f"link {wire['link']} ({wire['address']}){unit}, {wire['place']}{came}"


def _problem_lines(problem: dict[str, Any]) -> list[str]:
    """What is wrong with a reading, since when, and what to do."""
    since = problem["since_utc"]
    return [
        line
        for line in (
            f"since {datetime.fromtimestamp(since).astimezone().strftime('%H:%M:%S')}" if since is not None else "",
            problem["found"],
            f"last error: {problem['last_error']}" if problem["last_error"] else "",
            problem["remedy"],
        )
        if line
    ]


def _append_status(text: Text, answer: dict[str, Any]) -> None:
    """How a link or device does, and each signal that is not good."""
    status = answer["status"]
    where = [str(status["address"])]
    if status.get("unit") is not None:
        where.append(f"unit {status['unit']}")
    if "link" in status:
        where.insert(0, f"link {status['link']}")
    text.append(f"  {', '.join(where)}\n")
    if status["last_error"]:
        text.append(f"  last error: {status['last_error']}\n", "yellow")
    if "polls" in status:
        figures = ("polls", "replies", "timeouts", "exceptions", "malformed", "missed")
        text.append(f"  since the start: {', '.join(f'{status[one]} {one}' for one in figures)}\n")
    else:
        offline = [tag for tag, device in status["devices"].items() if not device["online"]]
        text.append(f"  offline: {', '.join(offline) or 'none'}\n")
    for one in answer["bad"]:
        told = "; ".join(_problem_lines(one))
        text.append(f"  {one['name']}: {one['reason'].replace('-', ' ')}{f' {told}' if told else ''}\n", "yellow")


def show_receipts(receipts: list[dict[str, Any]]) -> None:
    for receipt in receipts:
        show_receipt(receipt)
    if not receipts:
        console.print("no receipts yet")


def show_since_last_good(answer: dict[str, Any]) -> None:
    """The fills that may have had bad water, under what is known of when it was good and bad."""
    console.print(f"{answer['guard']}: {answer['cause']['because']['text']}", soft_wrap=True)
    for what, key in (("last good", "last_good_utc"), ("first bad", "first_bad_utc"), ("tripped", "tripped_utc")):
        at = answer[key]
        told = datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at is not None else "not known"
        console.print(f"  {what}: {told}")
    for receipt in answer["receipts"]:
        show_receipt(receipt)
    if not answer["receipts"]:
        console.print("no fill gave water between the last good reading and the trip")


def show_receipt(receipt: dict[str, Any]) -> None:
    console.print(receipt_view(receipt))


def receipt_view(receipt: dict[str, Any]) -> Panel:
    """A receipt as a person would want it printed."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    if receipt["name"] == "served":
        table.add_row("served", f"{receipt['served_m3']:.3f} m3", receipt["use"])
        table.add_row(
            "totaliser",
            f"{receipt['total_start_m3']:.3f} to {receipt['total_end_m3']:.3f} m3",
            receipt["meter"],
        )
        title = Text(f"supply account {receipt['ledger_id']}  {receipt['subject']}")
        return Panel(table, title=title, title_align="left", expand=False)
    delivered = Text(f"{receipt['delivered_m3']:.3f} m3", "bold")
    table.add_row("delivered", delivered, f"of {receipt['preset_m3']:g} m3 ordered")
    if receipt["total_start_m3"] is not None:
        table.add_row(
            "totaliser",
            f"{receipt['total_start_m3']:.3f} to {receipt['total_end_m3']:.3f} m3",
            receipt["meter"],
        )
    table.add_row("vehicle", receipt["vehicle"] or "-", f"use {receipt['use']}")
    if receipt["user"]:
        table.add_row("user", receipt["user"], "")
    if receipt["mean_flow_m3h"] is not None:
        flow = f"{receipt['mean_flow_m3h']:.1f} m3/h mean, {receipt['max_flow_m3h']:.1f} most"
        table.add_row("flow", flow, "the meter disagrees with itself" if receipt["meter_disagrees"] else "")
    for override in receipt["overrides"]:
        table.add_row("by hand", Text(override, "red"), "")
    if receipt["time_quality"] == "unsynchronised":
        table.add_row("time", Text("the clock followed no time server", "yellow"), "")
    ended, stop = (Text("complete") if receipt["complete"] else Text("early", "red")), receipt["stop"]
    while stop is not None:
        table.add_row("ended" if ended else "", ended, stop["text"])
        ended, stop = Text(), stop.get("because")
    for quality in receipt["quality"]:
        shown = f"{_amount(quality['lowest'], '')} to {_amount(quality['highest'], quality['unit'])}"
        mark = "" if quality["limit_status"] == "verified" else " (unverified)"
        table.add_row(quality["parameter"], shown, f"limit {quality['limit']}{mark}")
    title = Text(f"receipt {receipt['ledger_id']}  order {receipt['order_id']}  {receipt['subject']}")
    return Panel(
        table,
        title=title,
        title_align="left",
        border_style="green" if receipt["complete"] else "yellow",
        expand=False,
    )


def _amount(value: Any, unit: str, digits: int = 4) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}g} {unit}".strip() if isinstance(value, int | float) else str(value)
