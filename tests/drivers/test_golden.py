"""The drivers make of recorded and laid-out bytes what the golden table says, profile by profile."""

from zoneinfo import ZoneInfo

import pytest

from config.load import DEVICES, load_profile, profile_names
from config.profile import ModbusProfile
from config.sample import Reason, Sample
from config.signals import Signal, signal_table
from config.site import Site
from drivers.modbus.block import Block
from drivers.modbus.command import DeviceCommands
from drivers.modbus.decoder import Around
from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan
from tests.drivers.golden import VECTORS, Vector

CASES = [pytest.param(vector, id=f"{vector.profile}-{vector.address:#x}-{i}") for i, vector in enumerate(VECTORS)]


def shipped(name: str) -> tuple[ModbusProfile, dict[str, Signal], ZoneInfo]:
    """A profile, the signals of a device that has it, and the site's time zone."""
    profile = load_profile(DEVICES / f"{name}.yaml")
    assert isinstance(profile, ModbusProfile)
    site = Site.model_validate(
        {
            "site": {"id": "bench"},
            "links": {"bus": {"type": "modbus-rtu", "port": "/dev/null"}},
            "devices": {"D": {"link": "bus", "unit": 1, "profile": name}},
        }
    )
    signals = {signal.field: signal for signal in signal_table(site, {"D": profile}).field}
    return profile, signals, ZoneInfo(site.site.timezone)


def decoded(vector: Vector) -> dict[str, Sample]:
    """The samples of the fields that the vector names; codes in its block are read before what depends on them."""
    profile, device, zone = shipped(vector.profile)
    needed = frozenset(name for signal in profile.signals.values() for name in signal.parameters())
    parameters = Parameters(lambda field, before, now: None)
    for field, code in vector.parameters.items():
        parameters.note(field, code)
    around = Around(device, vector.address, profile.base, zone, parameters, needed)
    data = bytes.fromhex(vector.data)
    end = vector.address + len(data) // 2 + profile.base
    for field in needed - vector.parameters.keys():
        if vector.address + profile.base <= profile.signals[field].address < end:
            _sample(device[field], around, data)
    return {field: _sample(device[field], around, data) for field in vector.expected}


def _sample(signal: Signal, around: Around, data: bytes) -> Sample:
    [sample] = Block((signal,), around).decode(data, 1.0)
    return sample


@pytest.mark.parametrize("vector", CASES)
def test_the_drivers_read_what_the_table_says(vector: Vector) -> None:
    for field, sample in decoded(vector).items():
        expected = vector.expected[field]
        if isinstance(expected, Reason):
            assert sample.reason is expected, field
            assert not sample.good, field
        else:
            assert sample.reason is Reason.OK, field
            exact = isinstance(expected, bool | str)
            assert sample.value == (expected if exact else pytest.approx(expected, rel=1e-9, abs=1e-12)), field


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_profile_is_read_and_commanded_within_its_limits(name: str) -> None:
    profile, device, zone = shipped(name)
    plan = DevicePlan(list(device.values()), profile, zone, Parameters(lambda field, before, now: None))
    readable = {signal.index for field, signal in device.items() if profile.signals[field].readable}
    assert {index for read in plan.reads for index in read.signals} == readable
    for read in plan.reads:
        limit = profile.limits.bits if read.pdu[0] in (1, 2) else profile.limits.registers
        assert int.from_bytes(read.pdu[3:5]) <= limit
    commands = DeviceCommands(
        list(device.values()), profile, plan, lambda read, samples: None, lambda signal, text: None
    )
    for field, signal in device.items():
        if signal.writable:
            demand = True if signal.kind == "bool" else (profile.signals[field].range or (0.0, 1.0))[0]
            assert next(commands.write(signal.index, demand)) is not None
