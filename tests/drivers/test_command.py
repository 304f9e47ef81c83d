"""What is done to a device, step by step: what is asked of it, in which order, and what came of it."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from config.errors import DeviceError
from config.profile import ModbusProfile
from config.sample import Sample, Value
from config.signals import Signal, signal_table
from config.site import Site
from drivers.modbus.command import DeviceCommands
from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan, Read
from drivers.modbus.procedure import Ask, Pause, Procedure
from drivers.modbus.transaction import Outcome, Result
from drivers.port import WriteResult
from tests.drivers.fault_devices import Devices, Request
from tests.drivers.sites import Fields, tcp_link

UNIT = 1


@dataclass
class Bench:
    """A device with memory, and what may be done to it. ``answer`` may stand in for its memory.

    ``asked``: the PDUs that it got, ``pauses`` what was waited, ``effects`` what its feedback did not confirm.
    """

    commands: DeviceCommands
    signals: dict[str, Signal]
    device: Devices = field(default_factory=Devices)
    answer: Callable[[bytes], Result | bytes | None] = lambda pdu: None
    asked: list[bytes] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    effects: list[tuple[str, str]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    now: float = 0.0

    def write(self, name: str, value: Value) -> WriteResult:
        return self.play(self.commands.write(self.signals[name].index, value))

    def play(self, steps: Procedure) -> WriteResult:
        """Carries a procedure out to its end; the result that it gave."""
        results: list[WriteResult] = []
        try:
            step = next(steps)
            while True:
                match step:
                    case WriteResult():
                        results.append(step)
                        step = next(steps)
                    case Pause(seconds):
                        self.pauses.append(seconds)
                        self.now += seconds
                        step = next(steps)
                    case Ask():
                        step = steps.send(self._asked(step))
        except StopIteration:
            pass
        [result] = results
        return result

    def _asked(self, ask: Ask) -> Result:
        self.asked.append(ask.pdu)
        said = self.answer(ask.pdu)
        if isinstance(said, Result):
            return said
        reply = said if said is not None else self.device.answer(Request(UNIT, ask.pdu, 0, self.now))
        if len(reply) == 2 and reply[0] & 0x80:
            return Result(Outcome.EXCEPTION, reply, self.now, 0.0)
        assert reply.startswith(ask.start), f"{ask.pdu.hex(' ')} is answered by {reply.hex(' ')}"
        assert len(reply) == ask.reply_bytes
        return Result(Outcome.REPLY, reply, self.now, 0.0)

    def set(self, address: int, *words: int) -> None:
        for place, word in enumerate(words):
            self.device.registers[UNIT, address + place] = word

    def get(self, address: int) -> int:
        return self.device.registers.get((UNIT, address), 0)

    @property
    def functions(self) -> list[int]:
        return [pdu[0] for pdu in self.asked]


def bench(fields: Fields, **profile: object) -> Bench:
    """A device with these signals; ``profile``: what else its profile says."""
    definition = {"protocol": "modbus", "signals": dict(fields), **profile}
    site = Site.model_validate(
        {
            "site": {"id": "bench"},
            "links": {"bus": tcp_link(502)},
            "devices": {"D": {"link": "bus", "unit": UNIT, "profile": definition}},
        }
    )
    loaded = site.devices["D"].profile
    assert isinstance(loaded, ModbusProfile)
    signals = list(signal_table(site, {"D": loaded}).field)
    plan = DevicePlan(signals, loaded, ZoneInfo("Asia/Shanghai"), Parameters(lambda field, before, now: None))
    made: list[Bench] = []

    def sink(read: Read, samples: list[Sample]) -> None:
        made[0].samples += samples

    def unconfirmed(signal: Signal, what: str) -> None:
        made[0].effects.append((signal.field, what))

    commands = DeviceCommands(signals, loaded, plan, sink, unconfirmed)
    made.append(Bench(commands, {signal.field: signal for signal in signals}))
    return made[0]


def register(address: int = 0, **more: object) -> Mapping[str, object]:
    return {"table": "holding", "address": address, "writable": True, **more}


def fc06(address: int, word: int) -> bytes:
    return struct.pack(">BHH", 6, address, word)


def fc16(address: int, *words: int) -> bytes:
    return struct.pack(f">BHHB{len(words)}H", 16, address, len(words), 2 * len(words), *words)


def test_the_write_key_is_written_as_the_device_takes_writes() -> None:
    device = bench({"x": register(5)}, writing={"registers": "multiple", "unlock": {"address": 9, "value": 0x1234}})
    assert device.write("x", 7).ok
    assert device.asked[:2] == [fc16(9, 0x1234), fc16(5, 7)]
    device = bench({"x": register(5)}, writing={"unlock": {"address": 9, "value": 0x1234}})
    assert device.write("x", 7).ok
    assert device.asked[:2] == [fc06(9, 0x1234), fc06(5, 7)]


# -- heartbeat ------------------------------------------------------------------------------------------------------


def beating(pattern: str, **signal: object) -> Bench:
    watchdog = {"timeout": "60 s", "heartbeat": {"signal": "beat", "period": "1 s", "pattern": pattern}}
    return bench({"beat": register(5, **signal)}, watchdog=watchdog)


def beats(device: Bench, times: int) -> list[int]:
    seen = []
    for _ in range(times):
        assert device.play(device.commands.heartbeat()).ok
        seen.append(device.get(5))
    return seen


def test_a_heartbeat_alternates_or_is_repeated_or_counts() -> None:
    assert beats(beating("alternate"), 4) == [1, 0, 1, 0]
    assert beats(beating("repeat"), 3) == [1, 1, 1]
    assert beats(beating("count"), 3) == [1, 2, 3]
    assert beats(beating("alternate", switch={"on": 7, "off": 9}), 4) == [7, 9, 7, 9]


@pytest.mark.parametrize(
    ("signal", "highest"),
    [({}, 65535), ({"type": "int16"}, 32767), ({"scale": 0.001}, 65000), ({"type": "bcd16"}, 0x9999)],
)
def test_a_heartbeat_that_counts_begins_anew_when_its_register_is_full(signal: dict[str, object], highest: int) -> None:
    device = beating("count", **signal)
    seen = beats(device, 66000)
    assert max(seen) == highest
    step = seen[0]
    assert seen[seen.index(highest) + 1 :][:2] == [0, step]


# -- one bit of a register ------------------------------------------------------------------------------------------


def bit(number: int, **more: object) -> Mapping[str, object]:
    return register(5, type="bool", bit=number, **more)


@pytest.mark.parametrize(("order", "number", "word"), [("ABCD", 3, 0x0008), ("DCBA", 3, 0x0800), ("BADC", 11, 0x0008)])
def test_one_bit_is_changed_and_the_others_are_kept(order: str, number: int, word: int) -> None:
    device = bench({"on": bit(number, order=order)})
    device.set(5, 0xA5A5 & ~word)
    assert device.write("on", True) == (True, True, "")
    assert device.get(5) == 0xA5A5 & ~word | word
    assert device.functions == [3, 6, 3]
    assert device.write("on", False).ok
    assert device.get(5) == 0xA5A5 & ~word


def test_one_bit_is_written_by_mask_where_the_device_can() -> None:
    device = bench({"on": bit(3)}, writing={"bits": "mask"})
    device.set(5, 0xA5A5)
    assert device.write("on", True).ok
    assert device.asked[0] == struct.pack(">BHHH", 22, 5, 0xFFF7, 0x0008)
    assert device.get(5) == 0xA5AD
    assert device.write("on", False).ok
    assert device.get(5) == 0xA5A5


def test_a_register_whose_device_was_busy_is_read_anew_before_its_bit_is_written() -> None:
    """It may have changed meanwhile: what was read before the pause must not come back."""
    device = bench({"on": bit(3)})
    busy = iter([b"\x86\x06"])

    def answer(pdu: bytes) -> bytes | None:
        if pdu[0] != 6:
            return None
        refused = next(busy, None)
        if refused is not None:
            device.set(5, 0x0100)
        return refused

    device.answer = answer
    device.set(5, 0x0001)
    assert device.write("on", True).ok
    assert device.get(5) == 0x0108
    assert device.functions == [3, 6, 3, 6, 3]


@pytest.mark.parametrize("said", [b"\x83\x04", b"\x83\x05", Result(Outcome.TIMEOUT, b"", 0.0, 0.0)])
def test_a_bit_is_not_written_when_its_register_cannot_be_read(said: bytes | Result) -> None:
    device = bench({"on": bit(3)})
    device.answer = lambda pdu: said if pdu[0] == 3 else None
    result = device.write("on", True)
    assert not result.ok
    assert "could not be read before" in result.detail
    assert device.functions == [3]


# -- what a device takes and what not -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pdu", "why"),
    [
        (fc06(5, 1), ""),
        (fc16(5, 1), ""),
        (struct.pack(">BHHH", 22, 5, 0, 1), ""),
        (fc16(8, 1, 2), ""),
        (b"\x0f\x00\x02\x00\x01\x01\x01", ""),
        (b"\x05\x00\x02\xff\x00", ""),
        (fc06(6, 1), "holding 6"),
        (fc16(4, 1), "holding 4"),
        (fc16(5, 1, 2), "holding 6"),
        (b"\x05\x00\x05\xff\x00", "coil 5"),
        (b"\x0f\x00\x02\x00\x02\x01\x03", "coil 3"),
        (b"\x03\x00\x05\x00\x01", "no whole write request"),
        (b"\x06\x00\x05\x00", "no whole write request"),
        (b"\x06\x00\x05\x00\x01\x00", "no whole write request"),
        (b"\x10\x00\x05\x00\x01\x04\x00\x01\x00\x02", "no whole write request"),  # two registers, said to be one
        (b"\x10\x00\x05\x00\x02\x02\x00\x01", "no whole write request"),
        (b"\x10\x00\x05\x00\x01", "no whole write request"),
        (b"\x0f\x00\x02\x00\x01", "no whole write request"),
        (b"\x10\x00\x05\x00\x00\x00", "no whole write request"),
        (b"\x0f\x00\x02\x00\x01\x02\x01\x01", "no whole write request"),
        (b"\x05\x00\x02\x12\x34", "no whole write request"),
        (fc16(10, *range(124)), "no whole write request"),
        (b"", "no whole write request"),
        (b"\x17\x00\x05\x00\x01\x00\x05\x00\x01\x02\x00\x01", "no whole write request"),
    ],
)
def test_a_raw_write_goes_only_where_the_profile_says(pdu: bytes, why: str) -> None:
    allow = [{"table": "holding", "first": 8, "last": 200}]
    coil = {"table": "coil", "address": 2, "type": "bool", "writable": True}
    device = bench({"x": register(5), "read": {"table": "holding", "address": 6}, "c": coil}, writing={"allow": allow})
    if why:
        with pytest.raises(DeviceError, match=why):
            device.commands.raw(pdu)
    else:
        assert device.play(device.commands.raw(pdu)).ok
        assert device.asked == [pdu]


def test_a_signal_that_is_not_writable_is_refused() -> None:
    device = bench({"x": register(5), "level": {"table": "holding", "address": 6}})
    with pytest.raises(DeviceError, match=r"D\.level"):
        device.commands.write(device.signals["level"].index, 1)


# -- the kinds of command -------------------------------------------------------------------------------------------

TIMED_OUT = Result(Outcome.TIMEOUT, b"", 0.0, 0.0)
LOST = Result(Outcome.LOST, b"", 0.0, 0.0)
MALFORMED = Result(Outcome.MALFORMED, b"\x06\x00", 0.0, 0.0)


def switch(kind: str = "level", **command: object) -> Mapping[str, object]:
    return register(5, switch={"on": 1, "off": 0}, command={"kind": kind, **command})


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (b"\x86\x01", "refused with exception 01 illegal function"),
        (b"\x86\x04", "refused with exception 04 device failure"),
        (b"\x86\x0b", "refused with exception 0B gateway: target did not answer"),
        (TIMED_OUT, "no reply"),
        (LOST, "connection lost"),
        (MALFORMED, "malformed reply 06 00"),
    ],
)
def test_a_write_that_was_not_taken_fails_with_the_reason_and_is_sent_once(said: bytes | Result, detail: str) -> None:
    device = bench({"x": register(5)})
    device.answer = lambda pdu: said if pdu[0] == 6 else None
    assert device.write("x", 7) == (False, None, detail)
    assert device.functions == [6]


def test_a_write_that_cannot_be_read_back_is_not_confirmed() -> None:
    device = bench({"x": register(5)})
    device.answer = lambda pdu: TIMED_OUT if pdu[0] == 3 else None
    assert device.write("x", 7) == (False, None, "written, but it could not be read back")
    assert device.functions == [6, 3]


def test_a_busy_device_is_asked_again_and_no_more_than_four_times() -> None:
    device = bench({"x": register(5)})
    refusals = iter([b"\x86\x06"] * 3)
    device.answer = lambda pdu: next(refusals, None) if pdu[0] == 6 else None
    assert device.write("x", 7).ok
    assert (device.functions, device.pauses) == ([6, 6, 6, 6, 3], [0.2, 0.4, 0.8])
    device = bench({"x": register(5)})
    device.answer = lambda pdu: b"\x86\x06"
    assert device.write("x", 7).detail == "refused 4 times with exception 06 device busy"
    assert device.functions == [6, 6, 6, 6]


def test_an_acknowledged_write_is_not_sent_again_but_read_back_until_it_is_there() -> None:
    device = bench({"x": register(5)})
    device.answer = lambda pdu: b"\x86\x05" if pdu[0] == 6 else (device.set(5, 7) if len(device.asked) == 4 else None)
    assert device.write("x", 7) == (True, 7, "")
    assert device.functions == [6, 3, 3, 3]
    device = bench({"x": register(5)})
    device.answer = lambda pdu: b"\x86\x05" if pdu[0] == 6 else None
    assert not device.write("x", 7).ok
    assert device.functions == [6, *[3] * 10]


NEEDS: dict[str, Any] = {"require": {"remote": True, "mode": "auto"}, "safe": False}
SELECTORS: Fields = {
    "remote": {"table": "coil", "address": 0, "type": "bool"},
    "mode": {"table": "holding", "address": 8, "enum": {1: "auto", 2: "hand"}},
}


def test_what_a_command_needs_is_read_first_and_named_when_it_is_not_so() -> None:
    device = bench({"run": switch(**NEEDS), **SELECTORS})
    device.set(8, 1)
    result = device.write("run", True)
    assert result == (False, None, "D.remote is off, and must be on first")
    assert device.functions == [1]
    device.device.coils.add((UNIT, 0))
    device.set(8, 2)
    assert device.write("run", True).detail == "D.mode is hand, and must be auto first"
    device.set(8, 3)
    assert device.write("run", True).detail == "D.mode could not be read, and must be auto first"
    device.set(8, 1)
    assert device.write("run", True).ok


def test_what_cannot_be_read_is_not_taken_for_given() -> None:
    device = bench({"run": switch(**NEEDS), **SELECTORS})
    device.answer = lambda pdu: TIMED_OUT if pdu[0] == 1 else None
    assert device.write("run", True).detail == "D.remote could not be read, and must be on first"
    assert device.functions == [1]


def test_a_safe_demand_is_sent_whatever_a_selector_says() -> None:
    device = bench({"run": switch(**NEEDS), **SELECTORS})
    device.set(5, 1)
    assert device.write("run", False).ok
    assert device.asked[0] == fc06(5, 0)


def test_a_safe_number_is_meant_in_the_instruments_unit() -> None:
    command = {"require": {"remote": True}, "safe": 0.0}
    device = bench({"speed": register(5, unit="L/s", command=command), "remote": SELECTORS["remote"]})
    assert device.write("speed", 0.0).ok
    assert not device.write("speed", 3.6).ok


def test_a_drive_is_started_in_two_steps() -> None:
    device = bench({"run": switch(prepare=6)})
    assert device.write("run", True).ok
    assert device.asked[:2] == [fc06(5, 6), fc06(5, 1)]
    device.asked.clear()
    assert device.write("run", False).ok
    assert device.asked[0] == fc06(5, 0)
    device.answer = lambda pdu: b"\x86\x04" if pdu == fc06(5, 6) else None
    assert device.write("run", True).detail == "its first step: refused with exception 04 device failure"


FEEDBACK: Fields = {"opened": {"table": "coil", "address": 3, "type": "bool"}}
CONFIRM = {"signal": "opened", "within": "3 s"}


def test_a_latched_order_is_not_read_back_and_its_feedback_is_awaited() -> None:
    device = bench({"open": switch("latched", confirm=CONFIRM), **FEEDBACK})
    device.answer = lambda pdu: device.device.coils.add((UNIT, 3)) if len(device.asked) == 3 else None
    assert device.write("open", True).ok
    assert (device.functions, device.pauses) == ([6, 1, 1], [1.0, 1.0])
    assert device.effects == [("open", "")]


@pytest.mark.parametrize("kind", ["level", "latched", "edge"])
def test_a_command_without_effect_is_told(kind: str) -> None:
    device = bench({"open": switch(kind, confirm=CONFIRM), **FEEDBACK})
    assert device.write("open", True).ok
    assert device.effects == [("open", "on was commanded, D.opened is off after 3 s")]
    device.answer = lambda pdu: TIMED_OUT if pdu[0] == 1 else None
    assert device.write("open", True).ok
    assert device.effects[1:] == [("open", "on was commanded, D.opened could not be read after 3 s")]


def test_feedback_may_be_the_other_way_round_or_a_number() -> None:
    device = bench({"open": switch(confirm={**CONFIRM, "inverted": True}), **FEEDBACK})
    assert device.write("open", True).ok
    assert device.effects == [("open", "")]
    confirm = {"signal": "position", "within": "2 s", "tolerance": 2}
    device = bench({"to": register(5, command={"confirm": confirm}), "position": {"table": "holding", "address": 6}})
    for position, effect in ((47, "50.0 was commanded, D.position is 47.0 after 2 s"), (48, "")):
        device.set(6, position)
        assert device.write("to", 50.0).ok
        assert device.effects[-1] == ("to", effect)


def test_a_pulse_goes_on_and_off_again() -> None:
    device = bench({"reset": switch("edge", width="0.3 s")})
    assert device.write("reset", True).ok
    assert device.asked == [fc06(5, 1), fc06(5, 0)]
    assert device.pauses == [0.3]
    assert not device.commands.standing
    device.asked.clear()
    assert device.write("reset", False).ok
    assert device.asked == [fc06(5, 0)]


HANDSHAKE: Fields = {
    "start": switch("handshake", ack="seen", within="1 s"),
    "seen": {"table": "coil", "address": 3, "type": "bool"},
}


def shaking() -> Bench:
    """A device that answers a request bit by its acknowledging bit, at the next look."""
    device = bench(HANDSHAKE)

    def answer(pdu: bytes) -> None:
        if pdu[0] == 6:
            (device.device.coils.add if pdu[-1] else device.device.coils.discard)((UNIT, 3))

    device.answer = answer
    return device


def test_a_handshake_waits_until_it_is_seen_and_is_taken_back() -> None:
    device = shaking()
    assert device.write("start", True).ok
    assert device.functions == [6, 1, 6, 1]
    assert device.get(5) == 0


def test_a_handshake_that_is_not_seen_is_taken_back_all_the_same() -> None:
    device = bench(HANDSHAKE)
    assert device.write("start", True).detail == "D.seen did not become on within 1 s"
    assert device.get(5) == 0
    assert not device.commands.standing


@pytest.mark.parametrize("kind", ["edge", "handshake"])
@pytest.mark.parametrize("said", [TIMED_OUT, LOST])
@pytest.mark.parametrize("write", [1, 2])
def test_a_pulse_that_may_be_left_standing_is_taken_back_when_the_device_answers_again(
    kind: str, said: Result, write: int
) -> None:
    device = shaking() if kind == "handshake" else bench({"start": switch("edge")})
    answer, seen = device.answer, []

    def dropped(pdu: bytes) -> Result | bytes | None:
        if pdu[0] == 6:
            seen.append(pdu)
        if len(seen) >= write:
            # It heard the on; from then on nothing comes through.
            if write == 1 and pdu == fc06(5, 1):
                device.set(5, 1)
            return said
        return answer(pdu)

    device.answer = dropped
    assert not device.write("start", True).ok
    assert device.get(5) == 1
    assert device.commands.has_start_up
    device.answer = answer
    assert device.play(device.commands.start_up()).ok
    assert device.get(5) == 0
    assert not device.commands.has_start_up


def test_a_pulse_that_is_broken_off_is_taken_back_when_the_device_answers_again() -> None:
    device = bench({"start": switch("edge")})
    steps = device.commands.write(device.signals["start"].index, True)
    ask = next(steps)
    assert isinstance(ask, Ask)
    pause = steps.send(Result(Outcome.REPLY, ask.pdu, 0.0, 0.0))
    assert isinstance(pause, Pause)
    steps.close()
    device.set(5, 1)
    assert device.play(device.commands.start_up()).ok
    assert device.get(5) == 0


def test_a_pulse_that_was_refused_leaves_nothing_to_take_back() -> None:
    device = bench({"start": switch("edge")})
    device.answer = lambda pdu: b"\x86\x04"
    assert not device.write("start", True).ok
    assert device.functions == [6]
    assert not device.commands.standing


@pytest.mark.parametrize("off", [TIMED_OUT, b"\x86\x04"])
def test_a_pulse_whose_off_is_not_taken_still_stands(off: Result | bytes) -> None:
    device = bench({"start": switch("edge")})
    device.answer = lambda pdu: off if pdu == fc06(5, 0) else None
    assert not device.write("start", True).ok
    assert device.commands.standing
    device.answer = lambda pdu: None
    assert device.play(device.commands.take_back(device.signals["start"].index)).ok
    assert device.get(5) == 0
    assert not device.commands.standing


@pytest.mark.parametrize("said", [TIMED_OUT, b"\x86\x0a", b"\x86\x0b", Result(Outcome.MALFORMED, b"\x06", 0.0, 0.0)])
def test_a_pulse_is_taken_back_at_once_when_its_on_may_have_been_taken(said: Result | bytes) -> None:
    device = bench({"start": switch("edge")})
    device.set(5, 1)
    device.answer = lambda pdu: said if pdu == fc06(5, 1) else None
    assert not device.write("start", True).ok
    assert device.get(5) == 0


def test_a_second_press_that_is_not_allowed_ends_the_first() -> None:
    device = bench(
        {"start": switch("edge", require={"remote": True}), "remote": {"table": "coil", "address": 9, "type": "bool"}}
    )
    device.device.coils.add((UNIT, 9))
    first = device.commands.write(device.signals["start"].index, True)
    next(first)
    ask = first.send(Result(Outcome.REPLY, b"\x01\x01\x01", 0.0, 0.0))
    assert isinstance(ask, Ask)
    first.send(Result(Outcome.REPLY, ask.pdu, 0.0, 0.0))
    first.close()
    device.set(5, 1)
    device.device.coils.discard((UNIT, 9))
    assert "D.remote is off" in device.write("start", True).detail
    assert device.get(5) == 0


@pytest.mark.parametrize("kind", ["edge", "handshake"])
def test_a_pulse_that_an_earlier_run_left_standing_is_taken_back_at_the_start(kind: str) -> None:
    device = bench(HANDSHAKE if kind == "handshake" else {"start": switch("edge")})
    device.set(5, 1)
    assert device.play(device.commands.start_up()).ok
    assert device.get(5) == 0
    device.asked.clear()
    assert device.play(device.commands.start_up()).ok
    assert device.asked == [], "once is enough"


def test_the_time_of_a_feedback_is_the_clocks_not_that_of_the_pauses() -> None:
    """Each look takes three seconds on a slow bus."""
    device = bench(
        {
            "open": switch(confirm={"signal": "opened", "within": "8 s"}),
            "opened": {"table": "coil", "address": 7, "type": "bool"},
        }
    )

    def slow(pdu: bytes) -> None:
        device.now += 3.0

    device.answer = slow
    assert device.write("open", True).ok
    assert [name for name, _ in device.effects] == ["open"]
    assert device.functions.count(1) == 2, "the looks ended 7 s and 11 s after the write"


@pytest.mark.parametrize(
    ("pdu", "allowed"),
    [
        (fc06(5, 8), False),
        (fc16(5, 8), False),
        (struct.pack(">BHHH", 22, 5, 0xFFF7, 8), True),
        (struct.pack(">BHHH", 22, 5, 0xFFF3, 8), False),
    ],
)
def test_a_raw_write_leaves_the_bits_alone_that_the_profile_does_not_list(pdu: bytes, allowed: bool) -> None:
    device = bench({"on": bit(3)})
    if allowed:
        device.commands.raw(pdu)
    else:
        with pytest.raises(DeviceError, match="only the bits 0x0008"):
            device.commands.raw(pdu)


# -- what a device is told when it begins to answer, and actions ----------------------------------------------------


def test_what_a_device_is_to_be_set_to_is_written_only_if_it_reads_otherwise() -> None:
    device = bench({"timeout": register(5), "mode": register(6)}, on_connect={"timeout": 30, "mode": 2})
    device.set(5, 30)
    device.set(6, 1)
    assert device.commands.has_start_up
    assert device.play(device.commands.start_up()).ok
    assert device.asked == [b"\x03\0\x05\0\x01", b"\x03\0\x06\0\x01", fc06(6, 2), b"\x03\0\x06\0\x01"]
    device.asked.clear()
    assert device.play(device.commands.start_up()).ok
    assert device.functions == [3, 3]


def test_what_a_device_does_not_take_at_its_start_is_named_and_the_rest_is_done() -> None:
    actions = {"wake": {"request": "10 31 00 00 00 00", "reply": "10 31 00 00 00", "run": "on-connect"}}
    device = bench(
        {"timeout": register(5), "mode": register(6)}, on_connect={"timeout": 30, "mode": 2}, actions=actions
    )
    device.answer = lambda pdu: b"\x86\x03" if pdu == fc06(5, 30) else None
    result = device.play(device.commands.start_up())
    assert result == (False, None, "D.timeout: refused with exception 03 illegal data value")
    assert device.get(6) == 2
    assert device.functions[-1] == 16


WIPE = "10 31 00 00 00 00"
"""Yosemitech's Y511 is wiped by a write of no registers."""
ACTIONS: Mapping[str, object] = {
    "wipe": {"request": WIPE, "reply": "10 31 00 00 00"},
    "start": {"request": "03 25 00 00 00", "reply": "03", "reply_bytes": 2},
}


def test_an_action_is_a_request_outside_the_register_model() -> None:
    device = bench({"x": register(5)}, actions=ACTIONS)
    assert device.play(device.commands.action("wipe")).ok
    assert device.asked == [bytes.fromhex(WIPE)]
    with pytest.raises(DeviceError, match="no action 'wash'; this profile has: wipe, start"):
        device.commands.action("wash")
    with pytest.raises(DeviceError, match="no whole write"):
        device.commands.raw(bytes.fromhex(WIPE))


def test_an_action_that_is_answered_otherwise_has_failed() -> None:
    device = bench({"x": register(5)}, actions=ACTIONS)
    device.answer = lambda pdu: b"\x90\x01"
    assert device.play(device.commands.action("wipe")).detail == "refused with exception 01 illegal function"
