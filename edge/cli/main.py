"""The ``penstock`` command. What answers a question answers it with ``--json`` too; exit codes: ``exit_codes.py``.

Imports stand inside the commands, so that asking costs no more than what it needs.
"""

import asyncio
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import CommandRefused, ConfigError, LinkError, PenstockError
from edge.cli import exit_codes, opcua
from edge.cli.action import action
from edge.cli.alarms import ack, alarms, in_service, out_of_service, shelve, unshelve
from edge.cli.allocation import allocation
from edge.cli.ask import ask, quantity
from edge.cli.blackbox import blackbox_app
from edge.cli.compliance import compliance
from edge.cli.decode import decode
from edge.cli.diagrams import diagrams
from edge.cli.equipment import equipment, pump
from edge.cli.identify import identify
from edge.cli.loop import loop, loops, tune
from edge.cli.matrix import matrix
from edge.cli.meter_replaced import meter_replaced
from edge.cli.options import DEFAULT_STATE, Json, Lang, State, TakesNegatives
from edge.cli.orders import orders, pre_act_reset, start
from edge.cli.override import bypass, end_bypass, force, overrides, release
from edge.cli.permit import permit
from edge.cli.printed import print_json, remark, say
from edge.cli.profile import profile_app
from edge.cli.prooftest import prooftest
from edge.cli.quota import quota
from edge.cli.read import read
from edge.cli.replay import replay
from edge.cli.scan_bus import scan_bus
from edge.cli.write import write

app = typer.Typer(
    name="penstock",
    help="Edge controller for reclaimed water.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(profile_app)
app.add_typer(opcua.app, name="opcua")
app.command("scan-bus")(scan_bus)
app.command(cls=TakesNegatives)(read)
app.command(cls=TakesNegatives)(decode)
app.command()(identify)
app.command(cls=TakesNegatives)(write)
app.command()(action)
app.command()(matrix)
app.command("meter-replaced")(meter_replaced)
app.command()(orders)
app.command()(start)
app.command("pre-act-reset")(pre_act_reset)
app.command()(quota)
app.command()(compliance)
app.command()(permit)
app.command(cls=TakesNegatives)(force)
app.command()(release)
app.command()(bypass)
app.command("end-bypass")(end_bypass)
app.command()(overrides)
app.command()(alarms)
app.command()(ack)
app.command()(shelve)
app.command()(unshelve)
app.command("out-of-service")(out_of_service)
app.command("in-service")(in_service)
app.command(hidden=True)(diagrams)
app.add_typer(blackbox_app)
app.command(cls=TakesNegatives)(replay)
app.command()(equipment)
app.command()(pump)
app.command()(prooftest)

app.command()(allocation)
app.command()(loops)
app.command(cls=TakesNegatives)(loop)
app.command()(tune)

Site = Annotated[Path, typer.Argument(help="the site file (YAML)", show_default=False)]
Record = Annotated[Path | None, typer.Option("--record", help="a new file for every scan's input, for 'replay'")]


def main() -> None:
    """The entry point of the console script."""
    try:
        app()
    except ConfigError as error:
        _fail(error, exit_codes.WRONG)
    except LinkError as error:
        _fail(error, exit_codes.UNREACHABLE)
    except CommandRefused as error:
        _fail(error, exit_codes.REFUSED)
    except PenstockError as error:
        _fail(error, exit_codes.WRONG)
    except OSError as error:
        # A file that was named and cannot be used.
        said = error.strerror or str(error) or type(error).__name__
        _fail(PenstockError(f"{error.filename}: {said}" if error.filename else said), exit_codes.WRONG)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: PenstockError, code: int) -> None:
    if "--json" in sys.argv:
        body: dict[str, Any] = {"ok": False, "code": error.code, "error": error.message}
        if isinstance(error, ConfigError):
            body["problems"] = [
                {"file": p.file, "line": p.line, "path": p.path, "found": p.found, "expected": p.expected}
                for p in error.problems
            ]
        print_json(body, one_line=True)
    else:
        remark(error.message)
    sys.exit(code)


@app.command()
def validate(site: Site, as_json: Json = False) -> None:
    """Check a site file: every problem with its line, or what it describes."""
    from config.load import load_site
    from control.compiler import compile_site
    from edge.cli.show import show_site, site_summary

    loaded = load_site(site)
    compile_site(loaded)
    if as_json:
        print_json({"ok": True, **site_summary(loaded)})
    else:
        show_site(loaded)


@app.command()
def controller(site: Site, state: State = DEFAULT_STATE, record: Record = None) -> None:
    """Run the controller: drivers, scan, recorder. Ends on SIGTERM with every output safe."""
    from config.load import load_site
    from edge.controller.process import run_controller
    from edge.log import configure_logging

    configure_logging("controller")
    run_until_signalled(run_controller(load_site(site), state, record))


@app.command()
def forwarder(site: Site, state: State = DEFAULT_STATE) -> None:
    """Run the forwarder: store to platform, platform commands to controller."""
    from config.load import load_site
    from edge.forwarder.forwarder import run_forwarder
    from edge.log import configure_logging

    configure_logging("forwarder")
    run_until_signalled(run_forwarder(load_site(site), state))


@app.command()
def run(site: Site, state: State = DEFAULT_STATE) -> None:
    """Run controller and forwarder together in this terminal; each is started again if it fails."""
    from config.load import load_site
    from control.compiler import compile_site
    from edge.cli.supervise import supervise
    from edge.log import configure_logging

    compile_site(load_site(site))
    configure_logging("run")
    run_until_signalled(
        supervise({name: [name, str(site), "--state", str(state)] for name in ("controller", "forwarder")})
    )


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="tell the story unattended and end")] = False,
    record: Record = None,
    as_json: Json = False,
) -> None:
    """Bring up a simulated station, a broker, controller and forwarder, and tell their story."""
    from edge.cli.demo import run_demo

    sys.exit(asyncio.run(run_demo(once=once, as_json=as_json, record=record)))


@app.command()
def status(
    links: Annotated[bool, typer.Option("--links", help="links and devices alone, with errors in full")] = False,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Links, dispensers, guards, alarms, uplink and store on one screen."""
    from edge.cli.show import show_links, show_status

    answer = ask(state, {"op": "status"}) | {"forwarder": _forwarder_status(state)}
    if as_json:
        print_json({"links": answer["links"]} if links else answer)
    elif links:
        show_links(answer)
    else:
        show_status(answer)


@app.command()
def watch(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """A live view of the station; Ctrl-C ends it. With --json one status a second, a line each."""
    from edge.cli.watch import watch_station

    asyncio.run(watch_station(state, as_json=as_json))


@app.command()
def why(
    name: Annotated[
        str,
        typer.Argument(help="whatever has a name: a valve, dispenser, guard, interlock, alarm, signal, link ..."),
    ],
    language: Lang = "en",
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Why is it as it is: the chain of causes down to the value on the wire."""
    from edge.cli.show import show_why

    answer = ask(state, {"op": "why", "name": name})
    print_json(answer) if as_json else show_why(answer, language)


@app.command(cls=TakesNegatives)
def order(
    dispenser: Annotated[str, typer.Argument(help="the dispenser, such as FILL-1")],
    volume: Annotated[str, typer.Argument(help="the volume with its unit: '8 m3' or '500 L'")],
    order_id: Annotated[str, typer.Option("--id", help="the order's id; a new one if not given")] = "",
    vehicle: Annotated[str, typer.Option(help="the vehicle's plate")] = "",
    user: Annotated[str, typer.Option(help="for whose account")] = "",
    use: Annotated[str, typer.Option(help="what the water is for; refused where that is not served")] = "",
    valid: Annotated[str, typer.Option(help="how long the fill may wait to begin: '30 min'")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="wait for the receipt and print it")] = False,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Order a fill at a batch dispenser."""
    from edge.cli.show import show_receipt

    volume_m3 = quantity(volume, "volume")
    if volume_m3 <= 0:
        raise typer.BadParameter(f"'{volume}': the volume of an order is above 0")
    request = {
        "op": "order",
        "dispenser": dispenser,
        "volume_m3": volume_m3,
        "vehicle": vehicle,
        "user": user,
        "use": use,
    }
    if valid:
        request["order_expires_ms"] = (time.time() + quantity(valid, "time")) * 1000
    answer = ask(state, request | ({"order_id": order_id} if order_id else {}))
    if not wait:
        print_json(answer) if as_json else say(f"order {answer['order_id']} accepted")
        return
    from edge.cli.client import wait_for_receipt

    try:
        receipt = asyncio.run(wait_for_receipt(state, answer["order_id"], _volume_deadline(volume_m3)))
    except KeyboardInterrupt:
        remark(f"the fill goes on; 'penstock cancel {dispenser}' ends it")
        raise
    print_json(receipt) if as_json else show_receipt(receipt)
    if not receipt["complete"]:
        sys.exit(exit_codes.WRONG)


@app.command()
def cancel(
    dispenser: Annotated[str, typer.Argument(help="the dispenser")],
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """End the fill in hand early; its receipt says so."""
    answer = ask(state, {"op": "cancel", "dispenser": dispenser})
    print_json(answer) if as_json else say(f"{dispenser}: the fill is being ended")


@app.command(cls=TakesNegatives)
def setpoint(
    dispenser: Annotated[str, typer.Argument(help="a continuous dispenser")],
    wanted: Annotated[
        str, typer.Argument(metavar="FLOW|PRESSURE", help="with its unit: '120 m3/h' or '3 bar'; '0 m3/h' stops")
    ],
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Give a continuous dispenser another set-point: of flow, or of pressure where it holds that."""
    words = wanted.split()
    pressure = len(words) == 2 and words[1] in ("bar", "mbar", "kPa", "MPa")
    value = quantity(wanted, "pressure" if pressure else "flow")
    if value < 0:
        raise typer.BadParameter(f"'{wanted}': a set-point is 0 (stops) or above")
    key = "pressure_bar" if pressure else "flow_m3h"
    answer = ask(state, {"op": "setpoint", "dispenser": dispenser, key: value})
    print_json(answer) if as_json else say(f"{dispenser}: set-point {wanted} accepted")


@app.command()
def reset(
    name: Annotated[str, typer.Argument(help="the tripped dispenser, or a latched alarm")],
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Reset a trip, or a latched alarm. Accepted only when its cause is gone (a trip: on fresh good data)."""
    answer = ask(state, {"op": "reset", "dispenser": name})
    print_json(answer) if as_json else say(f"{name} is reset")


@app.command()
def receipts(
    limit: Annotated[int, typer.Option(help="how many, newest first")] = 10,
    since_last_good: Annotated[
        str,
        typer.Option(metavar="DISPENSER", help="the fills between the last good reading and its newest trip"),
    ] = "",
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """The newest receipts, or those of the water that a trip came too late for."""
    from edge.cli.show import show_receipts, show_since_last_good

    if since_last_good:
        answer = ask(state, {"op": "receipts", "since_last_good": since_last_good})
        print_json(answer) if as_json else show_since_last_good(answer)
        return
    answer = ask(state, {"op": "receipts", "limit": limit})
    print_json(answer) if as_json else show_receipts(answer["receipts"])


@app.command()
def listen(
    broker: Annotated[str, typer.Argument(help="mqtt://host:port")],
    group: Annotated[str, typer.Option(help="the Sparkplug group")] = "changzhi",
    node: Annotated[str | None, typer.Option(help="one node; all if not given")] = None,
    count: Annotated[int, typer.Option(help="end after so many messages; 0: never")] = 0,
    as_json: Json = False,
) -> None:
    """Decode what arrives at a broker, and say at the end whether it is complete."""
    from edge.cli.listen import check_broker, listen_to

    check_broker(broker)
    sys.exit(asyncio.run(listen_to(broker, group, node, count, as_json=as_json)))


def run_until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Runs a process' work on uvloop where there is one; SIGTERM and SIGINT end it in order."""
    import signal

    async def guarded() -> None:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return

    try:
        import uvloop
    except ImportError:
        asyncio.run(guarded())
    else:
        uvloop.run(guarded())


def _forwarder_status(state: Path) -> dict[str, Any] | None:
    from edge.cli.client import forwarder_status

    return forwarder_status(state)


def _volume_deadline(volume_m3: float) -> float:
    """How long a fill of this volume may take: at 10 m3/h, and some minutes."""
    return 300.0 + volume_m3 / 10 * 3600


if __name__ == "__main__":
    main()
