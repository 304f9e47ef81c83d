"""Streams of bytes cut into the replies that are meant."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer.rtu import FramerRTU

from drivers.modbus.framing import Expected, Framing, RtuFraming, TcpFraming, crc

REPLY = bytes.fromhex("03 0A 00 00 8D 41 00 00 8D 41 00 00")
EXPECTED = Expected(unit=1, start=REPLY[:2], pdu_bytes=len(REPLY))
RTU_REPLY = bytes.fromhex("01 03 0A 00 00 8D 41 00 00 8D 41 00 00 C7 33")
OTHER = bytes.fromhex("03 0A 11 11 11 11 11 11 11 11 11 11")


def mbap(pdu: bytes = REPLY, transaction: int = 7, unit: int = 1, protocol: int = 0) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1, unit) + pdu


def rtu(pdu: bytes, unit: int = 1) -> bytes:
    body = bytes([unit]) + pdu
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


def took(framing: Framing, data: bytes, expected: Expected | None = EXPECTED, transaction: int = 7) -> bytes | None:
    """The reply found in ``data``, if there is one."""
    replies = framing.feed(data, {transaction: expected} if expected is not None else {})
    assert len(replies) <= 1
    assert all(answered == transaction for answered, _ in replies)
    return replies[0][1] if replies else None


def fed(framing: Framing, stream: bytes, cuts: set[int] | None = None) -> list[bytes]:
    """The replies found in a stream that arrives cut at the given places."""
    places = sorted({0, len(stream), *(cut for cut in cuts or () if cut < len(stream))})
    found = (took(framing, stream[a:b]) for a, b in pairwise(places))
    return [pdu for pdu in found if pdu is not None]


# -- TCP ------------------------------------------------------------------------------------------------------------


def test_a_tcp_request_has_its_header() -> None:
    sent = TcpFraming().frame(0x11, bytes.fromhex("03 00 6B 00 03"), 0x0102)
    assert sent == bytes.fromhex("01 02 00 00 00 06 11 03 00 6B 00 03")


@given(st.sets(st.integers(1, 40)))
def test_a_tcp_reply_is_found_however_the_stream_is_cut(cuts: set[int]) -> None:
    framing = TcpFraming()
    assert fed(framing, mbap(OTHER, transaction=6) + mbap(), cuts) == [REPLY]
    assert framing.counts.stray_bytes == len(mbap(OTHER))


def test_of_coalesced_tcp_replies_only_the_awaited_one_is_taken() -> None:
    framing = TcpFraming()
    assert took(framing, mbap(OTHER, 5) + mbap() + mbap(OTHER, 9)) == REPLY
    assert framing.counts.stray_bytes == 2 * len(mbap(OTHER))


@pytest.mark.parametrize(
    "foreign",
    [
        mbap(transaction=6),
        mbap(transaction=0),
        mbap(unit=2),
        mbap(unit=0),
        mbap(b"\x04" + REPLY[1:]),
        mbap(b"\x84\x02"),
    ],
)
def test_a_tcp_reply_that_is_not_meant_is_dropped_and_counted(foreign: bytes) -> None:
    framing = TcpFraming()
    assert took(framing, foreign) is None
    assert framing.counts.stray_bytes == len(foreign)
    assert took(framing, mbap()) == REPLY


@pytest.mark.parametrize(
    ("odd", "taken"),
    [
        (mbap(transaction=0), True),
        (mbap(unit=0), True),
        (mbap(transaction=0, unit=0), False),  # with neither it could be anybody's
        (mbap(transaction=0, unit=2), False),
        (mbap(transaction=6), False),
        (mbap(unit=2), False),
        (mbap(b"\x04" + REPLY[1:], transaction=0), False),
    ],
)
def test_where_the_site_allows_it_an_id_of_zero_is_taken_and_counted(odd: bytes, taken: bool) -> None:
    framing = TcpFraming(strict=False)
    assert took(framing, odd) == (REPLY if taken else None)
    assert (framing.counts.odd_ids, framing.counts.stray_bytes) == ((1, 0) if taken else (0, len(odd)))
    assert took(framing, mbap()) == REPLY
    assert framing.counts.odd_ids == taken


def test_a_transaction_of_zero_among_several_requests_is_nobodys() -> None:
    framing = TcpFraming(strict=False)
    assert framing.feed(mbap(transaction=0), {7: EXPECTED, 8: EXPECTED}) == []
    assert framing.feed(mbap(transaction=8), {7: EXPECTED, 8: EXPECTED}) == [(8, REPLY)]


def test_a_reply_with_neither_name_nor_unit_is_nobodys_even_where_any_unit_may_answer() -> None:
    framing, anybody = TcpFraming(strict=False), {7: EXPECTED._replace(unit=None)}
    assert framing.feed(mbap(transaction=0, unit=0), anybody) == []
    assert framing.feed(mbap(transaction=0, unit=5), anybody) == [(7, REPLY)]


def test_an_exception_answers_its_request() -> None:
    assert took(TcpFraming(), mbap(b"\x83\x02")) == b"\x83\x02"


def test_a_tcp_reply_of_another_length_is_handed_over_to_be_refused() -> None:
    assert took(TcpFraming(), mbap(REPLY[:-2])) == REPLY[:-2]


def test_a_tcp_reply_that_nobody_awaits_is_counted() -> None:
    framing = TcpFraming()
    assert took(framing, mbap(), None) is None
    assert framing.counts.stray_bytes == len(mbap())


def test_a_tcp_frame_cut_off_by_a_time_out_does_not_put_the_stream_out_of_step() -> None:
    framing = TcpFraming()
    late = mbap(OTHER, transaction=6)
    assert took(framing, late[:9], transaction=6) is None
    framing.given_up(7)
    assert took(framing, late[9:] + mbap()) == REPLY


@pytest.mark.parametrize(
    "garbage",
    [mbap(protocol=1), struct.pack(">HHHB", 7, 0, 1, 1), struct.pack(">HHHB", 7, 0, 255, 1), b"GET / HTTP/1.1"],
)
def test_bytes_that_are_no_modbus_tcp_end_the_connection(garbage: bytes) -> None:
    with pytest.raises(ValueError):
        took(TcpFraming(), garbage)


# -- RTU ------------------------------------------------------------------------------------------------------------


def test_rtu_frames_are_those_of_the_makers_manuals() -> None:
    framing = RtuFraming()
    assert framing.frame(1, bytes.fromhex("03 26 00 00 05"), 0) == bytes.fromhex("01 03 26 00 00 05 8E 81")
    assert framing.frame(1, bytes.fromhex("10 31 00 00 00 00"), 0) == bytes.fromhex("01 10 31 00 00 00 00 74 94")
    assert took(framing, RTU_REPLY) == REPLY


@given(st.binary(max_size=64))
def test_the_crc_is_that_of_an_independent_one(data: bytes) -> None:
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    assert crc(data) == register.to_bytes(2, "little")


@given(st.binary(max_size=20), st.sets(st.integers(1, 34)))
def test_an_rtu_reply_is_found_after_noise_however_the_stream_is_cut(noise: bytes, cuts: set[int]) -> None:
    framing = RtuFraming()
    stream = noise + RTU_REPLY
    assert fed(framing, stream, cuts) == [REPLY]
    assert framing.counts.stray_bytes == len(noise)


def test_noise_that_looks_like_the_beginning_of_the_reply_is_skipped() -> None:
    framing = RtuFraming()
    assert took(framing, bytes.fromhex("01 03 0A 01 83") + RTU_REPLY) == REPLY
    assert framing.counts.stray_bytes == 5


def test_an_echo_of_the_request_is_skipped() -> None:
    framing = RtuFraming()
    echo = framing.frame(1, bytes.fromhex("03 26 00 00 05"), 0)
    assert fed(framing, echo + RTU_REPLY, {3, 8, 12}) == [REPLY]
    assert framing.counts.stray_bytes == len(echo)


def test_an_echo_as_long_as_the_reply_is_skipped() -> None:
    framing = RtuFraming()
    request = bytes.fromhex("01 00 00 00 18")
    reply = bytes.fromhex("01 03 AA BB CC")
    awaited = Expected(1, reply[:2], len(reply))
    assert took(framing, framing.frame(1, request, 0) + rtu(reply), awaited) == reply


def test_a_wrong_crc_is_no_reply_and_is_counted() -> None:
    framing = RtuFraming()
    broken = RTU_REPLY[:-1] + bytes([RTU_REPLY[-1] ^ 1])
    assert took(framing, broken) is None
    framing.given_up(7)
    assert (framing.counts.crc_errors, framing.counts.stray_bytes) == (1, len(broken))
    assert took(framing, RTU_REPLY) == REPLY


@given(st.integers(0, 8 * len(RTU_REPLY) - 1))
def test_no_reply_with_a_turned_bit_is_taken(bit: int) -> None:
    broken = bytearray(RTU_REPLY)
    broken[bit // 8] ^= 1 << bit % 8
    assert took(RtuFraming(), bytes(broken)) is None


@pytest.mark.parametrize(
    "foreign", [rtu(REPLY, unit=2), rtu(REPLY, unit=0), rtu(b"\x04" + REPLY[1:]), rtu(b"\x84\x02"), rtu(REPLY[:-2])]
)
def test_an_rtu_frame_that_is_not_meant_is_no_reply(foreign: bytes) -> None:
    framing = RtuFraming()
    assert took(framing, foreign) is None
    assert took(framing, RTU_REPLY) == REPLY


@given(st.sets(st.integers(1, 4)))
def test_an_rtu_exception_answers_its_request(cuts: set[int]) -> None:
    assert fed(RtuFraming(), rtu(b"\x83\x02"), cuts) == [b"\x83\x02"]


def test_what_comes_when_nothing_is_awaited_is_not_kept() -> None:
    framing = RtuFraming()
    assert took(framing, RTU_REPLY, None) is None
    assert took(framing, b"") is None
    assert framing.counts.stray_bytes == len(RTU_REPLY)


def test_half_a_frame_is_dropped_before_the_next_request() -> None:
    framing = RtuFraming()
    assert took(framing, rtu(OTHER)[:8]) is None
    framing.given_up(7)
    assert took(framing, rtu(OTHER)[8:] + RTU_REPLY) == REPLY


def test_endless_noise_is_not_hoarded() -> None:
    framing = RtuFraming()
    for _ in range(100):
        assert took(framing, b"\x55" * 100) is None
    assert took(framing, RTU_REPLY) == REPLY
    assert framing.counts.stray_bytes == 100 * 100


ONE = bytes.fromhex("03 02 00 07")
READ_ONE = bytes.fromhex("03 26 00 00 01")


def asked_for_one(framing: RtuFraming, echo: bool) -> bytes | None:
    """One register is asked for, and answered after an echo or without one."""
    sent = framing.frame(1, READ_ONE, 7)
    found = took(framing, (sent if echo else b"") + rtu(ONE), Expected(1, ONE[:2], len(ONE)))
    if found is None:
        framing.given_up(7)
    return found


def test_a_line_that_echoes_no_more_is_found_out_even_by_replies_shorter_than_an_echo() -> None:
    framing = RtuFraming()
    for _ in range(5):
        assert asked_for_one(framing, echo=True) == ONE
    believed = [framing.echoes]
    assert asked_for_one(framing, echo=False) is None
    assert [*believed, framing.echoes] == [True, False]
    assert asked_for_one(framing, echo=False) == ONE


def test_silence_after_an_echo_is_no_sign_that_the_line_echoes_no_more() -> None:
    framing = RtuFraming()
    for _ in range(5):
        assert asked_for_one(framing, echo=True) == ONE
    for heard in (8, 3, 0):
        sent = framing.frame(1, READ_ONE, 7)
        assert took(framing, sent[:heard], Expected(1, ONE[:2], len(ONE))) is None
        framing.given_up(7)
        assert framing.echoes


def test_a_broken_reply_after_an_echo_is_no_sign_that_the_line_echoes_no_more() -> None:
    framing = RtuFraming()
    for _ in range(5):
        assert asked_for_one(framing, echo=True) == ONE
    sent = framing.frame(1, READ_ONE, 7)
    assert took(framing, sent + rtu(ONE)[:5], Expected(1, ONE[:2], len(ONE))) is None
    framing.given_up(7)
    assert framing.echoes


def test_an_echo_that_looks_like_the_reply_is_none_although_noise_stands_before_it() -> None:
    framing = RtuFraming()
    request = bytes.fromhex("01 03 00 00 18")
    awaited = Expected(1, b"\x01\x03", 5)
    sent = framing.frame(1, request, 7)
    assert took(framing, b"\x00" + sent, awaited) is None
    assert took(framing, rtu(bytes.fromhex("01 03 AA BB CC")), awaited) == bytes.fromhex("01 03 AA BB CC")


def test_a_line_that_is_known_to_echo_takes_nothing_before_the_echo() -> None:
    framing = RtuFraming(echo=True)
    assert asked_for_one(framing, echo=False) is None
    assert framing.echoes
    assert asked_for_one(framing, echo=True) == ONE
