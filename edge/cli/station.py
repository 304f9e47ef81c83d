"""A whole station on this machine: simulator, broker, controller and forwarder as processes, and the receiver.

The demo, the benchmarks and the end-to-end tests run it. The simulator is a process of its own, spoken to by its
control channel; nothing of it is imported here.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final, TextIO

import aiomqtt
import yaml
from iotcore import Broker

import config
from config.errors import LinkError
from edge import rpc
from edge.cli.client import forwarder_status, wait_for_receipt
from edge.cli.relay import Relay
from edge.cli.supervise import command_line, stop
from edge.forwarder.receiver import Completeness, Received, listening
from edge.store import spool as spool_file
from edge.store.spool import Spool

READY_S: Final = 30.0
POLL_S: Final = 0.05
MAX_PAYLOAD: Final = 4 * 1024 * 1024


class Station:
    """Everything of one site. ``start`` brings it up in ``directory``; ``stop`` ends it in order."""

    def __init__(
        self, site: Path, directory: Path, *, simulator: list[str] | None = None, record: Path | None = None
    ) -> None:
        self.source = site
        self.directory = directory
        self.state = directory / "state"
        self.site = directory / "site.yaml"
        self.relay: Relay | None = None
        self.broker: Broker | None = None
        self.completeness = Completeness()
        self.received: list[Received] = []
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self._simulator_arguments = simulator or []
        self._record = record.absolute() if record is not None else None
        self._control = directory / "sim.sock"
        self._listener: asyncio.Task[None] | None = None
        self.listening = asyncio.Event()
        self._logs: list[TextIO] = []

    async def start(self) -> None:
        """Brings everything up and waits until the controller answers and the uplink is up."""
        self.directory.mkdir(parents=True, exist_ok=True)
        await self.start_broker()
        await self.start_simulator()
        await self.start_process("controller")
        await self.start_process("forwarder")
        await self.until("the controller answers", self.answers)
        await self.until("the uplink is up", self._uplink_up)

    async def start_broker(self) -> None:
        """An embedded broker on a free port, behind a relay that can be cut."""
        port = _free_port()
        self.broker = Broker(port=port, listen="127.0.0.1", max_payload_size=MAX_PAYLOAD)
        await asyncio.to_thread(self.broker.start)
        self.relay = Relay("127.0.0.1", port)
        await self.relay.restore()
        self._listener = asyncio.get_running_loop().create_task(self._listen(), name="listener")
        async with asyncio.timeout(READY_S):
            await self.listening.wait()

    async def start_simulator(self) -> None:
        """The plant and its instruments; writes the site file that points at them and at the relay."""
        out = self.directory / "simulated.yaml"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "hil_sim",
            "serve",
            str(self.source),
            "--site-out",
            str(out),
            "--control",
            str(self._control),
            *self._simulator_arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log("simulator"),
        )
        self.processes["simulator"] = process
        assert process.stdout is not None
        async with asyncio.timeout(READY_S):
            line = await process.stdout.readline()
        if not line:
            raise LinkError(f"the simulator did not start; see {self.directory / 'simulator.log'}")
        data = yaml.safe_load(out.read_text("utf-8"))
        if self.relay is not None and data.get("uplink"):
            data["uplink"]["broker"] = f"mqtt://127.0.0.1:{self.relay.port}"
        self.site.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), "utf-8")

    async def start_process(self, name: str) -> None:
        """Starts the controller or the forwarder."""
        recorded = ["--record", str(self._record)] if name == "controller" and self._record is not None else []
        self.processes[name] = await asyncio.create_subprocess_exec(
            *command_line([name, str(self.site), "--state", str(self.state), *recorded]),
            stdout=self._log(name),
            stderr=self._log(name),
            env={**os.environ, "PENSTOCK_LOG": "json"},
        )

    async def end_process(self, name: str, *, kill: bool = False) -> None:
        """Ends a process in order, or by SIGKILL."""
        process = self.processes.pop(name, None)
        if process is None:
            return
        if kill and process.returncode is None:
            process.kill()
            await process.wait()
        await stop(process)

    async def stop(self) -> None:
        """Ends everything, the controller first, so that the forwarder can deliver its last records."""
        for name in ("controller", "forwarder", "simulator"):
            await self.end_process(name)
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait({self._listener})
        if self.relay is not None:
            await self.relay.cut()
        if self.broker is not None:
            await asyncio.to_thread(self.broker.stop)
        for log in self._logs:
            log.close()

    async def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """One request to the controller."""
        return await rpc.call(self.state, {"op": op, **arguments})

    async def status(self) -> dict[str, Any]:
        """What ``penstock status --json`` answers."""
        return await self.ask("status") | {"forwarder": forwarder_status(self.state)}

    async def dispenser(self, tag: str) -> dict[str, Any]:
        """The status of one dispenser."""
        found: dict[str, Any] = (await self.ask("status"))["dispensers"][tag]
        return found

    async def receipt(self, order_id: str, timeout: float = 120.0) -> dict[str, Any]:
        """The receipt of an order, once there is one."""
        return await wait_for_receipt(self.state, order_id, timeout)

    async def simulate(self, op: str, **arguments: Any) -> dict[str, Any]:
        """One request to the simulator's control channel. Raises ``LinkError`` with its refusal."""
        reader, writer = await asyncio.open_unix_connection(str(self._control), limit=64 * 1024 * 1024)
        try:
            writer.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
        finally:
            writer.close()
        if not answer["ok"]:
            raise LinkError(f"simulator: {answer['error']}")
        return answer

    async def reaction_ms(self, since_ns: int, signal: str, above: float, output: str) -> float:
        """Milliseconds at the simulator's sockets from the reply that showed ``signal`` above a value to the
        arrival of the write that closes ``output``. Raises ``LinkError`` when either is missing.
        """
        replies = await self.simulate("wire", since_ns=since_ns, limit=5000, kind="reply", signal=signal)
        shown = next((e for e in replies["events"] if e["signals"][signal] > above), None)
        if shown is None:
            raise LinkError(f"no reply showed {signal} above {above:g}")
        writes = await self.simulate("wire", since_ns=shown["t_ns"], limit=5000, kind="write", signal=output)
        closed = next((e for e in writes["events"] if not e["signals"][output]), None)
        if closed is None:
            raise LinkError(f"{output} was not written to its safe position")
        return float(closed["t_ns"] - shown["t_ns"]) / 1e6

    async def until(self, what: str, condition: Callable[[], Any], timeout: float = READY_S) -> None:
        """Waits for a condition (plain or async). Raises ``LinkError`` that names it when it does not come."""
        deadline = time.monotonic() + timeout
        while True:
            held = condition()
            if asyncio.iscoroutine(held):
                held = await held
            if held:
                return
            if time.monotonic() > deadline:
                raise LinkError(f"{what}: not within {timeout:g} s; logs are in {self.directory}")
            await asyncio.sleep(POLL_S)

    async def until_ready(self, dispenser: str, timeout: float = READY_S) -> None:
        """Waits until a dispenser may start."""

        async def ready() -> bool:
            answer = await self.ask("why", name=dispenser)
            return bool(answer["ok"]) and answer["state"].endswith("ready")

        await self.until(f"{dispenser} is ready", ready, timeout)

    def produced(self) -> tuple[int, int]:
        """Boot and sequence of the newest record the controller has written."""
        spool = Spool(self.state / spool_file.FILE_NAME)
        try:
            boot = spool.latest_numbered_boot()
            return boot, spool.last_sequence(boot)
        finally:
            spool.close()

    async def until_delivered(self, timeout: float = READY_S) -> None:
        """Waits until the receiver has every record there is."""
        node = yaml.safe_load(self.site.read_text("utf-8"))["uplink"]["node"]

        def all_there() -> bool:
            boot, sequence = self.produced()
            return self.completeness.has_all(node, boot, sequence)

        await self.until("every record is delivered", all_there, timeout)

    def _log(self, name: str) -> TextIO:
        log = (self.directory / f"{name}.log").open("a", encoding="utf-8")
        self._logs.append(log)
        return log

    async def answers(self) -> bool:
        """True once the controller answers. Raises ``LinkError`` when it has ended."""
        if self.processes["controller"].returncode is not None:
            raise LinkError(f"the controller ended; see {self.directory / 'controller.log'}")
        try:
            return bool((await self.ask("ping"))["ok"])
        except LinkError:
            return False

    def _uplink_up(self) -> bool:
        status = forwarder_status(self.state)
        return status is not None and status["connected"]

    async def _listen(self) -> None:
        """Receives what the platform would, directly at the broker; connects again when the broker was away."""
        assert self.broker is not None
        while True:
            with contextlib.suppress(aiomqtt.MqttError, OSError):
                async with listening(f"mqtt://127.0.0.1:{self.broker.port}", "changzhi") as messages:
                    self.listening.set()
                    async for message in messages:
                        if self.completeness.take(message) or message.sequence is None:
                            self.received.append(message)
            self.listening.clear()
            await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def running(station: Station) -> AsyncIterator[Station]:
    """A station that is up while the context lasts."""
    try:
        await station.start()
        yield station
    finally:
        await station.stop()


def example_site(name: str) -> Path:
    """The site file of an example that ships with Penstock."""
    return Path(config.__file__).parent / "sites" / f"{name}.yaml"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
