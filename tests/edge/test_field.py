"""What may be done by hand: values as people write them, whose outputs are whose, what is recorded and when."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.load import LoadedSite, load_site
from config.sample import Value
from config.signals import Signal
from drivers.modbus.procedure import Ask
from drivers.modbus.transaction import Outcome, Result
from drivers.port import WriteResult
from edge.arguments import BadRequest
from edge.field import HAND_SHARE, Field, Outputs, link_address, output_signals, parsed
from tests.edge.sites import BY_HAND


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedSite:
    path = tmp_path_factory.mktemp("field") / "site.yaml"
    path.write_text(yaml.safe_dump(BY_HAND), "utf-8")
    return load_site(path)


class Bus:
    """The port: keeps what it was told; every register reads 0."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.result = WriteResult(True, True)

    async def ask(self, unit: int, ask: Ask) -> Result:
        return Result(Outcome.REPLY, ask.start + bytes(ask.reply_bytes - 2), 0.0, 0.001)

    async def write(self, signal: Signal, value: Value) -> WriteResult:
        self.told.append((signal.name, value))
        return self.result

    async def write_raw(self, device: str, pdu: bytes) -> WriteResult:
        self.told.append((device, pdu.hex(" ")))
        return self.result

    async def act(self, device: str, action: str) -> WriteResult:
        self.told.append((device, action))
        return self.result


class Book:
    """The ledger's part: keeps what is recorded, or does not take it."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.entries: list[dict[str, Any]] = []

    async def __call__(self, subject: str, body: dict[str, Any]) -> bool:
        self.entries.append(body)
        return self.takes

    def outcomes(self) -> list[str]:
        return [entry["outcome"] for entry in self.entries]


def field(loaded: LoadedSite, bus: Bus, book: Book | None, *, controlled: bool = True) -> Field:
    return Field(
        loaded, {"io": bus, "field": bus}, book, (lambda tag: "off, demanded by nobody") if controlled else None
    )


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("AIT-1.wipe_interval", "30 min", 1800.0),
        ("AIT-1.wipe_interval", "2 h", 7200.0),
        ("XV-2.position_command", "42.5 %", 42.5),
        ("RIO-1.lamp", "on", True),
        ("RIO-1.lamp", "OFF", False),
        ("RIO-1.lamp", "1", True),
    ],
)
def test_a_value_is_written_as_people_say_it(loaded: LoadedSite, name: str, text: str, value: Value) -> None:
    assert parsed(loaded.signals[name], text) == value


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("AIT-1.wipe_interval", "30", "a time with its unit"),
        ("XV-2.position_command", "101 %", "0 to 100 %, not '101 %'"),
        ("RIO-1.lamp", "30 %", "'on' or 'off'"),
    ],
)
def test_what_cannot_be_that_value_says_what_could(loaded: LoadedSite, name: str, text: str, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        parsed(loaded.signals[name], text)


def test_every_valve_and_pump_has_its_output(loaded: LoadedSite) -> None:
    assert output_signals(loaded.site) == {"RIO-1.xv": "XV-1", "RIO-1.pump": "P-1", "XV-2.open_command": "XV-2M"}
    outputs = Outputs(loaded)
    moved = {signal.name: outputs.of_signal(signal) for signal in loaded.signals.field if signal.writable}
    assert moved == {
        "RIO-1.xv": ["XV-1"],
        "RIO-1.pump": ["P-1"],
        "RIO-1.lamp": [],
        "XV-2.open_command": ["XV-2M"],
        "XV-2.position_command": ["XV-2M"],
        "XV-2.stop_command": ["XV-2M"],
        "AIT-1.wipe_interval": [],
        "AIT-2.wipe_interval": [],
    } | {name: ["XV-2M"] for name in moved if name.startswith("XV-2.")}
    assert outputs.of_device("RIO-1") == ["XV-1", "P-1"]
    assert outputs.of_device("AIT-1") == []


def test_what_is_told_to_all_units_moves_every_output_of_the_bus(tmp_path: Path) -> None:
    coil = {"table": "coil", "address": 9, "type": "bool", "writable": True}
    valve = {"profile": {"protocol": "modbus", "signals": {"run": coil, "runs": coil | {"writable": False}}}}
    everybody = {"unit": 0, "broadcast_writes": True} | valve
    site = {
        "site": {"id": "s"},
        "links": {"a": {"type": "modbus-rtu", "port": "/dev/a"}, "b": {"type": "modbus-rtu", "port": "/dev/b"}},
        "devices": {
            "D-1": {"link": "a", "unit": 1} | valve,
            "ALL-A": {"link": "a"} | everybody,
            "ALL-B": {"link": "b"} | everybody,
        },
        "pumps": {"P-1": {"run_command": "D-1.run", "running": "D-1.runs"}},
    }
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(site), "utf-8")
    loaded = load_site(path)
    outputs = Outputs(loaded)
    assert outputs.of_device("ALL-A") == outputs.of_signal(loaded.signals["ALL-A.run"]) == ["P-1"]
    assert outputs.of_device("ALL-B") == outputs.of_signal(loaded.signals["ALL-B.run"]) == []


def test_a_number_in_the_register_of_an_output_is_that_output(tmp_path: Path) -> None:
    signals = {
        "word": {"table": "holding", "address": 5, "writable": True},
        "run": {"table": "holding", "address": 5, "type": "bool", "bit": 0, "writable": True},
        "horn": {"table": "holding", "address": 5, "type": "bool", "bit": 1, "writable": True},
        "running": {"table": "input", "address": 0, "type": "bool", "bit": 0},
    }
    site = {
        "site": {"id": "s"},
        "links": {"io": {"type": "modbus-tcp", "host": "h"}},
        "devices": {"D-1": {"link": "io", "unit": 1, "profile": {"protocol": "modbus", "signals": signals}}},
        "pumps": {"P-1": {"run_command": "D-1.run", "running": "D-1.running"}},
    }
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(site), "utf-8")
    loaded = load_site(path)
    outputs = Outputs(loaded)
    assert outputs.of_signal(loaded.signals["D-1.word"]) == ["P-1"]
    assert outputs.of_signal(loaded.signals["D-1.horn"]) == []


async def test_a_bus_that_is_polled_is_lent_for_a_quarter_of_its_time(loaded: LoadedSite) -> None:
    took_s = 0.03

    class Slow(Bus):
        async def ask(self, unit: int, ask: Ask) -> Result:
            await asyncio.sleep(took_s)
            return await super().ask(unit, ask)

    bus = Slow()
    lent = Field(loaded, {"io": bus}, None, lambda tag: "", HAND_SHARE)
    request = {"op": "read-raw", "link": "io", "unit": 9, "table": "coil", "address": 0, "count": 1}
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(lent.handle(request, "li") for _ in range(3)))
    assert loop.time() - began >= 2 * took_s / HAND_SHARE + took_s * 0.9


async def test_what_is_written_is_recorded_before_and_after(loaded: LoadedSite) -> None:
    bus, book = Bus(), Book()
    request = {"op": "write", "signal": "RIO-1.lamp", "value": "on"}
    planned = await field(loaded, bus, book).handle({**request, "dry": True}, "li")
    assert (planned["dry"], planned["old"], planned["new"]) == (True, False, True)
    assert (bus.told, book.entries) == ([], [])
    answer = await field(loaded, bus, book).handle(request, "li")
    assert answer["outcome"] == "done"
    assert bus.told == [("RIO-1.lamp", True)]
    assert book.outcomes() == ["asked", "done"]
    assert {entry["user"] for entry in book.entries} == {"li"}


async def test_a_device_that_does_not_take_it_is_recorded_as_failed(loaded: LoadedSite) -> None:
    bus, book = Bus(), Book()
    bus.result = WriteResult(False, None, "refused with exception 04 device failure")
    answer = await field(loaded, bus, book).handle({"op": "write", "signal": "RIO-1.lamp", "value": "on"}, "li")
    assert answer["outcome"] == "failed"
    assert book.outcomes() == ["asked", "failed"]
    assert "exception 04" in book.entries[-1]["detail"]


@pytest.mark.parametrize("book", [None, Book(takes=False)])
async def test_nothing_is_sent_that_cannot_be_recorded(loaded: LoadedSite, book: Book | None) -> None:
    bus = Bus()
    answer = await field(loaded, bus, book).handle({"op": "write", "signal": "RIO-1.lamp", "value": "on"}, "li")
    assert (answer["ok"], answer["code"]) == (False, "store")
    assert "nothing was sent" in answer["error"]
    assert bus.told == []


@pytest.mark.parametrize(
    "request_",
    [
        {"op": "write", "signal": "RIO-1.xv", "value": "on"},
        {"op": "write-raw", "device": "RIO-1", "table": "coil", "address": 2, "values": [1]},
        {"op": "action", "device": "XV-2", "action": "x"},
    ],
)
async def test_an_output_is_refused_beside_a_controller_and_told_of_without(
    loaded: LoadedSite, request_: dict[str, Any]
) -> None:
    bus, book = Bus(), Book()
    answer = await field(loaded, bus, book).handle(request_, "li")
    assert not answer["ok"]
    assert bus.told == []
    if request_["op"] == "action":
        return
    assert book.outcomes() == ["refused"]
    alone = await field(loaded, bus, book, controlled=False).handle(request_, "li")
    assert alone["ok"]
    assert "no controller runs" in alone["warning"]


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"op": "read"}, "'device' must be a text"),
        ({"op": "read", "device": "RIO-1", "signals": "all"}, "'signals' must be a list"),
        ({"op": "read-raw", "link": "io", "unit": 300, "table": "coil", "address": 0, "count": 1}, "'unit' must be 0"),
        ({"op": "read-raw", "link": "io", "unit": "1", "table": "coil", "address": 0, "count": 1}, "a whole number"),
        ({"op": "read-raw", "device": "RIO-1", "table": "relay", "address": 0, "count": 1}, "'table' must be one of"),
        ({"op": "write-raw", "device": "RIO-1", "table": "coil", "address": 0, "values": []}, "a list of 1 to"),
        ({"op": "write-raw", "device": "RIO-1", "table": "coil", "address": 0, "values": [True]}, "whole numbers"),
    ],
)
async def test_a_request_with_wrong_arguments_is_told_so(
    loaded: LoadedSite, request_: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadRequest, match=told):
        await field(loaded, Bus(), Book()).handle(request_, "li")


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"op": "read", "device": "X"}, "there is no device 'X'"),
        ({"op": "read-raw", "link": "x", "unit": 1, "table": "coil", "address": 0, "count": 1}, "no Modbus link 'x'"),
        ({"op": "read-raw", "device": "RIO-1", "table": "coil", "address": 0, "count": 3000}, "takes 1 to 2000"),
    ],
)
async def test_what_there_is_not_is_refused_with_what_there_is(
    loaded: LoadedSite, request_: dict[str, Any], told: str
) -> None:
    answer = await field(loaded, Bus(), Book()).handle(request_, "li")
    assert not answer["ok"]
    assert told in answer["error"]


def test_where_a_link_leads_is_told_in_a_few_words(loaded: LoadedSite) -> None:
    assert link_address(loaded.site.links["io"]) == "127.0.0.1:1"
    assert link_address(loaded.site.links["field"]) == "/dev/none 19200 8N1"
