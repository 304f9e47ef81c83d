"""``penstock identify``: which of the known instruments answers here. It never writes."""

import asyncio
import sys
from typing import Annotated, Any, Final

import typer

from edge.cli import exit_codes
from edge.cli.options import Json, Unit
from edge.cli.printed import print_json, progress
from edge.cli.silence import silence
from edge.cli.target import Target, takes_target

SHOWN: Final = 5
GIVEN_UP_BELOW: Final = 0.34
"""A profile of whose first read less than this share fits is not read on."""
SILENT: Final = 3
"""Questions in a row without any answer, at the start, after which nobody is there."""


@takes_target
def identify(
    target: Target,
    name: Annotated[
        str | None,
        typer.Argument(help="a device or link of the site (or of the controller that runs)", show_default=False),
    ] = None,
    among: Annotated[
        list[str] | None, typer.Option("--profile", help="only these profiles (names or files)", show_default=False)
    ] = None,
    unit: Unit = None,
    show_all: Annotated[bool, typer.Option("--all", help="every profile, each read to its end")] = False,
    as_json: Json = False,
) -> None:
    """Find the profile that fits what answers: its fingerprint first, then how well its signals read. Never writes."""
    answer = _identified(target, name, unit, among or [], every=show_all)
    if as_json:
        print_json(answer)
    else:
        _show(answer, target.spelt(name, unit), show_all=show_all)
    if answer["interrupted"]:
        sys.exit(130)
    sys.exit(exit_codes.DONE if answer["verdict"] != "none" else exit_codes.WRONG)


def _identified(target: Target, name: str | None, unit: int | None, among: list[str], *, every: bool) -> dict[str, Any]:
    """What it is; Ctrl-C ends it with what is known so far, ``interrupted``."""
    from drivers.modbus.recognise import Fit, ranked
    from edge.cli.by_hand import modbus_profile, shipped_profiles

    profiles = {which: modbus_profile(which) for which in among} or shipped_profiles()
    fits = {one: Fit(one) for one in profiles}
    asker, interrupted = _Asker(), False
    try:
        asyncio.run(_identify(target, name, unit, profiles, fits, asker, every=every))
    except KeyboardInterrupt:
        progress("")
        if not asker.at:
            raise
        interrupted = True
    order = ranked(fits)
    return {
        "ok": True,
        "unit": asker.unit,
        "at": asker.at,
        "requests": asker.requests,
        "interrupted": interrupted,
        "verdict": _verdict(order),
        "profiles": [
            {
                "name": fit.name,
                "title": profiles[fit.name].title,
                "points": fit.points,
                "identified": fit.identified,
                "fits": fit.fits,
                "misfits": fit.misfits,
            }
            for fit in order
        ],
    }


async def _identify(
    target: Target, name: str | None, unit: int | None, profiles: Any, fits: Any, asker: "_Asker", *, every: bool
) -> None:
    from drivers.modbus.recognise import note_identity, note_readings
    from edge.cli.session import session

    async with session(target, name, unit) as open_:
        asker.read_raw = open_.read_raw
        readers = {one: _reader(profile) for one, profile in profiles.items()}
        # Few requests first: what only one model reads settles it.
        for one, profile in profiles.items():
            if profile.identify:
                progress(f"fingerprint of {one}")
                note_identity(fits[one], profile, await readers[one].read(asker.ask, profile.identify))
        if every or not any(fit.identified for fit in fits.values()):
            for done, (one, reader) in enumerate(readers.items()):
                progress(f"{one}: {done} of {len(readers)} profiles, {asker.requests} requests")
                for read in reader.reads:
                    note_readings(fits[one], await reader.take(asker.ask, read))
                    fit = fits[one]
                    if not every and fit.for_it < GIVEN_UP_BELOW * (fit.for_it + fit.against_it):
                        break
        else:
            for one, fit in fits.items():
                if fit.identified:
                    for read in readers[one].reads:
                        note_readings(fit, await readers[one].take(asker.ask, read))
        progress("")


def _verdict(order: Any) -> str:
    """``identified`` by a fingerprint, ``likely``, ``doubtful`` when the second fits nearly as well, or ``none``."""
    best, second = order[0], order[1] if len(order) > 1 else None
    if best.identified:
        return "identified"
    if best.points < 40:
        return "none"
    return "doubtful" if best.points < 65 or (second is not None and best.points - second.points < 10) else "likely"


def _reader(profile: Any) -> Any:
    """A reader of a profile's signals; its clock is that of most sites here."""
    from zoneinfo import ZoneInfo

    from config.link import ModbusTcpLink
    from drivers.modbus.fresh import DeviceReader
    from edge.cli.by_hand import site_of_one

    loaded = site_of_one(ModbusTcpLink(type="modbus-tcp", host="-"), 1, profile)
    return DeviceReader(list(loaded.signals.field), profile, ZoneInfo(loaded.site.site.timezone))


class _Asker:
    """Asks the same only once, for several profiles. Raises ``LinkError`` when nobody answers from the start."""

    def __init__(self) -> None:
        self.read_raw: Any
        self._known: dict[bytes, Any] = {}
        self._alive = False
        self.requests = 0
        self.unit: int | None = None
        self.at = ""

    async def ask(self, ask: Any) -> Any:
        """The outcome of a read."""
        import struct

        from config.errors import LinkError
        from drivers.modbus.plan import READ_FUNCTION
        from drivers.modbus.transaction import Outcome, Result

        if ask.pdu in self._known:
            return self._known[ask.pdu]
        function, address, count = struct.unpack(">BHH", ask.pdu)
        table = next(table for table, code in READ_FUNCTION.items() if code == function)
        self.requests += 1
        answer = await self.read_raw(str(table), address, count)
        self.unit, self.at = answer["unit"], answer["at"]
        outcome = Outcome[answer["outcome"].upper()]
        pdu = ask.start + bytes.fromhex(answer["data"])
        if outcome is Outcome.EXCEPTION:
            pdu = bytes((function | 0x80, answer["exception"]))
        gateway = outcome is Outcome.EXCEPTION and answer["exception"] in (0x0A, 0x0B)
        self._alive = self._alive or (outcome in (Outcome.REPLY, Outcome.EXCEPTION) and not gateway)
        if not self._alive and self.requests >= SILENT:
            raise LinkError(silence(answer))
        now = asyncio.get_running_loop().time()
        result = Result(outcome, pdu, now, answer["round_trip_s"])
        self._known[ask.pdu] = result
        return result


def _show(answer: dict[str, Any], where: str, *, show_all: bool) -> None:
    from edge.cli.screen import console

    said = {
        "identified": "it is",
        "likely": "most likely it is",
        "doubtful": "nothing stands out; nearest is",
        "none": "no known profile fits",
    }
    best = answer["profiles"][0]
    name = f" {best['name']} ({best['title']})" if answer["verdict"] != "none" else ""
    ended = ", broken off; so far" if answer["interrupted"] else ""
    asked = f"unit {answer['unit']} at {answer['at']}, {answer['requests']} requests{ended}"
    console.print(f"{asked}: {said[answer['verdict']]}{name}", soft_wrap=True)
    for one in answer["profiles"] if show_all else answer["profiles"][:SHOWN]:
        if not one["points"] and not show_all:
            continue
        console.print(f"{one['points']:>4} {one['name']}", highlight=False)
        for fit in one["fits"] if show_all else one["fits"][:3]:
            console.print(f"       + {fit}", style="green", highlight=False, soft_wrap=True)
        for misfit in one["misfits"] if show_all else one["misfits"][:2]:
            console.print(f"       - {misfit}", style="red", highlight=False, soft_wrap=True)
    if answer["interrupted"]:
        return
    if answer["verdict"] == "none":
        console.print("a profile of its own: docs/drivers.md, 'An instrument that has no profile'", soft_wrap=True)
        console.print(f"next: penstock read {where} --find", soft_wrap=True)
    elif answer["verdict"] != "identified":
        console.print("compare with the display: penstock read ... --profile NAME", soft_wrap=True)
