"""Bytes on the wire and what a profile makes of them: recorded exchanges, makers' examples, and bytes laid out by hand.

``expected`` is in the canonical unit of the signal (``config.units``), true or false for bits, a word for an enum,
seconds UTC for a time, or the ``Reason`` why there is no good value. ``parameters`` are codes outside the block.
Bit tables are packed as in a reply of function 01 or 02. Local times are those of Asia/Shanghai.
"""

from datetime import UTC, datetime
from struct import pack
from typing import Final, NamedTuple

from config.encoding import Table
from config.sample import Reason


class Vector(NamedTuple):
    """A block of one table from wire ``address`` on, and what each signal in it reads."""

    profile: str
    table: Table
    address: int
    data: str
    expected: dict[str, float | bool | str | Reason]
    source: str
    parameters: dict[str, int] = {}


def words(*registers: int) -> str:
    """Registers high byte first."""
    return pack(f">{len(registers)}H", *registers).hex()


def abcd(number: float) -> str:
    """A float32, most significant byte first."""
    return pack(">f", number).hex()


def cdab(number: float) -> str:
    """A float32, least significant register first."""
    high, low = pack(">f", number)[:2], pack(">f", number)[2:]
    return (low + high).hex()


def dcba(number: float) -> str:
    """A float32, least significant byte first."""
    return pack("<f", number).hex()


def near(number: float) -> float:
    """The number that a float32 really holds."""
    return float(memoryview(pack("=f", number)).cast("f")[0])


HAND: Final = "laid out by hand from the register map"
H, I, D, C = Table.HOLDING, Table.INPUT, Table.DISCRETE, Table.COIL  # noqa: E741

VECTORS: Final[tuple[Vector, ...]] = (
    Vector(
        "yosemitech-y511",
        H,
        0x2600,
        "00008D41 00008D41 0000",
        {"temperature": 17.625, "turbidity": 17.625, "error": 0},
        "Y511 manual: 01 03 26 00 00 05 8E 81 -> 01 03 0A 00 00 8D 41 00 00 8D 41 00 00 C7 33",
    ),
    Vector(
        "yosemitech-y511",
        H,
        0x2600,
        "3333F340 85EBD1C0 0000",
        {"temperature": near(7.6), "turbidity": Reason.OUT_OF_RANGE, "error": 0},
        "Yosemitech manuals: 33 33 F3 40 = 7.6; 85 EB D1 C0 = -6.56",
    ),
    Vector(
        "yosemitech-y511",
        H,
        0x2600,
        "00008D41 00008D41 FF00",
        {"turbidity": Reason.DEVICE_FAULT, "error": 0xFF00},
        "Y511 manual: error byte 0xFF, wiper stuck",
    ),
    Vector("yosemitech-y511", H, 0x3200, "1E00", {"wipe_interval": 1800.0}, HAND),
    Vector(
        "yosemitech-y511",
        H,
        0x1100,
        dcba(1.03125) + dcba(-0.25),
        {"calibration_k": 1.03125, "calibration_b": -0.25},
        HAND,
    ),
    Vector("yosemitech-y511", H, 0x0700, "01000107", {"version": 0x01000107}, HAND),
    Vector(
        "yosemitech-y551",
        H,
        0x2600,
        f"{dcba(18.5)} {dcba(42.25)} 0000",
        {"temperature": 18.5, "cod": 42.25, "error": 0},
        HAND,
    ),
    Vector("yosemitech-y551", H, 0x3200, "1E00", {"wipe_interval": 1800.0}, HAND),
    Vector(
        "yosemitech-y560",
        H,
        0x2800,
        f"{dcba(1.5)} {dcba(12.0)} {dcba(1.9375)}",
        {"ammonia": 1.5, "potassium": 12.0, "ammonium": 1.9375},
        HAND,
    ),
    Vector("yosemitech-y560", H, 0x3200, "3C00", {"wipe_interval": 3600.0}, HAND),
    Vector("yosemitech-y560", H, 0x2600, f"{dcba(-12.5)} {dcba(7.25)}", {"ph_potential": -12.5, "ph": 7.25}, HAND),
    Vector(
        "mag-0x1010-plain",
        I,
        4112,
        "C41C6000"
        + abcd(-2.5)
        + abcd(-40.0)
        + abcd(3.0)
        + words(0x0000, 0xBC58)
        + abcd(0.375)
        + words(0x0000, 0x000C)
        + abcd(0.25)
        + words(5, 1, 0, 1, 0, 0),
        {
            "flow": -625.5,
            "low_alarm": 1,
            "velocity": -2.5,
            "percent": -40.0,
            "total": 48216.375,
            "reverse_total": 12.25,
            "flow_unit": 5,
            "empty_pipe": 0,
        },
        "maker's example 01 04 04 C4 1C 60 00 2F 72 = -625.5; the rest laid out by hand",
    ),
    Vector(
        "mag-0x1010-plain",
        I,
        4112,
        abcd(10.0) + abcd(1.0) * 3 + words(0, 7) + abcd(0.5) + words(0, 0) + abcd(0.0) + words(0, 0, 0, 0, 0, 0),
        {"flow": 36.0, "total": 0.0075, "flow_unit": 0, "total_unit": 0},
        HAND,
    ),
    Vector(
        "mag-0x1010-plain",
        I,
        4112,
        abcd(10.0) + abcd(1.0) * 3 + words(0, 7) + abcd(0.5) + words(0, 0) + abcd(0.0) + words(5, 4, 0, 0, 1, 0),
        {"flow": Reason.DEVICE_FAULT, "empty_pipe": 1, "system_alarm": 0},
        HAND,
    ),
    Vector(
        "mag-0x1010-heat",
        I,
        4112,
        abcd(1.5)
        + abcd(0.75)
        + "00000000"
        + abcd(2.0)
        + words(0x0001, 0x86A0)
        + abcd(0.5)
        + words(0, 0, 3, 0, 1, 1, 0, 1, 0, 0)
        + abcd(3.6)
        + words(0, 72)
        + abcd(0.0)
        + words(45, 30),
        {
            "flow": 5400.0,
            "velocity": 0.75,
            "total": 100000.5,
            "flow_unit": 3,
            "heat_power": near(3.6) * 1000 / 3.6,
            "heat_energy": 20000.0,
            "supply_temperature": 45.0,
            "return_temperature": 30.0,
        },
        HAND,
    ),
    Vector(
        "mag-0x00",
        H,
        0x00,
        "BE800000"
        + words(2)
        + words(0x0000, 0xBC58)
        + abcd(0.375)
        + words(0)
        + words(0, 3)
        + abcd(0.5)
        + words(0, 0, 0, 0, 0, 0)
        + abcd(-0.0078125)
        + abcd(-0.25)
        + abcd(20.0)
        + abcd(100.0),
        {
            "flow": -0.25,
            "flow_unit": 2,
            "total": 48216.375,
            "reverse_total": 3.5,
            "excitation_alarm": 0,
            "empty_pipe": 0,
            "velocity": -0.0078125,
            "percent": -0.25,
            "electrode_resistance": 20000.0,
            "bore": 0.1,
        },
        "MFE600E manual: 0xBE 0x80 0x00 0x00 = -0.25; the rest laid out by hand",
    ),
    Vector(
        "mag-0x00",
        H,
        0x00,
        abcd(12.5) + words(3) + words(0, 9) + abcd(0.25) + words(0) + words(0, 0) + abcd(0.0) + words(0, 0, 0, 0, 0, 0),
        {"flow": 45.0, "flow_unit": 3, "total": 9.25},
        HAND,
    ),
    Vector(
        "mag-0x00",
        H,
        0x00,
        abcd(12.5) + words(2) + words(0, 9) + abcd(0.25) + words(0) + words(0, 0) + abcd(0.0) + words(0, 1, 0, 0, 0, 0),
        {"flow": Reason.DEVICE_FAULT, "excitation_alarm": 1, "total": 9.25},
        HAND,
    ),
    Vector("siemens-mag-6000", H, 3002, abcd(0.0125), {"flow": near(0.0125) * 3600}, HAND),
    Vector(
        "siemens-mag-6000",
        H,
        3014,
        pack(">d", 123456.789).hex() + pack(">d", 0.25).hex(),
        {"total": 123456.789, "total_2": 0.25},
        HAND,
    ),
    Vector(
        "siemens-mag-6000",
        H,
        600,
        words(0x2A, 0xFF, 24),
        {"slave_id": 42, "running": True, "product": "MAG 6000"},
        HAND,
    ),
    Vector("eh-promag", H, 2008, "723741DB", {"flow": near(27.430769)}, "L-com SRWQ100: 72 37 41 DB = 27.43, CDAB"),
    Vector("eh-promag", H, 2008, "00007FC0", {"flow": Reason.NOT_A_NUMBER}, "E+H: a fault is NaN"),
    Vector("eh-promag", H, 5050, cdab(12.5) + cdab(-3.25), {"scan_1": 12.5, "scan_2": -3.25}, HAND),
    Vector("xylem-magflux", H, 600, cdab(0.015625), {"flow": 56.25}, HAND),
    Vector(
        "xylem-magflux",
        H,
        604,
        words(0x7115, 0x4E4A, 0xAB54, 0x0000) + words(0xE240, 0x0001),
        {"total": 0xAB544E4A7115 * 1e-9, "resettable_total": 123.456},
        HAND,
    ),
    Vector(
        "tds-ultrasonic-flow",
        H,
        8,
        words(0xBC58, 0x0000) + cdab(0.375) + words(0xFFFE, 0xFFFF) + cdab(-0.5),
        {"total": 482.16375, "reverse_total": -0.025},
        HAND,
        {"total_unit": 0, "total_multiplier": 1},
    ),
    Vector(
        "tds-ultrasonic-flow",
        H,
        24,
        words(0x86A0, 0x0001) + cdab(0.5),
        {"net_total": 1000005.0},
        HAND,
        {"total_unit": 1, "total_multiplier": 7},
    ),
    Vector(
        "tds-ultrasonic-flow",
        H,
        0,
        cdab(12.5) + words(0, 0) + cdab(0.5) + cdab(1482.0) + words(*[0] * 63) + words(0x0002),
        {"flow": 12.5, "velocity": 0.5, "sound_speed": 1482.0, "error": 2},
        HAND,
    ),
    Vector(
        "tds-ultrasonic-flow",
        H,
        0,
        cdab(12.5) + words(0, 0) + cdab(0.5) + cdab(1482.0) + words(*[0] * 63) + words(0x0009),
        {"flow": Reason.DEVICE_FAULT, "velocity": 0.5, "error": 9},
        HAND,
    ),
    Vector("tds-ultrasonic-flow", H, 91, words(0x5A3C), {"signal_quality": 0x3C}, HAND),
    Vector(
        "elmag-200",
        I,
        0,
        cdab(36.5) + cdab(1234.5) + words(2, 3, 2, 1, 3),
        {"flow": 36.5, "total": 1234.5, "flow_volume_unit": 3, "total_unit": 3},
        HAND,
    ),
    Vector(
        "elmag-200",
        I,
        0,
        cdab(36.5) + cdab(1234.5) + words(2, 1, 2, 1, 2),
        {"flow": Reason.DEVICE_FAULT, "total": near(1234.5) / 1000},
        HAND,
    ),
    Vector(
        "ake-vortex",
        H,
        0,
        abcd(20.0) + abcd(101.0) + abcd(50.0) + abcd(0.5) + abcd(1234.0) + abcd(87.89) + words(0, 0x40, 0, 1),
        {
            "temperature": 20.0,
            "pressure": 1.01,
            "frequency": 50.0,
            "flow": 1800.0,
            "total": 123400 + near(87.89),
            "high_alarm": 0x40,
            "low_alarm": 1,
        },
        "seller's example: 1234 x 100 + 87.89 = 123487.89",
    ),
    Vector("boqu-bh-485-nh", H, 16, abcd(1.25) + abcd(12.0), {"ammonia": 1.25, "potassium": 12.0}, HAND),
    Vector(
        "supmea-turbidity",
        H,
        0,
        "00000000",
        {"turbidity": 0.0},
        "Supmea manual: 00 03 00 00 00 02 C5 DA -> 00 03 04 00 00 00 00 EA F3",
    ),
    Vector(
        "supmea-turbidity",
        H,
        0,
        words(0, 1234) + words(0, 555),
        {"turbidity": 12.34, "suspended_solids": 55.5},
        HAND,
    ),
    Vector(
        "yunyi-level",
        H,
        4,
        "347D",
        {"reading": 13437},
        "seller's example: 00 03 00 04 00 01 C4 1A -> 02 03 02 34 7D 2A A5",
    ),
    Vector(
        "eh-liquiline-cm44x",
        H,
        0,
        abcd(7.5) + words(0, 33) + "7FA00000" + words(0, 53) + abcd(1.0) + words(3, 0) + abcd(2.0) + words(1, 47),
        {
            "input_1": 7.5,
            "input_1_unit": 33,
            "input_2": Reason.NOT_A_NUMBER,
            "input_3": Reason.OUT_OF_SERVICE,
            "input_4": Reason.SERVER_UNCERTAIN,
        },
        "E+H SD01189C: not available is 7F A0 00 00; states 0, 1, 3; the rest laid out by hand",
    ),
    Vector(
        "hach-tss-sc",
        H,
        0,
        abcd(3.5) + abcd(0.875) + abcd(4.25) + abcd(0.00425) + abcd(0.0),
        {
            "turbidity": 3.5,
            "turbidity_ebc": 0.875,
            "suspended_solids": 4.25,
            "suspended_solids_g": near(0.00425) * 1000,
        },
        HAND,
    ),
    Vector("hach-uvas-sc", H, 0, abcd(25.5) + words(0), {"value": 25.5, "value_unit": 0}, HAND),
    Vector("hach-uvas-sc", H, 0, abcd(0.5) + words(1), {"value": 500.0}, HAND),
    Vector(
        "hach-surface-scatter-7",
        H,
        0,
        abcd(1.25) + words(1, 125) + "4F75746C657420202020 2020" + words(1, 2, 3, 1, 5, 7, 0, 0),
        {
            "turbidity": 1.25,
            "turbidity_whole": 1.0,
            "turbidity_x100": 1.25,
            "location": "Outlet",
            "bubble_reject": True,
            "averaging": "30 s",
            "turbidity_unit": 7,
        },
        HAND,
    ),
    Vector(
        "hach-surface-scatter-7",
        H,
        0,
        abcd(1.25) + words(1, 125) + "4F75746C657420202020 2020" + words(1, 2, 3, 1, 5, 7, 0, 1),
        {"turbidity": Reason.MAINTENANCE, "turbidity_x100": Reason.MAINTENANCE},
        HAND,
    ),
    Vector(
        "cnemc-cod",
        H,
        4101,
        "261124083000" + cdab(42.5) + words(0),
        {"result_time": datetime(2026, 11, 24, 0, 30, tzinfo=UTC).timestamp(), "cod": 42.5, "flag": 0},
        HAND,
    ),
    Vector(
        "cnemc-ammonia",
        H,
        4101,
        "261124093000" + abcd(1.5) + words(2),
        {
            "result_time": datetime(2026, 11, 24, 1, 30, tzinfo=UTC).timestamp(),
            "ammonia": Reason.MAINTENANCE,
            "flag": 2,
        },
        HAND,
    ),
    Vector(
        "rotork-iq-mk2",
        H,
        0,
        words(0x8031, 0x0081, 45, 500, 250),
        {
            "moving": True,
            "closed": False,
            "opened": False,
            "opening": True,
            "remote": True,
            "fault": False,
            "watchdog_recovery": True,
            "battery_low": True,
            "slow_mode": True,
            "torque": 45.0,
            "position": 50.0,
            "analogue_input": 25.0,
        },
        HAND,
    ),
    Vector(
        "rotork-iq-mk3",
        H,
        0,
        words(0x0224, 0x2000, 0, 1000, 0),
        {"opened": True, "remote": True, "fault": True, "general_alarm": True, "position": 100.0},
        HAND,
    ),
    Vector("rotork-iq-mk3", H, 3, words(0xFFFF), {"position": Reason.OUT_OF_RANGE}, "Mk1 data base: full scale 0xFFFF"),
    Vector("positioner-1000", H, 3, words(333), {"position": 33.3}, HAND),
    Vector(
        "auma-matic",
        D,
        0x2000,
        "0114",
        {"opened": True, "closed": False, "fault": False, "remote": True, "local": False, "limit_open": True},
        HAND,
    ),
    Vector("auma-matic", I, 0x3007, words(57), {"position": 57.0}, HAND),
    Vector("auma-matic-positioner", I, 0x3007, words(570), {"position": Reason.OUT_OF_RANGE}, "coding per mille"),
    Vector("auma-matic-positioner", H, 0x1000, words(4, 305), {"positioning": True, "position_command": 30.5}, HAND),
    Vector(
        "danfoss-fc",
        H,
        50199,
        words(0x0F07),
        {"control_ready": True, "drive_ready": True, "fault": False, "auto": True, "running": True},
        HAND,
    ),
    Vector("danfoss-fc", H, 50209, words(0x2000), {"speed": 50.0}, HAND),
    Vector("danfoss-fc", H, 50009, words(0x4000), {"reference": 100.0}, HAND),
    Vector("danfoss-fc", H, 49999, words(0x047C), {"run_command": True}, HAND),
    Vector("danfoss-fc", H, 16129, words(0, 455), {"frequency": 45.5}, HAND),
    Vector("danfoss-fc", C, 64, "01", {"store_parameters": True}, HAND),
    Vector(
        "abb-acs355",
        H,
        0,
        words(0x047F, 10000, 0, 0x0337, 0xFF38, 1500, 0, 0, 0, 0, 0, 0),
        {
            "run_command": True,
            "reference": 50.0,
            "ready_to_switch_on": True,
            "enabled": True,
            "fault": False,
            "remote": True,
            "actual_1": -200,
            "actual_2": 1500,
        },
        HAND,
    ),
    Vector(
        "grundfos-cim",
        H,
        200,
        words(0x0340, 0xFFFF, 4, 0, 0xFFFF, 12),
        {
            "rotation": True,
            "remote": True,
            "control_mode": "constant pressure",
            "operation_mode": "auto",
            "alarm_code": Reason.NOT_A_NUMBER,
            "warning_code": 12,
        },
        HAND,
    ),
    Vector(
        "grundfos-cim",
        H,
        400,
        words(0x0002, 0, 0x0001, 0x1170, 9550, 0xFFFF, 137, 31315),
        {
            "pump_1_running": True,
            "pump_1_fault": False,
            "pump_1_hours": 70000 * 3600.0,
            "pump_1_speed": 95.5,
            "pump_1_current": Reason.NOT_A_NUMBER,
            "pump_1_power": 1.37,
            "pump_1_temperature": 40.0,
        },
        HAND,
    ),
    Vector(
        "schneider-atv",
        H,
        3201,
        words(0x0237, 500),
        {"ready": True, "running": True, "fault": False, "remote": True, "frequency": 50.0},
        HAND,
    ),
    Vector("cyk-ludp", H, 0, "0010", {"level": 0.16}, "CYK manual: 01 03 02 00 10 B9 88 = 0.16 m"),
    Vector("cyk-ludp", H, 0, "8010", {"level": -0.16}, "CYK manual: 80 10 = -0.16 m (check sum D8 48, printed wrong)"),
    Vector("hycontrol-microflex", H, 12, words(2500), {"low_span": 2.5}, HAND),
    Vector("hycontrol-microflex", H, 2, words(0x0021), {"two_wire": True, "long_range": False, "integral": True}, HAND),
    Vector(
        "sommer-ush-9",
        I,
        36,
        abcd(2500.0) + abcd(2512.0) + abcd(2480.0) + abcd(21.5) + abcd(0.0),
        {"distance_max_echo": 2.5, "distance_0c": 2.48, "case_temperature": 21.5, "error": 0},
        HAND,
    ),
    Vector(
        "sommer-ush-9",
        I,
        40,
        abcd(2480.0) + abcd(21.5) + abcd(8.0),
        {"distance_0c": Reason.SERVER_UNCERTAIN, "error": 8},
        HAND,
    ),
    Vector("adam-6050", C, 0, "0508", {"di_0": True, "di_1": False, "di_2": True, "di_11": True}, HAND),
    Vector("adam-6050", C, 16, "02", {"do_0": False, "do_1": True}, "ADAM: address 0x11 is DO 1"),
    Vector(
        "adam-6217",
        H,
        0,
        words(0x0000, 0xFFFF, 0x8000) + words(*[0] * 97) + words(0, 0, 0, 0, 8, 0),
        {"ai_0": 0.004, "ai_1": 0.02, "ai_2": Reason.NOT_A_NUMBER, "ai_2_status": 8},
        HAND,
    ),
    Vector(
        "adam-4056so",
        H,
        210,
        "4056534F",
        {"module": 0x4056534F},
        "ADAM-4000 manual G-11: module name 0x40 0x56, 0x53 0x4F",
    ),
    Vector("wago-750", H, 0x2010, words(7, 750, 352), {"firmware": 7, "series": 750, "item": 352}, HAND),
)
