"""A link opened by hand: one request at a time, judged as strictly as a poll, and everything heard beside it kept.

For the tools of a person on site. Nothing is asked that was not asked for, nothing is sent twice.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, Self

from config.errors import LinkError
from config.link import ModbusLink, ModbusTcpLink
from drivers.modbus.framing import LAST_READ_FUNCTION, Expected, FrameCounts, Framing, Reply
from drivers.modbus.procedure import Ask, BrokenOff, Pause, Procedure
from drivers.modbus.transaction import Exchange, Outcome, Request, Result
from drivers.modbus.transport import connect, framing_of, has_transaction_ids, line_timing
from drivers.port import WriteResult

DRAIN_TIMEOUTS: Final = 3.0
"""A unit that left a request unanswered is not asked what its late reply would answer before so many time-outs."""
BROADCAST_PAUSE_S: Final = 0.2
"""What devices get to carry out a broadcast (MODBUS over Serial Line V1.02, 2.4.1: 100 to 200 ms)."""
LONGEST_TALK_S: Final = 1.0
"""A line that is never silent is not waited for longer: the longest frame takes less at 4,800 baud."""
UNDO_S: Final = 5.0
"""What is left to do when somebody breaks a procedure off is given so long: an off, and the port opened anew."""
MAX_HEARD: Final = 1024
"""Bytes kept of what is heard during one request: four of the longest frames."""


class Answer(NamedTuple):
    """What came of a request. ``sent``: its frame; ``before``: heard since the last one; ``heard``: since it was sent.

    ``heard`` holds all that came: the reply too, an echo, frames of others, rubbish.
    """

    result: Result
    sent: bytes
    before: bytes
    heard: bytes


class _Listening:
    """A framing that keeps what it is fed."""

    def __init__(self, inner: Framing) -> None:
        self.counts: FrameCounts = inner.counts
        self.sent = b""
        self._inner = inner
        self._heard = b""

    def frame(self, unit: int, pdu: bytes, transaction: int) -> bytes:
        self.sent = self._inner.frame(unit, pdu, transaction)
        return self.sent

    def feed(self, data: bytes, pending: Mapping[int, Expected]) -> list[Reply]:
        self._heard = (self._heard + data)[-MAX_HEARD:]
        return self._inner.feed(data, pending)

    def given_up(self, transaction: int) -> None:
        self._inner.given_up(transaction)

    def take(self) -> bytes:
        """What was heard since the last time."""
        heard, self._heard = self._heard, b""
        return heard


class Probe:
    """One link, for as long as the context lasts. Raises ``LinkError`` when it cannot be opened, or opened again."""

    def __init__(self, link: ModbusLink) -> None:
        self._link = link
        self._timing = line_timing(link)
        self._has_ids = has_transaction_ids(link)
        self._turn = asyncio.Lock()
        self._exchange: Exchange | None = None
        self._ears: _Listening | None = None
        self._why = ""
        self._quiet_until = float("-inf")
        self._late: dict[int, set[bytes]] = {}
        self._late_until: dict[int, float] = {}

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._exchange is not None:
            self._exchange.close("done")

    def timeout(self, ask: Ask, response_delay: float) -> float:
        """How long a reply is awaited, in seconds: its time on the line and in the device, and the link's margin."""
        return self._timing.transfer_s(len(ask.pdu), ask.reply_bytes) + response_delay + self._link.timeout

    async def ask(self, unit: int, ask: Ask, response_delay: float = 0.0, *, any_unit: bool = False) -> Answer:
        """Asks a unit and waits for its reply, no longer than ``timeout``.

        ``any_unit``: a reply that names another unit counts too.
        """
        async with self._turn:
            loop = asyncio.get_running_loop()
            timeout = self.timeout(ask, response_delay)
            await self._settled(unit, ask.start, any_unit=any_unit)
            exchange, ears = self._exchange, self._ears
            if exchange is None or ears is None:
                exchange, ears = await self._open()
            before = ears.take()
            done: asyncio.Future[Result] = loop.create_future()
            expected = Expected(None if any_unit else unit, ask.start, ask.reply_bytes)
            exchange.request(unit, Request(ask.pdu, expected, timeout), _keep, done)
            try:
                result = await done
            except asyncio.CancelledError:
                # What may still come must not meet a request that is awaited.
                exchange.close("broken off")
                raise
            self._note(unit, ask.start, result, timeout)
            if result.outcome is Outcome.LOST:
                result = result._replace(pdu=self._why.encode())
            return Answer(result, ears.sent, before, ears.take())

    async def broadcast(self, ask: Ask) -> Result:
        """Sends to every unit; nobody answers, and that it was sent is all that can be known."""
        async with self._turn:
            await self._settled(0, ask.start, any_unit=False)
            exchange = self._exchange or (await self._open())[0]
            exchange.send(0, ask.pdu)
            now = asyncio.get_running_loop().time()
            self._quiet_until = now + BROADCAST_PAUSE_S
            return Result(Outcome.REPLY, ask.start, now, 0.0)

    async def carry_out(
        self, unit: int, steps: Procedure, response_delay: float, *, broadcast: bool, any_unit: bool = False
    ) -> WriteResult:
        """Does something to a unit step by step; returns how it ended when its last step is done.

        Broken off (Ctrl-C), it takes back first what must not be left so: a pulse that is on is switched off.
        """

        async def ask(step: Ask) -> Result:
            if broadcast and step.pdu[0] > LAST_READ_FUNCTION:
                return await self.broadcast(step)
            return (await self.ask(unit, step, response_delay, any_unit=any_unit)).result

        answer: WriteResult | None = None
        result: Result | None = None
        try:
            while True:
                step = next(steps) if result is None else steps.send(result)
                result = None
                if isinstance(step, WriteResult):
                    # The first one answers; what follows looks for the effect.
                    answer = answer or step
                elif isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    result = await ask(step)
        except StopIteration:
            return answer or WriteResult(False, None, "ended without an answer")
        except asyncio.CancelledError:
            with contextlib.suppress(LinkError, TimeoutError):
                async with asyncio.timeout(UNDO_S):
                    await _undo(steps, ask)
            raise
        finally:
            steps.close()

    # -- the connection ----------------------------------------------------------------------------------------------

    async def _open(self) -> tuple[Exchange, _Listening]:
        ears = _Listening(framing_of(self._link))
        try:
            self._ears, self._exchange = ears, await connect(self._link, self._lost, ears)
        except LinkError as error:
            raise explained(error, self._link) from error
        return self._exchange, ears

    def _lost(self, why: str) -> None:
        self._exchange = None
        self._why = f"connection lost: {why}"

    # -- silence and late replies ------------------------------------------------------------------------------------

    async def _settled(self, unit: int, start: bytes, *, any_unit: bool) -> None:
        """Waits for the silence that the line needs, and until no late reply can be taken for the next one's."""
        loop = asyncio.get_running_loop()
        ready = self._quiet_until
        for one in list(self._late) if any_unit else [unit]:
            if start in self._late.get(one, ()):
                ready = max(ready, self._late_until[one])
                del self._late[one]
        await asyncio.sleep(max(ready - loop.time(), 0.0))
        patience = loop.time() + LONGEST_TALK_S
        while self._exchange is not None and loop.time() < patience:
            left = self._exchange.last_byte_at + self._timing.silence_s - loop.time()
            if left <= 0:
                return
            await asyncio.sleep(left)

    def _note(self, unit: int, start: bytes, result: Result, timeout: float) -> None:
        """A device answers in order: a reply shows that none to an earlier request will come."""
        if self._has_ids:
            return
        match result.outcome:
            case Outcome.TIMEOUT:
                self._late.setdefault(unit, set()).add(start)
                self._late_until[unit] = result.at + DRAIN_TIMEOUTS * timeout
            case Outcome.EXCEPTION if unit in self._late:
                # It may be the refusal of an earlier request of the same function.
                self._late[unit] = {start}
                self._late_until[unit] = result.at + DRAIN_TIMEOUTS * timeout
            case Outcome.REPLY:
                self._late.pop(unit, None)
            case _:
                return


async def _undo(steps: Procedure, ask: Callable[[Ask], Awaitable[Result]]) -> None:
    try:
        step = steps.throw(BrokenOff())
        while not isinstance(step, WriteResult):
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                step = next(steps)
            else:
                step = steps.send(await ask(step))
    except (BrokenOff, StopIteration):
        return


def _keep(done: "asyncio.Future[Result]", result: Result) -> None:
    if not done.done():
        done.set_result(result)


def explained(error: LinkError, link: ModbusLink) -> LinkError:
    """Why a link could not be opened, in words that say what to do; a serial port says so itself."""
    if not isinstance(link, ModbusTcpLink):
        return error
    text = f"{link.host}:{link.port} cannot be reached: {error.message}"
    if "refused" in text.lower() or "Connect call failed" in text:
        text += "; nothing listens there (another --tcp-port? a gateway that takes one connection only?)"
    return LinkError(text)
