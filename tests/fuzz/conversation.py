"""Requests over one exchange, each answered by a mutated frame: framing and transactions alone, hence fast."""

import asyncio
import random
from collections import Counter
from random import Random
from typing import Final

from drivers.modbus.framing import Expected, RtuFraming
from drivers.modbus.transaction import Exchange, Outcome, Request, Result
from tests.fuzz.asked import MOST_ASKED, Asked, asked, some_shape
from tests.fuzz.clock import Clock
from tests.fuzz.kind import KINDS, Kind
from tests.fuzz.mutation import ASTRAY, FORGED, SPOILED, reply_frame, request_frame
from tests.fuzz.oracle import Finding, Oracle

ROUNDS: Final = 40
SHAPES: Final = 4
"""Different requests of a conversation: few, so that replies of one shape meet."""
TIMEOUT_S: Final = 1.0
SILENCE_S: Final = 0.003
TOO_EARLY_S: Final = 0.0021
"""A time-out may be told so much before its time: what the driver grants a loop's timer, and the rounding of floats."""
MOST_BYTES: Final = {True: 512, False: 260}
"""What a framing may keep at most, serial or not: two of the longest frames, or the one that is not yet whole."""
UNCHANGED: Final = "unchanged"
LATE, LATE_IDLE, SILENT, SPLIT, SWAPPED, SPOILED_TOO = (
    "late, during the next request",
    "late, while nothing is asked",
    "no reply",
    "split",
    "order swapped",
    " and spoiled",
)
_NAMES: Final = (*FORGED, *SPOILED, *SPOILED, *ASTRAY, LATE, LATE, LATE_IDLE, SILENT, SPLIT, SPLIT)
_SPOILS: Final = tuple(SPOILED.values())


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent = bytes(data)

    def abort(self) -> None:
        pass


class Conversation:
    """One kind of link, from connection to connection. ``mutations`` and ``outcomes`` are counted."""

    def __init__(self, rng: Random, mutations: Counter[str], outcomes: Counter[str], kind: Kind | None = None) -> None:
        self._rng = rng
        self._mutations = mutations
        self._outcomes = outcomes
        self._kind = kind or KINDS[int(rng.random() * len(KINDS))]
        self._shapes = [some_shape(rng) for _ in range(SHAPES)]
        self._clock = Clock()
        self._earlier: list[Asked] = []
        self._deadlines: dict[int, float] = {}
        self._held: list[tuple[str, bytes]] = []
        self._connect()

    def run(self) -> None:
        """Has the whole conversation. Raises ``Finding``."""
        for _ in range(ROUNDS):
            self._round()
        self._clock.forward(2 * TIMEOUT_S)
        self._check_ended()

    def _connect(self) -> None:
        # The first transaction is drawn from the common generator; sometimes the ids are about to begin anew.
        self._transport = _Transport()
        self._framing = self._kind.framing()
        silence = SILENCE_S if self._kind.wire.rtu else 0.0
        self._exchange = Exchange(self._framing, self._clock.loop, lambda why: None, self._kind.in_flight, silence)
        if self._rng.random() < 0.1:
            self._exchange._transaction = 0xFFFC
        self._oracle = Oracle(self._kind)
        self._exchange.connection_made(self._transport)

    def _round(self) -> None:
        rng = self._rng
        if self._exchange.ended:
            self._connect()
        for when, data in self._held:
            if when == LATE_IDLE:
                self._deliver(data)
        burst = 1 + int(rng.random() * self._kind.in_flight)
        now_asked = [self._ask() for _ in range(burst) if len(self._earlier) < MOST_ASKED and not self._exchange.ended]
        pieces = [data for when, data in self._held if when == LATE]
        self._held.clear()
        for one in now_asked:
            pieces += self._answered(one)
        if burst > 1 and rng.random() < 0.4:
            rng.shuffle(pieces)
            self._mutations[SWAPPED] += 1
        self._deliver_in_pieces(pieces)
        if rng.random() < 0.01 and not self._exchange.ended:
            self._oracle.hung_up = True
            self._exchange.connection_lost(None)
        # A line needs its silence; what is still awaited is given up.
        self._clock.forward(SILENCE_S if self._exchange.idle else TIMEOUT_S)
        self._check_ended()

    def _ask(self) -> Asked:
        rng = self._rng
        one = asked(self._shapes[int(rng.random() * SHAPES)], len(self._earlier))
        unit = None if self._kind.any_unit else one.unit
        timeout = TIMEOUT_S * (0.5 + rng.random() / 2)
        request = Request(one.pdu, Expected(unit, one.start, len(one.reply)), timeout)
        # The id is known only once it was sent; whatever comes, comes later.
        self._exchange.request(one.unit, request, self._done, len(self._earlier))
        if not self._kind.wire.rtu:
            one = one._replace(transaction=int.from_bytes(self._transport.sent[:2], "big"))
        if self._transport.sent != request_frame(self._kind.wire, one):
            raise Finding("the driver sent a wrong frame")
        self._deadlines[len(self._earlier)] = self._clock.now + timeout
        self._earlier.append(one)
        if isinstance(self._framing, RtuFraming):
            self._oracle.echoing = self._framing.echoes
        self._oracle.sent(one)
        return one

    def _answered(self, one: Asked) -> list[bytes]:
        """What comes in place of the reply."""
        rng, wire = self._rng, self._kind.wire
        right = reply_frame(wire, one)
        echo = [request_frame(wire, one)] if self._kind.echo and rng.random() < 0.9 else []
        if rng.random() < 0.1:
            self._mutations[UNCHANGED] += 1
            return [*echo, right]
        name = _NAMES[int(rng.random() * len(_NAMES))]
        if name in FORGED:
            pieces = [FORGED[name](rng, wire, one)]
        elif name in SPOILED:
            pieces = [SPOILED[name](rng, right)]
        elif name in ASTRAY:
            stray = ASTRAY[name](rng, wire, one, self._earlier[:-1])
            which = rng.random()
            pieces = [stray, right] if which < 0.5 else [right, stray] if which < 0.7 else [stray]
        elif name == SPLIT:
            at = int(rng.random() * len(right))
            pieces = [right[:at], right[at:]]
        else:
            if name != SILENT:
                self._held.append((name, right))
            pieces = []
        if pieces and rng.random() < 0.15 and pieces[-1]:
            name += SPOILED_TOO
            pieces[-1] = _SPOILS[int(rng.random() * len(_SPOILS))](rng, pieces[-1])
        self._mutations[name] += 1
        return echo + pieces

    def _deliver_in_pieces(self, pieces: list[bytes]) -> None:
        rng = self._rng
        how = rng.random()
        if how < 0.55:
            self._deliver(b"".join(pieces))
            return
        if how > 0.85:
            stream = b"".join(pieces)
            step = 1 if how > 0.98 and len(stream) < 64 else 1 + int(rng.random() * 40)
            pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
        for piece in pieces:
            self._deliver(piece)
            if rng.random() < 0.1:
                self._clock.forward(rng.random() * TIMEOUT_S)

    def _deliver(self, data: bytes) -> None:
        if not data or self._exchange.ended:
            return
        self._oracle.heard(data)
        self._exchange.data_received(data)
        if len(self._framing._buffer) > MOST_BYTES[self._kind.wire.rtu]:  # type: ignore[attr-defined]
            raise Finding("a buffer grows without bound")
        if self._oracle.broken and not self._exchange.ended:
            raise Finding("the stream is out of step, and the connection was kept")

    def _done(self, number: int, result: Result) -> None:
        deadline = self._deadlines.pop(number, None)
        if deadline is None:
            raise Finding("the outcome of a request was told twice")
        if self._clock.now > deadline:
            raise Finding(f"an outcome was told {self._clock.now - deadline:.3f} s after the deadline")
        if result.outcome is Outcome.TIMEOUT and self._clock.now < deadline - TOO_EARLY_S:
            raise Finding("a request was given up before its time")
        if isinstance(self._framing, RtuFraming):
            self._oracle.echoing |= self._framing.echoes
        self._outcomes[self._oracle.ended(self._earlier[number], result.outcome, result.pdu)] += 1

    def _check_ended(self) -> None:
        for number, deadline in self._deadlines.items():
            if deadline <= self._clock.now:
                raise Finding(f"request {number} was never answered for")
        if not self._deadlines and not self._exchange.idle:
            raise Finding("something is still awaited that is done with")


def converse(seed: int, mutations: Counter[str], outcomes: Counter[str]) -> None:
    """One conversation, the same for the same seed."""
    random.seed(seed)
    Conversation(Random(seed), mutations, outcomes).run()
