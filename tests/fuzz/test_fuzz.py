"""The short run of the fuzzer, and proof that it finds what it is there to find."""

import re
from collections.abc import Mapping
from random import Random
from typing import Any, Final

import pytest
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU

from drivers.modbus import framing, transaction
from drivers.modbus.framing import Expected, Reply, RtuFraming, TcpFraming
from drivers.modbus.transaction import Exchange
from drivers.modbus.unit import Unit
from tests.fuzz.__main__ import main
from tests.fuzz.asked import Asked, asked, some_shape
from tests.fuzz.crc import check_sum
from tests.fuzz.mutation import ASTRAY, FORGED, SPOILED, Wire, reply_frame
from tests.fuzz.oracle import Finding
from tests.fuzz.run import run

SEED: Final = 20261
FRAMES: Final = 100_000


def test_a_hundred_thousand_mutated_frames_find_nothing() -> None:
    tally = run(SEED, FRAMES)
    assert tally.failed == {}
    assert tally.frames >= FRAMES
    for name in (*FORGED, *SPOILED, *ASTRAY):
        assert tally.mutations[name] > 100, f"{name} hardly ever happened"
    for outcome in ("true reply", "exception", "malformed", "time-out", "connection lost", "bus: good sample, true"):
        assert tally.outcomes[outcome] > 1000, f"{outcome} hardly ever came of it"


# -- faults that it must find -----------------------------------------------------------------------------------------


class _AnySum(bytes):
    """A check sum that is always right."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = bytes.__hash__


_sum, _search, _leniently = framing.crc, RtuFraming._search, TcpFraming._leniently
_tcp_feed, _rtu_feed, _frame, _end = TcpFraming.feed, RtuFraming.feed, RtuFraming.frame, Exchange._end
Pending = Mapping[int, Expected]


def _any_unit(self: RtuFraming, buffer: bytes, expected: Expected) -> bytes | None:
    return _search(self, buffer, expected._replace(unit=None))


def _any_byte_count(self: RtuFraming, buffer: bytes, expected: Expected) -> bytes | None:
    return _search(self, buffer, expected._replace(start=expected.start[:1]))


def _any_transaction(self: TcpFraming, number: int, unit: int, function: int, pending: Pending) -> int | None:
    found = _leniently(self, number, unit, function, pending)
    return next(iter(pending), None) if found is None else found


def _any_tcp_unit(self: TcpFraming, data: bytes, pending: Pending) -> list[Reply]:
    return _tcp_feed(self, data, {name: one._replace(unit=None) for name, one in pending.items()})


def _any_tcp_byte_count(self: TcpFraming, data: bytes, pending: Pending) -> list[Reply]:
    replies = _tcp_feed(self, data, pending)
    return [(name, pdu if pdu[0] & 0x80 else pending[name].start + pdu[2:]) for name, pdu in replies]


def _keeps_the_buffer(self: RtuFraming, data: bytes, pending: Pending) -> list[Reply]:
    before = self._buffer if pending else b""
    replies = _rtu_feed(self, data, pending)
    if pending and not replies:
        self._buffer = before + data
    return replies


def _forgets_the_request(self: RtuFraming, unit: int, pdu: bytes, number: int) -> bytes:
    frame = _frame(self, unit, pdu, number)
    self._request = b""
    return frame


def _tells_twice(self: Exchange, number: int, outcome: transaction.Outcome, pdu: bytes) -> None:
    _, _, done, context = self._pending[number]
    _end(self, number, outcome, pdu)
    if outcome is transaction.Outcome.MALFORMED:
        done(context, transaction.Result(outcome, pdu, 0.0, 0.0))


def _stumbles(self: RtuFraming, data: bytes, pending: Pending) -> list[Reply]:
    if pending and len(data) == 1:
        raise IndexError("a frame of one byte")
    return _rtu_feed(self, data, pending)


def _protocol_ignored(self: TcpFraming, data: bytes, pending: Pending) -> list[Reply]:
    try:
        return _tcp_feed(self, data, pending)
    except ValueError:
        return []


FAULTS: Final[dict[str, tuple[object, str, Any]]] = {
    "the check sum is not looked at": (framing, "crc", lambda data: _AnySum(_sum(data))),
    "serial: any unit's reply is taken": (RtuFraming, "_search", _any_unit),
    "serial: any byte count is taken": (RtuFraming, "_search", _any_byte_count),
    "serial: the echo is taken for a reply": (RtuFraming, "frame", _forgets_the_request),
    "serial: the buffer has no bound": (RtuFraming, "feed", _keeps_the_buffer),
    "serial: an exception escapes": (RtuFraming, "feed", _stumbles),
    "TCP: any transaction id is taken": (TcpFraming, "_leniently", _any_transaction),
    "TCP: any unit's reply is taken": (TcpFraming, "feed", _any_tcp_unit),
    "TCP: any byte count is taken": (TcpFraming, "feed", _any_tcp_byte_count),
    "TCP: a stream out of step is kept": (TcpFraming, "feed", _protocol_ignored),
    "an outcome is told twice": (Exchange, "_end", _tells_twice),
    "nothing is ever given up": (Exchange, "_expire", lambda self: None),
    "late replies are not thought of": (Unit, "may_be_late", lambda self, start, now: False),
    "a late reply counts as cleared at once": (Unit, "may_still_answer", lambda self, start, now: None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, name, wrong = FAULTS[fault]
    monkeypatch.setattr(where, name, wrong)
    assert run(SEED, FRAMES).failed, "the short run did not find it"


def test_a_finding_is_told_with_the_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(TcpFraming, "_leniently", _any_transaction)
    monkeypatch.setattr("sys.argv", ["fuzz", "--seed", "7", "--frames", "2000", "--jobs", "1"])
    assert main() == 1
    [case, *_] = re.findall(r"python -m tests.fuzz --seed 7 --case (\d+)", capsys.readouterr().out)
    monkeypatch.setattr("sys.argv", ["fuzz", "--seed", "7", "--case", case])
    with pytest.raises(Finding):
        main()
    monkeypatch.undo()
    monkeypatch.setattr("sys.argv", ["fuzz", "--seed", "7", "--case", case])
    assert main() == 0


# -- what the oracle stands on ---------------------------------------------------------------------------------------


def _by_pymodbus(wire: Wire, frame: bytes) -> bytes:
    framer = (FramerRTU if wire.rtu else FramerSocket)(DecodePDU(False))
    return framer.decode(frame)[3]


def _by_ours(wire: Wire, one: Asked) -> bytes:
    ours: RtuFraming | TcpFraming = RtuFraming() if wire.rtu else TcpFraming()
    ours.frame(one.unit, one.pdu, one.transaction)
    pending = {one.transaction: Expected(one.unit, one.start, len(one.reply))}
    [(_, pdu)] = ours.feed(reply_frame(wire, one), pending)
    return pdu


@pytest.mark.parametrize("wire", [Wire(rtu=True), Wire(rtu=False)], ids=["rtu", "tcp"])
def test_what_is_well_formed_pymodbus_understands_just_so(wire: Wire) -> None:
    rng = Random(SEED)
    for number in range(256):
        one = asked(some_shape(rng), number)._replace(transaction=1 + number)
        assert _by_ours(wire, one) == one.reply == _by_pymodbus(wire, reply_frame(wire, one))


def test_the_check_sum_is_that_of_the_specification() -> None:
    assert check_sum(bytes((0x02, 0x07))) == bytes((0x41, 0x12))  # MODBUS over Serial Line V1.02, 6.2.2


def test_the_same_seed_is_the_same_run() -> None:
    one, other = run(SEED, 5_000), run(SEED, 5_000)
    assert (one.mutations, one.outcomes, one.cases) == (other.mutations, other.outcomes, other.cases)
