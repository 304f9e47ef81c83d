"""``penstock-sim``: serves the simulator of a site file."""

import argparse
import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from config.errors import PenstockError
from config.load import load_site
from hil_sim.base_station import Settings
from hil_sim.simulator import Simulator
from hil_sim.stations import MODELS


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 stopped by a signal, 1 the site cannot be served."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    # asyncua reports every client that comes and goes, and each stop, as if it were a fault.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    try:
        asyncio.run(_serve(options))
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or options.site}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="penstock-sim", description="Simulated stations for Penstock.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve the plant and the instruments of a site file")
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
    serve.add_argument("--model", choices=sorted(MODELS), help="station model (default: after the site's device tags)")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("a number above 0")
    return value


async def _serve(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loaded = load_site(options.site)
    settings = Settings(options.seed, options.analyzer_interval, time.time())
    simulator = Simulator(loaded, settings, options.control, options.model)
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
