"""The controller as a process: opens the store, restores what must survive, serves its socket, runs."""

import gc
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from config.errors import StoreError
from config.load import LoadedSite
from control.cause import to_json
from control.compiler import compile_site
from control.fill import BatchState, without_order
from control.instant import Instant
from control.program import Program
from control.saved import restored, state_lost
from control.state import ScanState, initial_state
from edge import rpc
from edge.controller.controller import Controller
from edge.controller.recorder import metric_definitions
from edge.controller.requests import Requests
from edge.single_instance import single_instance
from edge.store import ledger as ledger_file
from edge.store.ledger import Ledger
from edge.store.writer import StoreWriter

YOUNG_OBJECTS: Final = 20_000
"""Samples die with their last reference: the collector need not look at every seven hundred objects, as it would."""

log = structlog.get_logger(__name__)


async def run_controller(loaded: LoadedSite, state_dir: Path, record: Path | None = None) -> None:
    """Runs until cancelled. ``record``: a file for the inputs of every scan, to replay them.

    Raises ``LinkError`` when another controller runs there, ``StoreError`` on a bad disk.
    """
    with single_instance(state_dir, "controller"):
        await _run(loaded, state_dir, record)


async def _run(loaded: LoadedSite, state_dir: Path, record: Path | None) -> None:
    program = compile_site(loaded)
    store = StoreWriter(state_dir)
    ledger = Ledger(state_dir / ledger_file.FILE_NAME, read_only=True)
    store.start()
    try:
        aliases = store.register(metric_definitions(loaded, program))
        state = _state_at_start(program, store, ledger)
        controller = Controller(loaded, program, state, store, aliases, state_dir / "pki", record)
        started = {
            "name": "started",
            "boot": store.boot,
            "site": loaded.site.site.id,
            "site_file": str(loaded.path),
        }
        store.put_entry("event", "controller", started, int(time.time() * 1000))
        for concession in program.concessions:
            body = {"name": str(concession.cause.code), "cause": to_json(concession.cause)}
            store.put_entry("event", concession.dispenser, body, int(time.time() * 1000))
        for path in store.set_aside:
            body = {"name": "store-set-aside", "file": str(path)}
            store.put_entry("event", "store", body, int(time.time() * 1000))
        async with rpc.serve(state_dir, Requests(controller, ledger).handle):
            # What has been loaded stays as long as the process: the collector is spared it, and the scan its pauses.
            gc.collect()
            gc.freeze()
            gc.set_threshold(YOUNG_OBJECTS, 20, 50)
            log.info("controller runs", site=loaded.site.site.id, boot=store.boot, state=str(state_dir))
            await controller.run()
    finally:
        store.stop()
        ledger.close()


def _state_at_start(program: Program, store: StoreWriter, ledger: Ledger) -> ScanState:
    now = Instant(time.monotonic(), time.time())
    try:
        saved = store.load_state()
        if saved is None:
            return initial_state(program)
        return _without_receipted_orders(restored(program, saved, now), ledger)
    except StoreError as error:
        log.error("what was remembered cannot be read; every dispenser counts as tripped", error=error.message)
        return state_lost(program, error.message, now)


def _without_receipted_orders(state: ScanState, ledger: Ledger) -> ScanState:
    """An order whose receipt reached the ledger just before the stop must not get a second one."""
    dispensers = tuple(
        without_order(dispenser)
        if isinstance(dispenser, BatchState) and dispenser.order is not None and ledger.has_receipt(dispenser.order.id)
        else dispenser
        for dispenser in state.dispensers
    )
    return replace(state, dispensers=dispensers)
