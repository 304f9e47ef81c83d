"""Which profile fits what was read: every shipped profile knows its own registers, and zeros convince nobody."""

import struct
from zoneinfo import ZoneInfo

import pytest

from config.encoding import Table
from config.load import DEVICES, load_profile, profile_names
from config.profile import ModbusProfile
from config.signals import Signal, signal_table
from config.site import Site
from drivers.modbus.fresh import DeviceReader
from drivers.modbus.plan import READ_FUNCTION
from drivers.modbus.procedure import Ask
from drivers.modbus.recognise import Fit, note_identity, note_readings, ranked
from drivers.modbus.transaction import Outcome, Result

FUNCTIONS = {code: table for table, code in READ_FUNCTION.items()}


def shipped(name: str) -> ModbusProfile:
    profile = load_profile(DEVICES / f"{name}.yaml")
    assert isinstance(profile, ModbusProfile)
    return profile


def reader(profile: ModbusProfile) -> DeviceReader:
    site = Site.model_validate(
        {
            "site": {"id": "x"},
            "links": {"l": {"type": "modbus-tcp", "host": "h"}},
            "devices": {"D": {"link": "l", "unit": 1, "profile": profile}},
        }
    )
    signals: list[Signal] = list(signal_table(site, {"D": profile}).field)
    return DeviceReader(signals, profile, ZoneInfo("Asia/Shanghai"))


class Instrument:
    """Registers that are there, and none beside."""

    def __init__(self, registers: dict[tuple[Table, int], int]) -> None:
        self.registers = registers

    async def __call__(self, ask: Ask) -> Result:
        function, address, count = struct.unpack(">BHH", ask.pdu)
        table = FUNCTIONS[function]
        words = [self.registers.get((table, address + i)) for i in range(count)]
        if any(word is None for word in words):
            return Result(Outcome.EXCEPTION, bytes((function | 0x80, 2)), 0.0, 0.01)
        return Result(Outcome.REPLY, ask.start + struct.pack(f">{count}H", *(w or 0 for w in words)), 0.0, 0.01)


def words(table: Table, address: int, data: str) -> dict[tuple[Table, int], int]:
    raw = bytes.fromhex(data)
    return {(table, address + i): int.from_bytes(raw[2 * i : 2 * i + 2], "big") for i in range(len(raw) // 2)}


async def fitted(name: str, instrument: Instrument) -> Fit:
    profile = shipped(name)
    fit = Fit(name)
    one = reader(profile)
    note_identity(fit, profile, await one.read(instrument, profile.identify))
    note_readings(fit, await one.read(instrument))
    return fit


Y511 = Instrument(
    words(Table.HOLDING, 0x2600, "00 00 8D 41 00 00 8D 41 00 00")
    | words(Table.HOLDING, 0x1100, "00 00 80 3F 00 00 00 00")
    | words(Table.HOLDING, 0x3200, "1E 00")
    | words(Table.HOLDING, 0x0700, "01 00 01 07")
)


async def test_a_probe_is_recognised_by_its_readings_alone() -> None:
    fits = {name: await fitted(name, Y511) for name in profile_names() if "modbus" in shipped_protocol(name)}
    order = ranked(fits)
    assert order[0].name == "yosemitech-y511"
    assert order[0].points >= 60
    assert order[0].points - order[1].points >= 10
    assert any("turbidity is in its range: 17.625 NTU" in why for why in order[0].fits)


def shipped_protocol(name: str) -> str:
    return load_profile(DEVICES / f"{name}.yaml").protocol


async def test_a_fingerprint_outweighs_every_reading() -> None:
    module = Instrument(
        words(Table.HOLDING, 210, "60 50")
        | {(Table.COIL, i): 0 for i in range(40)}
        | words(Table.HOLDING, 0, "0000" * 8)
    )
    profile = shipped("adam-6050")
    [(field, value)] = profile.identify.items()
    signal = profile.signals[field]
    module.registers |= {(signal.table, signal.address - profile.base): int(float(value))}
    fit = await fitted("adam-6050", module)
    assert fit.identified
    other = Fit("other", for_it=20.0)
    assert ranked({"other": other, "adam-6050": fit})[0].name == "adam-6050"


async def test_a_wrong_fingerprint_speaks_against_it() -> None:
    profile = shipped("adam-6050")
    signal = profile.signals[next(iter(profile.identify))]
    fit = await fitted("adam-6050", Instrument({(signal.table, signal.address - profile.base): 1}))
    assert not fit.identified
    assert fit.points == 0 or fit.against_it > fit.for_it
    assert any("must read" in why for why in fit.misfits)


@pytest.mark.parametrize("name", ["mag-0x00", "yosemitech-y511", "boqu-bh-485-nh"])
async def test_zeros_everywhere_convince_nobody(name: str) -> None:
    zeros = Instrument({(table, address): 0 for table in Table for address in range(0x4000)})
    assert (await fitted(name, zeros)).points < 40


async def test_refused_registers_and_impossible_values_speak_against_it() -> None:
    nothing = await fitted("yosemitech-y511", Instrument({}))
    assert nothing.points == 0
    assert "exception 02" in nothing.misfits[0]
    wild = Instrument(Y511.registers | words(Table.HOLDING, 0x2602, "FF FF 7F 7F"))
    assert (await fitted("yosemitech-y511", wild)).points < (await fitted("yosemitech-y511", Y511)).points
