"""The demo: a station comes up and tells its story; at the end it prints what it measured.

Unattended (``--once``) it exits 0 only if all of it happened.
"""

import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from rich.rule import Rule
from rich.text import Text

from config.errors import PenstockError
from edge.cli import exit_codes
from edge.cli.client import forwarder_status
from edge.cli.printed import print_json
from edge.cli.screen import Screen
from edge.cli.show import receipt_view, status_view, why_view
from edge.cli.station import Station, example_site, running

DISPENSER: Final = "FILL-1"
FIRST_M3: Final = 0.15
SECOND_M3: Final = 5.0
THIRD_M3: Final = 0.15
UPSET_NTU: Final = 18.0
INSTANT_NTU: Final = 15.0
CUT_S: Final = 8.0
"""The link to the broker is cut at least this long."""
RESET_LIMIT_S: Final = 60.0
ORDER_TOLERANCE_M3: Final = 0.02
RULE_COLUMNS: Final = 100


class _Story(Exception):
    """Something that had to happen did not."""


async def run_demo(*, once: bool, as_json: bool, record: Path | None = None) -> int:
    """Tells the story; then ends (``once``) or stays up until interrupted. Returns the exit code.

    ``record``: a file for the inputs of every scan.
    """
    console = Screen(quiet=as_json)
    task = asyncio.current_task()
    assert task is not None
    # Else its processes would outlive it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as directory:
        station = Station(example_site("fill-station"), Path(directory), record=record)
        began = time.monotonic()
        try:
            _rule(console, "Penstock demo: a tanker fill station for reclaimed water, all of it on this machine")
            console.print("broker, simulated plant, controller and forwarder are starting ...")
            async with running(station):
                measured = await _tell(station, console)
                if not once:
                    _invite(station, console)
                    await asyncio.Event().wait()
                measured |= await _count(station)
        except asyncio.CancelledError:
            return exit_codes.WRONG if once else exit_codes.DONE
        except (_Story, PenstockError, TimeoutError) as error:
            text = str(error) or type(error).__name__
            console.print(Text.assemble(("the demo failed:", "bold red"), f" {text}"))
            _show_logs(Path(directory), console)
            if as_json:
                print_json({"ok": False, "error": text}, one_line=True)
            return exit_codes.WRONG
        measured["seconds"] = round(time.monotonic() - began, 1)
        failures = _failures(measured)
        if as_json:
            print_json({"ok": not failures, **measured, "failures": failures}, one_line=True)
        else:
            _report(measured, failures, console)
        return exit_codes.WRONG if failures else exit_codes.DONE


async def _tell(station: Station, console: Screen) -> dict[str, Any]:
    await station.until_ready(DISPENSER)
    _step(console, 1, "The station is up: every instrument answers, the water is known to be fit.")
    console.print(status_view(await station.status()))

    _step(console, 2, f"A tanker takes {FIRST_M3 * 1000:.0f} L.")
    first = await _fill(station, "demo-1", FIRST_M3, console)
    _demand(first["complete"], "the first fill did not complete")
    _demand(abs(first["delivered_m3"] - FIRST_M3) < ORDER_TOLERANCE_M3, "the first fill missed its volume")

    _step(console, 3, f"A second fill is under way when turbidity rises to {UPSET_NTU:g} NTU.")
    reaction_ms = await _breach(station, console)

    _step(console, 4, "Why is the valve closed?")
    answer = await station.ask("why", name="XV-101")
    console.print(why_view(answer))
    codes = [cause["code"] for cause in answer["causes"]]
    _demand("tripped" in codes and "above-instant-limit" in codes, f"why named {codes}")

    _step(console, 5, "The technician resets. While the water is not good yet, that is refused:")
    early = await station.ask("reset", dispenser=DISPENSER)
    _demand(not early["ok"], "a reset was accepted while the cause stood")
    console.print(f"  refused: {early['error']}")
    await station.simulate("calm", parameter="turbidity")
    await _reset(station, console)

    _step(console, 6, "Service resumes, and in the middle of the fill the link to the broker is cut.")
    await _outage(station, console)
    scan = (await station.status())["scan"]
    return {"reaction_ms": reaction_ms, "scan": scan}


async def _fill(station: Station, order_id: str, volume_m3: float, console: Screen) -> dict[str, Any]:
    await _order(station, order_id, volume_m3)
    receipt = await station.receipt(order_id)
    console.print(receipt_view(receipt))
    return receipt


async def _order(station: Station, order_id: str, volume_m3: float) -> None:
    await station.until_ready(DISPENSER)
    answer = await station.ask(
        "order", dispenser=DISPENSER, order_id=order_id, volume_m3=volume_m3, vehicle="晋D·12345"
    )
    _demand(answer["ok"], f"order {order_id} was refused: {answer.get('error')}")


async def _phase(station: Station, phase: str, timeout: float = 30.0) -> None:
    async def reached() -> bool:
        return bool((await station.dispenser(DISPENSER))["phase"] == phase)

    await station.until(f"{DISPENSER} is in {phase}", reached, timeout)


async def _breach(station: Station, console: Screen) -> float:
    """The upset during a fill; returns the milliseconds from the breaching reply to the close request."""
    await _order(station, "demo-2", SECOND_M3)
    await _phase(station, "full-flow")
    began = (await station.simulate("upset", parameter="turbidity", value=UPSET_NTU, ramp_s=1.0))["t_ns"]

    async def tripped() -> bool:
        return bool((await station.dispenser(DISPENSER))["tripped"])

    await station.until("the guard trips", tripped)
    receipt = await station.receipt("demo-2")
    console.print(receipt_view(receipt))
    _demand(not receipt["complete"], "the second fill completed in spite of the breach")
    reaction = await station.reaction_ms(began, "AIT-101.turbidity", INSTANT_NTU, "RIO-101.xv_101")
    console.print(
        f"The guard tripped; the valve was told to close {reaction:.2f} ms after the breaching value left the probe."
    )
    return round(reaction, 3)


async def _reset(station: Station, console: Screen) -> None:
    """Asks for the reset each second, as a technician would, until it is accepted."""
    began = time.monotonic()
    while not (await station.ask("reset", dispenser=DISPENSER))["ok"]:
        _demand(time.monotonic() - began < RESET_LIMIT_S, "the reset was never accepted")
        await asyncio.sleep(1.0)
    console.print(f"  accepted after {time.monotonic() - began:.0f} s of good water: the trip is reset")


async def _outage(station: Station, console: Screen) -> None:
    await _order(station, "demo-3", THIRD_M3)
    await _phase(station, "full-flow")
    assert station.relay is not None
    began = time.monotonic()
    await station.relay.cut()
    await station.until("the forwarder notices", lambda: not _uplink(station)["connected"])
    console.print("The link is cut. The fill goes on:")
    receipt = await station.receipt("demo-3")
    console.print(receipt_view(receipt))
    _demand(receipt["complete"], "the fill did not complete while the link was cut")
    await asyncio.sleep(max(CUT_S - (time.monotonic() - began), 0.0))
    waiting = _uplink(station)["waiting"]
    before = len(station.received)
    await station.relay.restore()
    console.print(
        f"Cut for {time.monotonic() - began:.1f} s. {waiting} records are kept on disk: those of the outage, and "
        "some of before that are kept a while although they were sent. The link is restored:"
    )
    await station.until("the uplink is up again", lambda: _uplink(station)["connected"])
    await station.until_delivered()
    arrived = [message for message in station.received[before:] if message.sequence is not None]
    late = [message for message in arrived if message.historical]
    _demand(bool(late), "nothing that was stored arrived after the outage")
    order = [(message.boot, message.sequence) for message in arrived]
    _demand(
        order == sorted(order, key=lambda pair: (pair[0] or 0, pair[1] or 0)),
        "stored data arrived out of order",
    )
    console.print(
        f"All that had not arrived has: {len(arrived)} records in order, {len(late)} of them marked historical."
    )


def _uplink(station: Station) -> dict[str, Any]:
    return forwarder_status(station.state) or {"connected": False, "waiting": 0}


async def _count(station: Station) -> dict[str, Any]:
    """Ends the controller in order and counts what was produced and what arrived."""
    await station.end_process("controller")
    await station.until_delivered()
    _, produced = station.produced()
    result = station.completeness.to_json()
    return {
        "produced": produced,
        "delivered": result["received"],
        "duplicates_dropped": result["duplicates"],
        "lost": produced - result["received"],
        "out_of_order": result["out_of_order"],
    }


def _failures(measured: dict[str, Any]) -> list[str]:
    failures = []
    if measured["lost"] != 0:
        failures.append(f"{measured['lost']} records were lost")
    if measured["out_of_order"]:
        failures.append(f"{measured['out_of_order']} records came out of order")
    return failures


def _report(measured: dict[str, Any], failures: list[str], console: Screen) -> None:
    scan = measured["scan"]
    _step(console, 7, "What was measured.")
    rows = [
        ("scan period", f"{scan['period_ms']:g} ms"),
        (
            "scan late by",
            ", ".join(f"{name} {scan[f'lateness_{name}_ms']:g} ms" for name in ("p50", "p99", "max")),
        ),
        ("scan takes", f"p50 {scan['duration_p50_ms']:g} ms, p99 {scan['duration_p99_ms']:g} ms"),
        ("breach to valve-close request, on the wire", f"{measured['reaction_ms']:g} ms"),
        ("records produced and stored", str(measured["produced"])),
        (
            "records delivered",
            f"{measured['delivered']} (and {measured['duplicates_dropped']} sent again, dropped by identity)",
        ),
        ("records lost", str(measured["lost"])),
        ("all of it took", f"{measured['seconds']:g} s"),
    ]
    for name, value in rows:
        console.print(f"  {name:<44} {value}")
    for failure in failures:
        console.print(failure, style="bold red")
    told, style = ("Not all of it happened.", "bold red") if failures else ("All of it happened.", "bold green")
    console.print(told, style=style)


def _invite(station: Station, console: Screen) -> None:
    assert station.broker is not None
    penstock = f"{sys.executable} -m edge" if "penstock" not in sys.argv[0] else sys.argv[0]
    _rule(console, "The station stays up. In another terminal:")
    for line in (
        f"export PENSTOCK_STATE={station.state}",
        f"{penstock} watch",
        f"{penstock} order FILL-1 '200 L' --wait",
        f"{penstock} why XV-101",
        f"{penstock} listen mqtt://127.0.0.1:{station.broker.port}",
    ):
        console.print(f"  {line}", soft_wrap=True)
    console.print("Ctrl-C ends it.")


def _show_logs(directory: Path, console: Screen) -> None:
    for path in sorted(directory.glob("*.log")):
        lines = path.read_text("utf-8", errors="replace").splitlines()[-15:]
        _rule(console, path.name)
        for line in lines:
            console.print(line, soft_wrap=True)


def _step(console: Screen, number: int, text: str) -> None:
    console.print()
    console.print(Text.assemble((f"{number}.", "bold cyan"), " ", (text, "bold")))


def _rule(console: Screen, text: str) -> None:
    console.print(Rule(text), width=RULE_COLUMNS)


def _demand(held: bool, text: str) -> None:
    if not held:
        raise _Story(text)
