"""Every way in which a line or a device can go wrong, over every kind of link: one row, and what must come of it.

While the fault lasts, the reading it concerns has the quality that the row says, its counters move, the other unit of
the bus is read on, and the connection is kept or not. Then everything is good again. A reply that must not pass
carries ``POISON``, which no register ever holds.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from config.load import LoadedSite
from config.sample import Reason
from tests.drivers.fault_devices import Behaviour, Devices, FaultLine, FaultServer, Replier, Request, framed
from tests.drivers.sites import Drivers, device, driving, site_of
from tests.drivers.test_transport import server_tls
from tests.drivers.virtual import World
from tests.hil_sim.certificates import Authority
from tests.hil_sim.sites import until

TIMEOUT_S = 0.06
REAL_TIMEOUT_S, REAL_POLL = 0.6, "100 ms"
"""On a busy machine a reply that was sent at once may take this long to be seen."""
POISON = b"\x03\x02\x02\x9a"
"""666, as the reply to a read of one holding register."""
LEVEL, FLOW = 100, 101
BYTE_S = 11 / 115200
KINDS = ("tcp", "converter", "serial")
AT_A_TIME = 14


class Far:
    """The far end of the link of a test. ``count``: how many connections there were."""

    def __init__(self, devices: Devices, count: Callable[[], int], timeout_s: float) -> None:
        self.devices = devices
        self.timeout_s = timeout_s
        self._count = count
        for unit in (1, 2):
            devices.registers |= {(unit, 0): LEVEL * unit, (unit, 10): LEVEL * unit + 1}

    @property
    def connections(self) -> int:
        return self._count()

    def right(self, request: Request) -> bytes:
        return self.devices.answer(request)


def link_of(kind: str, timeout_s: float, **more: object) -> dict[str, object]:
    link: dict[str, dict[str, object]] = {
        "serial": {"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 115200},
        "converter": {"type": "modbus-tcp", "host": "127.0.0.1", "framing": "rtu"},
    }
    given = link.get(kind, {"type": "modbus-tcp", "host": "127.0.0.1"})
    return given | {"timeout": f"{timeout_s} s", "retry": "50 ms"} | more


def devices_of(poll: str) -> dict[str, object]:
    return {f"D-{unit}": device("bus", unit, poll) for unit in (1, 2)}


@asynccontextmanager
async def really_laid(kind: str, folder: Path) -> AsyncIterator[tuple[Far, LoadedSite]]:
    """Two units behind a real socket, or at a pseudo-terminal of the speed of its line."""
    if kind == "serial":
        line = FaultLine(Devices(), BYTE_S)
        link, far, close = (
            link_of(kind, REAL_TIMEOUT_S, port=line.path),
            Far(line.devices, lambda: 1, REAL_TIMEOUT_S),
            line.close,
        )
    else:
        tls, settings = None, dict[str, object]()
        if kind == "tls":
            authority = Authority(folder)
            identity = authority.issue("meter", "127.0.0.1")
            tls, settings["tls"] = server_tls(identity.cert, identity.key), {"ca_file": str(authority.file)}
        server = FaultServer(framing="rtu" if kind == "converter" else "tcp", tls=tls)
        await server.open()
        link = link_of(kind, REAL_TIMEOUT_S, port=server.port, **settings)
        far, close = Far(server.devices, lambda: len(server.connections), REAL_TIMEOUT_S), server.close
    try:
        yield far, site_of(folder, {"bus": link}, devices_of(REAL_POLL))
    finally:
        close()


# -- what the device does -------------------------------------------------------------------------------------------

Make = Callable[[Far], Behaviour]
Send = Callable[[Far, Request, Replier], None]


def to_level(send: Send) -> Make:
    """Reads of the level of unit 1 are answered so, all else rightly."""

    def make(far: Far) -> Behaviour:
        def behave(request: Request, to: Replier) -> None:
            if (request.unit, request.function, request.address) == (1, 3, 0):
                send(far, request, to)
            else:
                to.reply(request, far.right(request))

        return behave

    return make


def pdu(data: bytes) -> Make:
    """The level is answered with this PDU."""
    return to_level(lambda far, request, to: to.reply(request, data))


def frames(*pieces: Callable[[Far, Request, Replier], bytes]) -> Make:
    """The level is answered with all these bytes at once."""
    return to_level(lambda far, request, to: to.send(b"".join(piece(far, request, to) for piece in pieces)))


def right(far: Far, request: Request, to: Replier) -> bytes:
    return to.frame(request, far.right(request))


def poison(far: Far, request: Request, to: Replier) -> bytes:
    """What somebody else is answered: another unit, and on TCP to another transaction."""
    return to.frame(request, POISON, unit=2, transaction=request.transaction ^ 0x40)


def echo(far: Far, request: Request, to: Replier) -> bytes:
    return to.frame(request, request.pdu)


def raw(data: bytes) -> Callable[[Far, Request, Replier], bytes]:
    return lambda far, request, to: data


def later(timeouts: float, *pieces: Callable[[Far, Request, Replier], bytes]) -> Make:
    def send(far: Far, request: Request, to: Replier) -> None:
        data = b"".join(piece(far, request, to) for piece in pieces)
        asyncio.get_running_loop().call_later(timeouts * far.timeout_s, to.send, data)

    return to_level(send)


def in_pieces(pause: float, cuts: Callable[[int, int], list[int]]) -> Make:
    """The level's reply comes in pieces, ``pause`` time-outs apart. ``cuts``: of the n-th reply, by its length."""

    def make(far: Far) -> Behaviour:
        count = [0]

        def send(far: Far, request: Request, to: Replier) -> None:
            data = right(far, request, to)
            places = [0, *cuts(count[0], len(data)), len(data)]
            count[0] += 1
            loop = asyncio.get_running_loop()
            for number, (first, end) in enumerate(pairwise(places)):
                loop.call_later(number * pause * far.timeout_s, to.send, data[first:end])

        return to_level(send)(far)

    return make


def broken_crc(far: Far, request: Request, to: Replier) -> bytes:
    frame = framed(request.unit, POISON)
    return frame[:-1] + bytes([frame[-1] ^ 1])


def cut_off(far: Far, request: Request, to: Replier) -> bytes:
    return to.frame(request, POISON)[:-2]


def silent_unit(far: Far) -> Behaviour:
    return lambda request, to: to.reply(request, far.right(request)) if request.unit == 2 else None


def half_open(far: Far) -> Behaviour:
    """Nothing is answered any more on the connections that there are."""
    before = far.connections

    def behave(request: Request, to: Replier) -> None:
        if far.connections > before:
            to.reply(request, far.right(request))

    return behave


def closed(*pieces: Callable[[Far, Request, Replier], bytes]) -> Make:
    """The connection is closed once, after a part of a reply perhaps."""

    def make(far: Far) -> Behaviour:
        before = far.connections

        def send(far: Far, request: Request, to: Replier) -> None:
            if far.connections > before:
                to.reply(request, far.right(request))
                return
            to.send(b"".join(piece(far, request, to) for piece in pieces))
            to.close()

        return to_level(send)(far)

    return make


def once(make: Make) -> Make:
    """Only on the first connection: what ends it would end the next one too."""

    def made(far: Far) -> Behaviour:
        before, behave = far.connections, make(far)
        return lambda r, to: behave(r, to) if far.connections == before else to.reply(r, far.right(r))

    return made


def unsolicited(far: Far) -> Behaviour:
    """Between the polls comes what nobody has asked for.

    On TCP it looks just like a reply. On a serial line it has another shape: one of the very shape, from the very unit,
    in the very moment in which a reply is awaited cannot be told from it by anybody.
    """

    def behave(request: Request, to: Replier) -> None:
        to.reply(request, far.right(request))
        to.send(to.frame(request, longer(POISON[2:] * 3)))
        to.send(to.frame(request, POISON, transaction=0, unit=3))

    return behave


def refusal(code: int) -> Make:
    return pdu(bytes([0x83, code]))


def other_transaction(of: Callable[[int], int]) -> Make:
    """The level is answered by another transaction than its own."""
    return to_level(lambda far, request, to: to.reply(request, POISON, transaction=of(request.transaction)))


def longer(data: bytes) -> bytes:
    """The reply to a read of so much."""
    return bytes([3, len(data)]) + data


# -- what must come of it -------------------------------------------------------------------------------------------

NO_REPLY = Reason.NO_COMMUNICATION
REFUSED = Reason.DEVICE_REFUSED
BUSY = Reason.DEVICE_BUSY


class Seen(NamedTuple):
    """What comes of a fault. ``reads``: the reason of the level meanwhile, ``None`` when it stays good.

    ``moves``: counters that move. ``kept``: whether the connection is; ``None``: either may be.
    """

    reads: Reason | None
    moves: tuple[str, ...] = ()
    kept: bool | None = True


@dataclass(frozen=True)
class Row:
    """A fault, and what comes of it. ``rtu``: where serial frames differ."""

    name: str
    make: Make
    seen: Seen
    rtu: Seen | None = None
    kinds: tuple[str, ...] = KINDS

    def of(self, kind: str) -> Seen:
        return self.rtu if self.rtu is not None and kind in SERIAL else self.seen


ALL = (*KINDS, "tls")
TCP = ("tcp",)
SERIAL = ("converter", "serial")
ON_NETWORK = ("tcp", "converter", "tls")
GOOD = Seen(None)
SKIPPED = Seen(None, ("stray_bytes",))
STRAY = Seen(NO_REPLY, ("timeouts", "stray_bytes"))
SILENT = Seen(NO_REPLY, ("timeouts",))
MALFORMED = Seen(NO_REPLY, ("malformed",))
LOST = Seen(NO_REPLY, ("connects",), kept=False)


ROWS = [
    # late
    Row("late", later(1.5, lambda far, r, to: to.frame(r, POISON)), STRAY, kinds=ALL),
    Row("late-but-in-time", later(0.3, right), GOOD),
    # short and long
    Row("short-data", pdu(b"\x03\x02\x02"), MALFORMED, STRAY, ALL),
    Row("short-consistent", pdu(b"\x03\x01\x02"), MALFORMED, STRAY),
    Row("no-data", pdu(b"\x03\x00"), MALFORMED, STRAY),
    Row("function-alone", pdu(b"\x03"), MALFORMED, STRAY),
    Row("long-data", pdu(POISON + b"\x00"), MALFORMED, STRAY),
    Row("long-consistent", pdu(longer(POISON[2:] * 2)), MALFORMED, STRAY),
    Row("longest", pdu(longer(POISON[2:] * 125)), MALFORMED, STRAY),
    Row("wrong-byte-count", pdu(b"\x03\x04\x02\x9a"), MALFORMED, STRAY),
    Row("byte-count-of-zero", pdu(b"\x03\x00\x02\x9a"), MALFORMED, STRAY),
    Row("byte-count-of-255", pdu(b"\x03\xff\x02\x9a"), MALFORMED, STRAY),
    # somebody else's
    Row("wrong-unit", to_level(lambda far, r, to: to.reply(r, POISON, unit=2)), STRAY, kinds=ALL),
    Row("unit-0", to_level(lambda far, r, to: to.reply(r, POISON, unit=0)), STRAY),
    Row("unit-255", to_level(lambda far, r, to: to.reply(r, POISON, unit=255)), STRAY),
    Row("wrong-function", pdu(b"\x04" + POISON[1:]), STRAY),
    Row("function-0", pdu(b"\x00" + POISON[1:]), STRAY),
    Row("reply-to-a-write", pdu(b"\x06\x00\x00\x02\x9a"), STRAY),
    Row("wrong-transaction", other_transaction(lambda own: own ^ 0x100), STRAY, kinds=TCP),
    Row("transaction-0", other_transaction(lambda own: 0), STRAY, kinds=TCP),
    Row("transaction-before", other_transaction(lambda own: (own - 1) % 0x10000), STRAY, kinds=TCP),
    # in pieces and in crowds
    Row("split-in-every-place", in_pieces(0.03, lambda n, size: [1 + n % (size - 1)]), GOOD, kinds=ALL),
    Row("byte-by-byte", in_pieces(0.02, lambda n, size: [*range(1, size)]), GOOD),
    # On TCP what is answered meanwhile stands in the middle of it, so that the stream may have to be given up.
    Row("slow-drip", in_pieces(0.4, lambda n, size: [*range(1, size)]), SILENT._replace(kept=None), STRAY),
    Row("merged-behind-another", frames(poison, right), SKIPPED, kinds=ALL),
    Row("merged-before-another", frames(right, poison), SKIPPED),
    Row("merged-between-many", frames(poison, poison, right, poison), SKIPPED),
    Row("doubled", frames(right, right), SKIPPED),
    Row("tripled", frames(right, right, right), SKIPPED),
    Row("echoed-and-answered", frames(echo, right), Seen(NO_REPLY, ("malformed", "stray_bytes")), SKIPPED),
    Row("echoed-only", frames(echo), MALFORMED, SILENT),
    Row("unsolicited", unsolicited, SKIPPED),
    # nothing
    Row("silent", to_level(lambda far, r, to: None), SILENT, kinds=ALL),
    Row("silent-unit", silent_unit, SILENT),
    Row("half-open", half_open, LOST, kinds=ON_NETWORK),
    Row("closed", closed(), LOST, kinds=ON_NETWORK),
    Row("closed-in-the-middle", closed(cut_off), LOST, kinds=ON_NETWORK),
    Row("answered-and-closed", closed(right), LOST, kinds=ON_NETWORK),
    # garbage
    Row(
        "garbage",
        once(frames(raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"))),
        Seen(NO_REPLY, ("connects", "stray_bytes"), kept=False),
        Seen(NO_REPLY, ("timeouts", "stray_bytes", "crc_errors")),
        ALL,
    ),
    Row("garbage-and-a-reply", once(frames(raw(b"\xff\xfe\xfd"), right)), LOST, SKIPPED),
    Row("wrong-protocol", once(frames(raw(b"\0\x01\0\x01\0\x05\x01" + POISON))), LOST, kinds=TCP),
    Row("length-of-zero", once(frames(raw(b"\0\x01\0\0\0\0\x01"))), LOST, kinds=TCP),
    Row("length-of-64-KiB", once(frames(raw(b"\0\x01\0\0\xff\xff\x01\x03\x02"))), LOST, kinds=TCP),
    Row("cut-off", once(frames(cut_off)), SILENT._replace(kept=None)),
    Row("wrong-check-sum", frames(broken_crc), Seen(NO_REPLY, ("timeouts", "stray_bytes", "crc_errors")), kinds=SERIAL),
    Row("noise-before", frames(raw(b"\x00\x55\x01\x03\x02"), right), SKIPPED, kinds=SERIAL),
    Row("noise-behind", frames(right, raw(b"\x00\x55")), SKIPPED, kinds=SERIAL),
    # refusals
    *[Row(f"exception-{code:02X}", refusal(code), Seen(REFUSED, ("exceptions",))) for code in (1, 2, 3, 4, 7, 8, 9)],
    *[Row(f"exception-{code:02X}", refusal(code), Seen(BUSY, ("exceptions",))) for code in (5, 6)],
    *[Row(f"exception-{code:02X}", refusal(code), Seen(NO_REPLY, ("exceptions",))) for code in (0x0A, 0x0B)],
    *[Row(f"exception-{code:02X}", refusal(code), Seen(REFUSED, ("exceptions",))) for code in (0x00, 0xFF)],
    Row("exception-of-another-function", pdu(b"\x84\x02"), STRAY),
    Row("exception-without-code", pdu(b"\x83"), MALFORMED, STRAY),
    Row("exception-with-more", pdu(b"\x83\x02\x00"), MALFORMED, STRAY),
    Row("exception-of-another-unit", to_level(lambda far, r, to: to.reply(r, b"\x83\x02", unit=2)), STRAY),
]
CASES = [pytest.param(row, kind, id=f"{row.name}-{kind}") for row in ROWS for kind in row.kinds if kind != "tls"]
REAL = (
    *("late", "short-data", "wrong-unit", "transaction-0", "split-in-every-place", "merged-behind-another", "doubled"),
    *(
        "echoed-and-answered",
        "silent",
        "half-open",
        "closed-in-the-middle",
        "garbage",
        "wrong-check-sum",
        "exception-02",
    ),
)
REAL_CASES = [
    pytest.param(row, kind, id=f"{row.name}-{kind}") for row in ROWS for kind in row.kinds if row.name in REAL
]


@dataclass
class Counters:
    """The counters of the link and of its first unit."""

    drivers: Drivers
    begun: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begun = self.now()

    def now(self) -> dict[str, int]:
        status = self.drivers.links["bus"].status()
        unit = status.devices["D-1"]
        return {
            "timeouts": unit.timeouts,
            "malformed": unit.malformed,
            "exceptions": unit.exceptions,
            "stray_bytes": status.stray_bytes,
            "crc_errors": status.crc_errors,
            "connects": status.connects,
        }

    def moved(self, *names: str) -> bool:
        now = self.now()
        return all(now[name] > self.begun[name] for name in names)


@pytest.fixture(scope="module", autouse=True)
def impatience() -> Iterator[None]:
    """What a device is given in seconds is given in hundredths here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drivers.modbus.bus.BUSY_PAUSE_S", 0.005)
        patch.setattr("drivers.modbus.bus.FIRST_RETRY_S", 0.02)
        patch.setattr("drivers.modbus.line.FIRST_RECONNECT_S", 0.02)
        yield


@pytest.mark.parametrize(("row", "kind"), CASES)
def test_a_fault_gives_no_wrong_value_and_heals(world: World, row: Row, kind: str) -> None:
    """In virtual time, so that nothing but the fault can be the reason for what is seen."""
    loaded = world.site(
        {"bus": link_of(kind, TIMEOUT_S, **({"port": 502} if kind != "serial" else {}))}, devices_of("40 ms")
    )
    network = world["bus"]
    world.run(lambda: story(Far(network.devices, lambda: len(network.wires), TIMEOUT_S), loaded, row, kind))


@pytest.mark.parametrize(("row", "kind"), REAL_CASES)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_fault_on_a_real_link_gives_no_wrong_value_and_heals(
    side_by_side: dict[tuple[str, str], asyncio.Task[None]], row: Row, kind: str
) -> None:
    await side_by_side[row.name, kind]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def side_by_side(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[dict[tuple[str, str], asyncio.Task[None]]]:
    """The rows on real links, some at a time: each of them waits most of the time, and none minds the others."""
    room = asyncio.Semaphore(AT_A_TIME)

    async def tell(row: Row, kind: str) -> None:
        async with room, really_laid(kind, tmp_path_factory.mktemp("row")) as (far, loaded):
            await story(far, loaded, row, kind)

    tasks = {
        (row.name, kind): asyncio.create_task(tell(row, kind)) for row in ROWS for kind in row.kinds if row.name in REAL
    }
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.wait(tasks.values())


async def story(far: Far, loaded: LoadedSite, row: Row, kind: str) -> None:
    reads, moves, kept = row.of(kind)
    async with driving(loaded) as drivers:
        readings = drivers.readings

        def healthy() -> bool:
            return all(
                readings.is_good(name, value)
                for name, value in (
                    ("D-1.level", LEVEL),
                    ("D-1.flow", FLOW),
                    ("D-2.level", 2 * LEVEL),
                    ("D-1.run", False),
                )
            )

        await until(healthy)
        counters = Counters(drivers)
        first, first_2 = len(readings.of["D-1.level"]), len(readings.of["D-2.level"])
        far.devices.behave(row.make(far))
        if reads is None:
            await readings.more("D-1.level", 6 if "every-place" not in row.name else 16)
            assert all(sample.good for sample in readings.of["D-1.level"][first:])
        else:
            await until(lambda: any(sample.reason is reads for sample in readings.of["D-1.level"][first:]))
        await until(lambda: counters.moved(*moves))
        if kept:
            assert counters.now()["connects"] == counters.begun["connects"]
            await readings.more("D-2.level", 1)
            assert all(sample.good for sample in readings.of["D-2.level"][first_2:])

        far.devices.behave(None)
        await until(healthy)
        await readings.more("D-1.level", 2)
        await until(healthy)
        assert not any(666 in readings.values(name) for name in readings.of)
        seen = {value for name in ("D-1.level", "D-1.flow", "D-2.level") for value in readings.values(name)}
        assert seen <= {LEVEL, FLOW, 2 * LEVEL}
        if kept is not None:
            assert (far.connections == 1) is kept
    assert far.devices.broken == [], "the driver sent a broken frame"
