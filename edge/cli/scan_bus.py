"""``penstock scan-bus``: who answers on a bus, at which speed and as which unit. It never writes."""

import asyncio
import functools
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from config.errors import LinkError
from edge.cli import exit_codes
from edge.cli.options import Json
from edge.cli.printed import print_json, progress, remark
from edge.cli.target import Target, takes_target

if TYPE_CHECKING:
    from drivers.modbus.probe import Answer, Probe
    from drivers.modbus.search import Found, Log, Search, Try

SERIAL_TIMEOUT_S: Final = 0.2
"""Beyond its time on the line: instruments answer within some tens of milliseconds, slow ones within 200."""
TCP_TIMEOUT_S: Final = 1.0
"""A gateway waits for its serial side."""
PROGRESS_S: Final = 0.2
_HELPS: Final = {
    "baud": "which speeds: 9600,19200 [default: the eight from 1200 to 115200, the usual first]",
    "parity": "which: N, E or O, or N,E,O [default: N and E]",
}
"""Of options that mean one setting elsewhere."""


@functools.partial(takes_target, helps=_HELPS)
def scan_bus(
    target: Target,
    link: Annotated[
        str | None, typer.Argument(help="a link of the site (or of the controller that runs)", show_default=False)
    ] = None,
    units: Annotated[str, typer.Option("--units", help="which: 1-32, or 1,5,10-20", show_default=False)] = "",
    first: Annotated[bool, typer.Option("--first", help="end with the first unit that answers")] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="ask silent units for everything that known instruments have")
    ] = False,
    as_json: Json = False,
) -> None:
    """Find what answers on a serial line, or behind a TCP server or gateway. Reading functions only.

    Serial: the usual units at the usual speeds first, then all of 1 to 247; --baud 9600,19200, --parity N,E,O and
    --units narrow it. A unit that refuses is alive. Ctrl-C shows what was found so far.
    """
    from drivers.modbus.search import Log

    wanted = parse_units(units)
    log = Log(tcp=target.host is not None and not target.rtu)
    summary: dict[str, Any] = {}
    failure: LinkError | None = None
    try:
        asyncio.run(_scan(target, link, wanted, log, summary, first=first, thorough=thorough))
    except KeyboardInterrupt:
        log.interrupted = True
    except LinkError as error:
        if not log.asked:
            raise
        failure = error
        log.interrupted = True
    answer = _answer(log, summary)
    if failure is not None:
        answer |= {"ok": False, "code": failure.code, "error": failure.message}
    if as_json:
        print_json(answer)
    else:
        _show(answer)
        _show_next(answer, target, link)
    if failure is not None:
        if not as_json:
            remark(failure.message)
        sys.exit(exit_codes.UNREACHABLE)
    if log.interrupted:
        sys.exit(130)
    sys.exit(exit_codes.DONE if log.found else exit_codes.WRONG)


def parse_units(text: str) -> list[int]:
    """The units of ``1-32`` or ``1,5,10-20``; empty for ""."""
    wanted: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        low, dash, high = part.partition("-")
        if not _plain(low) or (dash and not _plain(high)):
            raise typer.BadParameter(f"--units '{part}': a number, or a span such as 1-32")
        begin, end = int(low), int(high) if dash else int(low)
        if not 0 <= begin <= end <= 255:
            raise typer.BadParameter(f"--units '{part}': 0 to 255, the lower number first")
        wanted += range(begin, end + 1)
    return list(dict.fromkeys(wanted))


def _plain(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 3


async def _scan(
    target: Target,
    name: str | None,
    units: list[int],
    log: "Log",
    summary: dict[str, Any],
    *,
    first: bool,
    thorough: bool,
) -> None:
    """Searches into ``log``; what was looked at, in words, goes into ``summary``."""
    from drivers.modbus.search import UNITS, Search
    from edge.cli.by_hand import shipped_profiles
    from edge.cli.direct import alone
    from edge.cli.session import running_controller

    running = await running_controller(target.state)
    shared = await _lent(target, name, running)
    if shared is not None:
        assert running is not None
        await _scan_shared(target, running, shared, units, log, summary, first=first, thorough=thorough)
        return
    profiles = list(shipped_profiles().values())
    link, tried = _bus(target, name, profiles)
    log.tcp = link.type == "modbus-tcp" and link.framing == "tcp"
    chosen = units or [*UNITS, *([0, 255] if log.tcp else [0])]
    search = Search(profiles, tried, chosen, tcp=link.type == "modbus-tcp", thorough=thorough)
    summary["where"] = f"{link.host}:{link.port}" if link.type == "modbus-tcp" else link.port
    summary["serial"] = link.type == "modbus-rtu"
    # Where a controller runs, this is none of its buses.
    with alone(target.state, must=False) if running is None else nullcontext("") as said:
        remark(said)
        await _Scanner(link, search, log, first=first, all_units=not units).run()


async def _lent(target: Target, name: str | None, running: dict[str, Any] | None) -> str | None:
    """The link of the running controller that is to be searched, ``None`` for a bus that is nobody's."""
    from config.errors import DeviceError
    from config.load import load_site
    from edge.cli.by_hand import link_of
    from edge.cli.same_bus import shared_link

    if target.by_hand:
        return await shared_link(running, link_of(_whither(target)))
    if name is None:
        raise DeviceError("which bus? --port /dev/ttyUSB0, --host 10.0.0.5, or a link of the site")
    if running is None:
        if target.site is None:
            raise LinkError(f"no controller runs in {target.state}: say --site FILE, or --port or --host")
        return None
    if target.site is not None and (site := load_site(target.site).site.site.id) != running["site"]:
        raise LinkError(f"the controller in {target.state} runs site {running['site']}, not {site}")
    return name


def _bus(target: Target, name: str | None, profiles: Any) -> tuple[Any, list[Any]]:
    """The link to open, and the settings to try on it: ``None`` for those that it has."""
    from config.errors import DeviceError
    from config.load import load_site
    from drivers.modbus.search import settings
    from edge.cli.by_hand import link_of

    if target.by_hand:
        link: Any = link_of(_whither(target), timeout=SERIAL_TIMEOUT_S if target.host is None else TCP_TIMEOUT_S)
        serial = target.host is None
    else:
        assert target.site is not None
        assert name is not None
        links = load_site(target.site).site.links
        if name not in links:
            raise DeviceError(f"there is no link '{name}' in {target.site}; there are {', '.join(links)}")
        link = links[name]
        if link.type == "opcua":
            raise DeviceError(f"{name} is an OPC UA session, not a bus")
        serial = link.type == "modbus-rtu" and bool(target.baud or target.parity)
    return link, settings(profiles, target.bauds(), target.parities(), _stop(target)) if serial else [None]


def _whither(target: Target) -> Target:
    """Where a target leads, whatever speeds are wanted there."""
    return replace(target, baud="", parity="")


def _stop(target: Target) -> Any:
    if target.stopbits not in (1, 2):
        raise typer.BadParameter("--stopbits: 1 or 2")
    return target.stopbits


class _Scanner:
    """Carries a search out on a link that this tool opens, setting by setting."""

    def __init__(self, link: Any, search: "Search", log: "Log", *, first: bool, all_units: bool) -> None:
        self._link = link
        self._search = search
        self._log = log
        self._first = first
        self._all_units = all_units
        self._shown_at = 0.0
        self._left_s = 0.0
        self._timings: dict[Any, Any] = {}

    async def run(self) -> None:
        from drivers.modbus.transport import SettingsRefused

        probe: Probe | None = None
        setting = None
        refusal: LinkError | None = None
        try:
            for one in self._search:
                if one.setting in self._log.refused:
                    continue
                if probe is None or one.setting != setting:
                    if probe is not None:
                        await probe.__aexit__()
                        probe = None
                    try:
                        probe, setting = await self._open(one), one.setting
                    except SettingsRefused as error:
                        # The other settings may do: a pseudo-terminal has no parity, an old port no high speed.
                        self._log.refused.append(one.setting)
                        refusal = error
                        continue
                    if not self._log.asked:
                        self._announce()
                self._show_progress(one)
                found = self._log.note(one, await self._ask(probe, one))
                self._left_s -= self._timeout(one)
                if self._heard(found):
                    return
                if found is not None:
                    self._left_s = sum(self._timeout(other) for other in self._search.left(one))
            if refusal is not None and not self._log.asked:
                raise refusal
        finally:
            progress("")
            if probe is not None:
                await probe.__aexit__()

    def _announce(self) -> None:
        """Says before how long it may take: everything that stays silent costs its whole time-out."""
        tries = list(self._search.left(None))
        self._left_s = sum(self._timeout(one) for one in tries)
        remark(f"{len(tries)} requests if nobody answers, at most {duration(self._left_s)}; the likely ones first")

    def _timeout(self, one: "Try") -> float:
        from drivers.modbus.transport import line_timing

        if one.setting not in self._timings:
            self._timings[one.setting] = line_timing(self._link_at(one))
        ask, waited = one.question.ask, float(self._link.timeout)
        return float(self._timings[one.setting].transfer_s(len(ask.pdu), ask.reply_bytes)) + waited

    def _link_at(self, one: "Try") -> Any:
        if one.setting is None:
            return self._link
        update = {"baudrate": one.setting.baudrate, "parity": one.setting.parity, "stopbits": one.setting.stopbits}
        return self._link.model_copy(update=update)

    async def _open(self, one: "Try") -> "Probe":
        from drivers.modbus.probe import Probe

        return await Probe(self._link_at(one)).__aenter__()

    async def _ask(self, probe: "Probe", one: "Try") -> "Answer":
        return await probe.ask(one.unit, one.question.ask, any_unit=one.unit == 0)

    def _heard(self, found: "Found | None") -> bool:
        """Takes note of a unit that answers; true when the search is at its end."""
        if found is None:
            return False
        self._search.heard(found.unit, found.setting)
        if self._all_units and _serves_all(self._log):
            self._log.serves_all = True
            return True
        return self._first

    def _show_progress(self, one: "Try") -> None:
        now = time.monotonic()
        if now - self._shown_at < PROGRESS_S or not sys.stderr.isatty():
            return
        self._shown_at = now
        left = max(self._left_s, 0.0)
        at = f" at {one.setting}" if one.setting is not None else ""
        progress(f"unit {one.unit}{at}; {len(self._log.found)} found; at most {duration(left)} left; Ctrl-C ends it")


def _serves_all(log: "Log") -> bool:
    from drivers.modbus.search import SERVES_ALL

    return log.tcp and len(log.found) >= SERVES_ALL and len(log.found) == log.asked


def duration(seconds: float) -> str:
    """A time as a person says it."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


async def _scan_shared(
    target: Target,
    running: dict[str, Any],
    name: str,
    units: list[int],
    log: "Log",
    summary: dict[str, Any],
    *,
    first: bool,
    thorough: bool,
) -> None:
    """Searches a bus that a controller polls: at its settings, between its polls."""
    from config.errors import DeviceError
    from drivers.modbus.search import UNITS, Search
    from edge.cli.by_hand import shipped_profiles
    from edge.cli.session import session
    from edge.cli.target import Target as Whom

    if name not in running["links"] or not running["links"][name]["type"].startswith("modbus"):
        raise DeviceError(f"there is no Modbus link '{name}'; the controller has {', '.join(running['links'])}")
    where = str(running["links"][name]["address"])
    if target.bauds() or target.parities():
        raise DeviceError(f"a controller runs link {name} ({where}): stop it to try other settings")
    log.tcp = running["links"][name]["type"] == "modbus-tcp"
    search = Search(list(shipped_profiles().values()), [None], units or list(UNITS), tcp=log.tcp, thorough=thorough)
    summary |= {"where": f"{where}, link {name} of the controller that runs", "serial": not log.tcp}
    remark(f"the controller polls {name} meanwhile: its bus is lent for a quarter of the time, so this takes longer")
    began, last = time.monotonic(), None
    try:
        for one in search:
            async with session(Whom(state=target.state), name, one.unit) as open_:
                question = one.question
                answer = await open_.read_raw(str(question.table), question.address, question.count)
            found = log.note(one, _as_answer(answer))
            if found is not None:
                search.heard(found.unit, found.setting)
                if first:
                    return
            pace = (time.monotonic() - began) / log.asked
            last = one
            progress(f"unit {one.unit}; {len(log.found)} found; about {duration(pace * _count(search, last))} left")
    finally:
        progress("")


def _count(search: "Search", after: "Try") -> int:
    return sum(1 for _ in search.left(after))


def _as_answer(answer: dict[str, Any]) -> "Answer":
    from drivers.modbus.probe import Answer
    from drivers.modbus.transaction import Outcome, Result

    outcome = Outcome[answer["outcome"].upper()]
    pdu = bytes(2) + bytes.fromhex(answer["data"])
    if outcome is Outcome.EXCEPTION:
        pdu = bytes((0x80, answer["exception"]))
    return Answer(Result(outcome, pdu, 0.0, answer["round_trip_s"]), b"", b"", b"")


def _answer(log: "Log", summary: dict[str, Any]) -> dict[str, Any]:
    from drivers.modbus.search import hints

    serial = bool(summary.get("serial"))
    return {
        "ok": bool(log.found),
        "where": summary.get("where", ""),
        "requests": log.asked,
        "interrupted": log.interrupted,
        "units": [
            {
                "unit": one.unit,
                "setting": str(one.setting) if one.setting is not None else None,
                "asked": str(one.question),
                "says": one.says,
                "round_trip_s": None if one.late else round(one.round_trip_s, 6),
                "answers_as": one.answers_as,
            }
            for one in sorted(log.found.values(), key=lambda one: one.unit)
        ],
        "hints": hints(log, serial=serial) if log.asked else [],
    }


def _show(answer: dict[str, Any]) -> None:
    from rich.table import Table

    from edge.cli.screen import console

    if answer["units"]:
        table = Table(box=None, padding=(0, 1))
        settings = any(one["setting"] for one in answer["units"])
        for heading in ("unit", *(["port set to"] if settings else []), "round trip", "answered"):
            table.add_column(heading)
        for one in answer["units"]:
            trip = f"{one['round_trip_s'] * 1000:.3g} ms" if one["round_trip_s"] is not None else "late"
            table.add_row(str(one["unit"]), *([one["setting"] or ""] if settings else []), trip, one["says"])
        console.print(table, soft_wrap=True)
    ended = " (broken off)" if answer["interrupted"] else ""
    count = len(answer["units"])
    console.print(
        f"{answer['where']}: {count} unit{'s' if count != 1 else ''} found with {answer['requests']} requests{ended}",
        highlight=False,
        soft_wrap=True,
    )
    for hint in answer["hints"]:
        console.print(hint, style="yellow", highlight=False, soft_wrap=True)


def _show_next(answer: dict[str, Any], target: Target, link: str | None) -> None:
    """What to type next of the first unit found."""
    from edge.cli.screen import console

    for one in answer["units"][:1]:
        baud, mode = one["setting"].split(" ") if one["setting"] else ("", "")
        unit = one["answers_as"] or one["unit"]
        where = target.spelt(link, unit, baud, mode[1:2])
        console.print(f"next: penstock identify {where}", highlight=False, soft_wrap=True)
