"""Brings what the scan demands to the field: writes on change, and again while it is not confirmed.

An output is an absolute state (open, 42.0 %), so that writing it again is harmless; the driver itself never
repeats a write. A demand that is not confirmed is written again each second until it is, or is replaced.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from config.sample import Sample, Value
from control.arbitration import Demand
from control.output import TOLERANCE_PERCENT, follows
from drivers.port import LinkDriver, WriteResult

REWRITE_S: Final = 1.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Output:
    """What was last written to one signal, and how that went."""

    signal: int
    driver: LinkDriver
    name: str
    written: Value = None
    written_at: float = float("-inf")
    confirmed: bool = False
    pending: set[asyncio.Future[WriteResult]] = field(default_factory=set)
    failures: int = 0


class Outputs:
    """All outputs of a controller."""

    def __init__(self, drivers_by_signal: dict[int, LinkDriver], names: tuple[str, ...]) -> None:
        self._outputs = {s: _Output(s, driver, names[s]) for s, driver in drivers_by_signal.items()}

    def write(self, demands: tuple[Demand, ...], image: tuple[Sample, ...], mono: float) -> None:
        """Writes every demand that is new, or unconfirmed for a second. Never waits."""
        for demand in demands:
            output = self._outputs[demand.signal]
            if _differs(output.written, demand.value):
                self._write(output, demand.value, mono)
            elif output.pending or mono - output.written_at < REWRITE_S:
                continue
            elif not output.confirmed or not follows(demand, image[demand.signal]):
                self._write(output, demand.value, mono)

    async def settle(self, timeout: float) -> bool:
        """Waits until every write has been answered; false when some were not, or failed."""
        pending = {future for output in self._outputs.values() for future in output.pending}
        if pending:
            await asyncio.wait(pending, timeout=timeout)
        return all(output.confirmed for output in self._outputs.values())

    def _write(self, output: _Output, value: Value, mono: float) -> None:
        output.written, output.written_at, output.confirmed = value, mono, False
        future = output.driver.write(output.signal, value)
        output.pending.add(future)
        future.add_done_callback(lambda done: self._written(output, value, done))

    def _written(self, output: _Output, value: Value, done: asyncio.Future[WriteResult]) -> None:
        output.pending.discard(done)
        if done.cancelled() or _differs(output.written, value):
            return
        result = done.result()
        output.confirmed = result.ok
        if result.ok:
            if output.failures > 1:
                log.info("output confirmed", output=output.name, value=value, after_failures=output.failures)
            output.failures = 0
            return
        output.failures += 1
        # The 2nd, 4th, 8th ...: the first is made before any link is up, and a dead bus is to be no flood.
        if output.failures > 1 and output.failures & (output.failures - 1) == 0:
            log.warning("output not confirmed", output=output.name, value=value, detail=result.detail)


def _differs(written: Value, wanted: Value) -> bool:
    if isinstance(written, float) and isinstance(wanted, float):
        # An end position is always written exactly.
        return written != wanted and (abs(written - wanted) >= TOLERANCE_PERCENT or wanted in (0.0, 100.0))
    return written != wanted
