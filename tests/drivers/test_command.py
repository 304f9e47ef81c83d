"""What is done to a device, step by step: what is asked of it, in which order, and what came of it."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import pytest

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
