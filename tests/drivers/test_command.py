"""What is done to a device, step by step: what is asked of it, in which order, and what came of it."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import pytest

from config.errors import DeviceError
from config.profile import ModbusProfile
from config.sample import Sample, Value
from config.signals import Signal, signal_table
from config.site import Site
from drivers.modbus.command import Ask, DeviceCommands, Pause, Procedure
from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan, Read
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
