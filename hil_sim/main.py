"""``penstock-sim``: serves the simulator of a site file, or an instrument to practise on."""

import argparse
import asyncio
import json
import logging
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import yaml

from config.errors import PenstockError
from config.load import load_site
from hil_sim.base_station import Settings
from hil_sim.errors import SimulatorError
from hil_sim.modbus_tcp import ModbusTcpServer, ServerTls
from hil_sim.mystery import Mystery
from hil_sim.opcua_server import OpcUaOptions
from hil_sim.simulator import Simulator
from hil_sim.stations import MODELS

DISPLAY_S: Final = 0.5
MAX_SEED: Final = 10_000
"""Short enough to be noted by hand."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 stopped by a signal, 1 the site cannot be served."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    # asyncua reports every client that comes and goes, and each stop, as if it were a fault.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    try:
        asyncio.run(options.run(options))
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'penstock-sim'}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="penstock-sim", description="Simulated stations for Penstock.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve the plant and the instruments of a site file")
    serve.set_defaults(run=_serve)
    serve.add_argument("site", type=Path, metavar="SITE", help="the site file")
    serve.add_argument("--site-out", type=Path, required=True, metavar="FILE", help="write the site file to use here")
    serve.add_argument("--control", type=Path, metavar="SOCKET", help="open the control channel on this unix socket")
    serve.add_argument("--seed", type=int, default=0, help="seed of every variation and noise (default 0)")
    serve.add_argument(
        "--analyzer-interval",
        type=_positive,
        metavar="SECONDS",
        help="one result of each batch analyzer per SECONDS",
    )
    serve.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate of every link that has tls, PEM")
    serve.add_argument("--tls-key", type=Path, metavar="FILE", help="its key, PEM")
    serve.add_argument("--tls-client-ca", type=Path, metavar="FILE", help="let in only clients certified by this CA")
    serve.add_argument(
        "--fixed-ports", action="store_true", help="serve OPC UA links on the ports of their urls, not on free ones"
    )
    serve.add_argument(
        "--opcua-pki", type=Path, metavar="DIR", help="the OPC UA servers' certificate, and in DIR/trusted the clients'"
    )
    serve.add_argument("--model", choices=sorted(MODELS), help="station model (default: after the site's device tags)")
    mystery = commands.add_parser("mystery", help="serve a made-up instrument whose register map has to be found")
    mystery.set_defaults(run=_mystery)
    mystery.add_argument("--seed", type=int, help="which instrument (default: a new one each time)")
    mystery.add_argument("--tcp", action="store_true", help="on a Modbus TCP port in place of a serial line")
    mystery.add_argument("--reveal", action="store_true", help="print the profile of the instrument of --seed, and end")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("a number above 0")
    return value


def _tls(options: argparse.Namespace) -> ServerTls | None:
    if options.tls_cert is None and options.tls_key is None and options.tls_client_ca is None:
        return None
    if options.tls_cert is None or options.tls_key is None:
        raise SimulatorError("--tls-cert and --tls-key go together, with or without --tls-client-ca")
    return ServerTls(options.tls_cert, options.tls_key, options.tls_client_ca)


def _stop_signal() -> asyncio.Event:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped


async def _mystery(options: argparse.Namespace) -> None:
    if options.reveal and options.seed is None:
        raise SimulatorError("--reveal needs the --seed that the instrument printed when it was started")
    seed = options.seed if options.seed is not None else secrets.randbelow(MAX_SEED)
    instrument = Mystery(seed, options.tcp)
    if options.reveal:
        print(yaml.safe_dump(instrument.reveal(), sort_keys=False, width=110), end="")
        return
    stopped = _stop_signal()
    server = instrument.server
    await server.start()
    try:
        where = f"{server.host}:{server.port}" if isinstance(server, ModbusTcpServer) else server.path
        print(f"A made-up flow meter, --seed {seed}, on {where}. Its display shows, until Ctrl-C:", flush=True)
        loop = asyncio.get_running_loop()
        stepped_s = loop.time()
        while not stopped.is_set():
            # On a terminal the display stays in its place.
            print(instrument.display, end="\r" if sys.stdout.isatty() else "\n", flush=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), DISPLAY_S)
            now_s = loop.time()
            instrument.step(now_s - stepped_s)
            stepped_s = now_s
        if sys.stdout.isatty():
            print()
    finally:
        await server.stop()


async def _serve(options: argparse.Namespace) -> None:
    stopped = _stop_signal()
    loaded = load_site(options.site)
    settings = Settings(options.seed, options.analyzer_interval, time.time())
    opcua = OpcUaOptions(options.fixed_ports, options.opcua_pki)
    simulator = Simulator(loaded, settings, options.control, options.model, _tls(options), opcua)
    await simulator.start()
    try:
        simulator.write_site(options.site_out)
        running = asyncio.create_task(simulator.run())
        stopping = asyncio.create_task(stopped.wait())
        control = str(options.control) if options.control else None
        print(json.dumps({"ready": True, "site": str(options.site_out), "control": control}), flush=True)
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        for task in (running, stopping):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    finally:
        await simulator.stop()
