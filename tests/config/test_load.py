"""Loading a site file: every problem at once, each by file, line, path, what was found and what was expected."""

from pathlib import Path

import pytest
import yaml

from config.errors import ConfigError, Problem
from config.load import MAX_FILE_BYTES, load_profile, load_site

ROOT = Path(__file__).parents[2]
SITES = ROOT / "config" / "sites"
BAD_SITE = ROOT / "docs" / "examples" / "bad-site.yaml"
FILL_STATION = (SITES / "fill-station.yaml").read_text("utf-8")
PLANT_OUTLET = (SITES / "plant-outlet.yaml").read_text("utf-8")


def problems_of(path: Path) -> list[Problem]:
    with pytest.raises(ConfigError) as raised:
        load_site(path)
    assert str(len(raised.value.problems)) in str(raised.value)
    assert all(problem.file == str(path) for problem in raised.value.problems)
    return raised.value.problems


def written(directory: Path, text: str | bytes) -> Path:
    path = directory / "site.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def changed(*changes: tuple[str, str], base: str = FILL_STATION) -> str:
    for old, new in changes:
        assert base.count(old) >= 1, old
        base = base.replace(old, new, 1)
    return base


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize("name", ["fill-station", "plant-outlet", "voted-take-off"])
def test_the_example_sites_load(name: str) -> None:
    loaded = load_site(SITES / f"{name}.yaml")
    assert set(loaded.profiles) == set(loaded.site.devices)
    assert loaded.signals.field_count == sum(len(profile.signals) for profile in loaded.profiles.values())


def test_the_bad_example_gives_exactly_its_six_problems() -> None:
    file = str(BAD_SITE)
    limited = "gb-t-18920-2020/B: ammonia, bod5, dissolved_oxygen, ph, tds, total_chlorine, turbidity"
    guards = "dispensers.FILL-1.guards"
    assert problems_of(BAD_SITE) == [
        Problem(
            file,
            16,
            "devices.AIT-1.unit",
            "unit 1 on link 'field', which is also FIT-1",
            "one device per unit on a link",
        ),
        Problem(file, 19, "valves.XV-1.travel", "nothing", "a value for 'travel'"),
        Problem(
            file,
            19,
            "valves.XV-1.travle",
            "unknown key 'travle'",
            "one of: travel, remote, fault, fail, slow_factor, pipe, type, open_command, close_command, opened, closed "
            "(did you mean 'travel'?)",
        ),
        Problem(file, 29, f"{guards}.turbidity.high", "8 mg/L, a concentration", "a turbidity, such as '5 NTU'"),
        Problem(file, 30, f"{guards}.cod", "'cod'", f"a parameter that use 'road-cleaning' limits ({limited})"),
        Problem(file, 31, f"{guards}.ammonia.signal", "nothing", "a value for 'signal'"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "path", "found", "expected"),
    [
        (
            "pre_act: 8 L ",
            "pre_akt: 8 L ",
            "dispensers.FILL-1.pre_akt",
            "unknown key 'pre_akt'",
            "(did you mean 'pre_act'?)",
        ),
        (
            "full_flow: 60 m3/h",
            "full_flow: 60 m3",
            "dispensers.FILL-1.full_flow",
            "'60 m3'",
            "a flow with its unit, such as '5 m3/h' ('m3' is a unit of volume)",
        ),
        (
            "full_flow: 60 m3/h",
            "full_flow: 60",
            "dispensers.FILL-1.full_flow",
            "60",
            "a flow with its unit, such as '5 m3/h'",
        ),
        (
            "stop_delay: 3 s",
            "stop_delay: -3 s",
            "dispensers.FILL-1.guards.turbidity.stop_delay",
            "'-3 s'",
            "a time of at least 0",
        ),
        (
            "{kind: fast, signal: AIT-101.turbidity",
            "{kind: fast, hysteresis: 101 %, signal: AIT-101.turbidity",
            "dispensers.FILL-1.guards.turbidity.hysteresis",
            "'101 %'",
            "a ratio of at most 100",
        ),
        (
            "unit: 4, profile",
            "unit: 3, profile",
            "devices.AIT-103.unit",
            "unit 3 on link 'field', which is also AIT-102",
            "one device per unit on a link",
        ),
        ("unit: 4, profile", "unit: 300, profile", "devices.AIT-103.unit", "300", "less than or equal to 255"),
        (
            "    link: io\n    unit: 1\n",
            "    link: io\n",
            "devices.RIO-101.unit",
            "nothing",
            "the Modbus unit (1 to 247) that the device answers as",
        ),
        ("    link: io\n", "    link: iow\n", "devices.RIO-101.link", "'iow'", "(did you mean 'io'?)"),
        (
            "  field: {type",
            "  io2: {type: modbus-tcp, host: 192.168.7.10}\n  field: {type",
            "links.io2",
            "the same address as link 'io'",
            "one link per bus or server",
        ),
        (
            "  field: {type",
            "  a: {type: modbus-tcp, host: 127.0.0.1}\n  b: {type: modbus-tcp, host: localhost}\n  field: {type",
            "links.b",
            "the same address as link 'a'",
            "one link per bus or server",
        ),
        (
            "{kind: batch, signal: AIT-102.cod, interval: 2 h}",
            "{kind: batch, interval: 2 h}",
            "dispensers.FILL-1.guards.cod.signal",
            "nothing",
            "a value for 'signal'",
        ),
        (
            "signal: AIT-102.cod",
            "signal: AIT-102.codd",
            "dispensers.FILL-1.guards.cod.signal",
            "'codd'",
            "(did you mean 'cod'?)",
        ),
        (
            "signal: AIT-102.cod",
            "signal: AIT-109.cod",
            "dispensers.FILL-1.guards.cod.signal",
            "'AIT-109'",
            "a device: RIO-101",
        ),
        ("      ph: {kind", "      iron: {kind", "dispensers.FILL-1.guards.iron", "'iron'", "a parameter: turbidity"),
        (
            "      ph: {kind",
            "      conductivity: {kind",
            "dispensers.FILL-1.guards.conductivity.signal",
            "'PLC-100.outlet_ph', in pH (acidity)",
            "a signal in a unit of conductivity, such as uS/cm",
        ),
        (
            "high: 8 NTU",
            "high: 12 NTU",
            "dispensers.FILL-1.guards.turbidity.high",
            "12 NTU",
            "at most 10 NTU, the limit of GB/T 18920-2020 table 1 (a laxer one needs",
        ),
        (
            "signal: PLC-100.outlet_ph",
            "low: 5.5 pH, signal: PLC-100.outlet_ph",
            "dispensers.FILL-1.guards.ph.low",
            "5.5 pH",
            "at least 6 pH",
        ),
        (
            "instant: 15 NTU",
            "instant: 7 NTU",
            "dispensers.FILL-1.guards.turbidity.instant",
            "7 NTU",
            "at least the stop limit, 8 NTU",
        ),
        (
            "kind: fast, signal: AIT",
            "kind: quick, signal: AIT",
            "dispensers.FILL-1.guards.turbidity.kind",
            "'quick'",
            "",
        ),
        (
            "turbidity: {kind: fast, signal: AIT-101.turbidity, high: 8 NTU, instant: 15 NTU, warn: 6 NTU, "
            "stop_delay: 3 s, clear_time: 10 s}",
            "turbidity: {kind: batch, signal: AIT-101.turbidity, interval: 1 h}",
            "dispensers.FILL-1.guards.turbidity.signal",
            "'AIT-101.turbidity', which has no result time",
            "a signal with time_from",
        ),
        ("use: road-cleaning", "use: road-cleanin", "dispensers.FILL-1.use", "'road-cleanin'", "an end use: "),
        (
            "[changzhi-iv-1a/outlet]",
            "[changzhi-iv-1a/outlt]",
            "dispensers.FILL-1.standards.0",
            "'changzhi-iv-1a/outlt'",
            "(did you mean 'changzhi-iv-1a/outlet'?)",
        ),
        (
            "low_low: 0.6 m",
            "low_low: 1.0 m",
            "dispensers.FILL-1.supply_level.low_low",
            "1 m",
            "below supply_level.low, 1 m",
        ),
        (
            "xv_101: {table: coil, address: 16, type: bool, writable: true,",
            "xv_101: {table: coil, address: 16, type: bool, writable: true, command: {kind: edge},",
            "valves.XV-101.open_command",
            "whose command is of kind edge",
            "because an output must stand",
        ),
        (
            "links:\n  io: {type",
            "links:\n  RIO-101: {type: modbus-tcp, host: 192.168.7.99}\n  io: {type",
            "links.RIO-101",
            "'RIO-101', which is also a device",
            "a name of its own",
        ),
        (
            "        zso_101: {table",
            "        comm_online: {table: discrete, address: 5, type: bool}\n        zso_101: {table",
            "devices.RIO-101.profile.signals.comm_online",
            "'comm_online'",
            "the figures of every device are called so",
        ),
        (
            "  AIT-102: {link: field, unit: 3,",
            "  AIT-102: {link: field, accept_any_unit: true, unit: 3,",
            "devices.AIT-102.accept_any_unit",
            "accept_any_unit beside FIT-101 on link 'field'",
            "a device that is alone on its link",
        ),
        (
            "open_command: RIO-101.xv_101",
            "open_command: RIO-101.zso_101",
            "valves.XV-101.open_command",
            "'RIO-101.zso_101', which is read-only",
            "a signal that its profile marks 'writable: true'",
        ),
        (
            "run_command: RIO-101.p_101",
            "run_command: RIO-101.xv_101",
            "pumps.P-101.run_command",
            "'RIO-101.xv_101', which XV-101 commands",
            "an output of its own",
        ),
        (
            "{flow: FIT-101.flow",
            "{flow: FIT-101.total",
            "dispensers.FILL-1.meter.flow",
            "'FIT-101.total', in m3 (volume)",
            "a signal in a unit of flow, such as m3/h",
        ),
        ("    pump: P-101", "    pump: P-102", "dispensers.FILL-1.pump", "'P-102'", "(did you mean 'P-101'?)"),
        (
            "pre_act: 8 L ",
            "slow_start: 100 L ",
            "dispensers.FILL-1.slow_opening",
            "nothing",
            "the opening in % for the slow stages",
        ),
        ("timezone: Asia/Shanghai", "timezone: Asia/Shanghia", "site.timezone", "'Asia/Shanghia'", "a time zone"),
        ("mode: batch", "mode: bath", "dispensers.FILL-1.mode", "'bath'", "mode: 'batch', 'continuous'"),
        (
            "broker: mqtt://",
            "ca_file: ca.pem\n  broker: mqtt://",
            "uplink.broker",
            "'mqtt://192.168.1.10:1883' with ca_file",
            "mqtts://, because TLS files are given",
        ),
        ("deadband: 0.2 m3/h", "deadband: 0.2 bar", "devices.FIT-101.signals.flow.deadband", "0.2 bar", "a flow"),
        (
            "watchdog: {timeout: 3 s}",
            "watchdog: {timeout: 0.2 s}",
            "devices.RIO-101.poll",
            "0.1 s",
            "the device drops its outputs after 0.2 s",
        ),
    ],
)
def test_a_problem_is_named_where_it_stands(
    tmp_path: Path, old: str, new: str, path: str, found: str, expected: str
) -> None:
    text = changed((old, new))
    problems = [p for p in problems_of(written(tmp_path, text)) if p.path == path]
    assert len(problems) == 1
    assert found in problems[0].found
    assert expected in problems[0].expected
    assert problems[0].line > 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("unit: 4, profile", "unit: 300, profile"),
        ("stop_delay: 3 s", "stop_delay: -3 s"),
        ("  AIT-102: {link: field", "  AIT-102: {link: 5"),
        ("low_low: 0.6 m", "low_low: 6 m"),
        ("travel: 4 s", "travel: 4 m"),
    ],
)
def test_one_mistake_is_one_problem(tmp_path: Path, old: str, new: str) -> None:
    assert len(problems_of(written(tmp_path, changed((old, new))))) == 1


def test_a_problem_stands_on_its_own_line(tmp_path: Path) -> None:
    text = changed(("full_flow: 60 m3/h", "full_flow: 60 m3"))
    [problem] = problems_of(written(tmp_path, text))
    assert problem.line == line_of(text, "full_flow: 60 m3")
    assert str(problem).startswith(f"{tmp_path / 'site.yaml'}:{problem.line}: dispensers.FILL-1.full_flow: found ")


def test_every_problem_is_reported_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = changed(
        ("timezone: Asia/Shanghai", "timezone: Asia/Shanghia"),
        ("unit: 4, profile", "unit: 3, profile"),
        ("travel: 4 s", "travel: 4 m"),
        ("use: road-cleaning", "use: road-cleanin"),
        ("max_order: 20 m3", "max_order: 20 m3/h"),
        ("  group: changzhi", "  grupp: changzhi"),
    )
    problems = problems_of(written(tmp_path, text))
    named = [p.path for p in problems]
    for path in (
        "site.timezone",
        "devices.AIT-103.unit",
        "valves.XV-101.travel",
        "dispensers.FILL-1.max_order",
        "uplink.grupp",
    ):
        assert path in named
    assert [p.line for p in problems] == sorted(p.line for p in problems)


def test_a_repeated_key_is_refused_with_the_line_of_the_first(tmp_path: Path) -> None:
    text = changed(("    valve: XV-101\n", "    valve: XV-101\n    valve: XV-101\n"))
    [problem] = problems_of(written(tmp_path, text))
    assert (problem.path, problem.expected) == ("dispensers.FILL-1.valve", "each key once")
    assert problem.line == line_of(text, "    valve: XV-101\n") + 1
    assert problem.found == f"'valve' a second time (first on line {problem.line - 1})"


@pytest.mark.parametrize(
    ("content", "line", "found", "expected"),
    [
        ("site: {id: [\n", 2, "did not find expected node content", "well-formed YAML"),
        ("site:\n\tid: x\n", 2, "cannot start any token", "well-formed YAML"),
        (b"site: {id: \xff\xfe}", 0, "bytes that are not UTF-8", "UTF-8 text"),
        (b"site: {id: \x00}", 0, "unacceptable character", "well-formed YAML"),
        ("site: !!python/object:os.system {}\n", 1, "constructor", "well-formed YAML"),
        ("", 1, "nothing", ""),
        ("- a\n- b\n", 1, "a list", ""),
        ("hello", 1, "'hello'", ""),
    ],
)
def test_what_is_no_site_file_is_refused_in_one_line(
    tmp_path: Path, content: str | bytes, line: int, found: str, expected: str
) -> None:
    [problem] = problems_of(written(tmp_path, content))
    assert problem.line == line
    assert found in problem.found
    assert expected in problem.expected
    assert "\n" not in str(problem)


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "none.yaml")[0].found == "No such file or directory"
    assert problems_of(tmp_path)[0].expected == "a readable file"


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert problems_of(path)[0].found == "a larger file"


@pytest.mark.parametrize(("name", "hint"), [("cnemc-cdo", "cnemc-cod"), ("mag_0x00", "mag-0x00")])
def test_an_unknown_profile_is_named_with_a_hint(tmp_path: Path, name: str, hint: str) -> None:
    text = changed((f"profile: {hint}", f"profile: {name}"))
    [problem] = problems_of(written(tmp_path, text))
    assert problem.found == f"'{name}'"
    assert problem.expected.endswith(f"(did you mean '{hint}'?)")
    assert problem.line == line_of(text, name)


def test_a_profile_is_never_taken_from_outside_the_sites_directory(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "cnemc-cod.yaml").write_bytes((ROOT / "config" / "devices" / "cnemc-cod.yaml").read_bytes())
    path = written(tmp_path / "inner", changed(("profile: cnemc-cod", "profile: ../cnemc-cod")))
    assert [p.path for p in problems_of(path)] == ["devices.AIT-102.profile"]


def test_a_profile_beside_the_site_file_goes_before_the_one_that_ships(tmp_path: Path) -> None:
    own = (ROOT / "config" / "devices" / "cnemc-cod.yaml").read_text("utf-8").replace("address: 4104", "address: 4106")
    (tmp_path / "cnemc-cod.yaml").write_text(own, "utf-8")
    loaded = load_site(written(tmp_path, FILL_STATION))
    assert loaded.signals["AIT-102.cod"].definition.address == 4106  # type: ignore[union-attr]


def test_a_problem_in_a_profile_is_named_in_the_profile(tmp_path: Path) -> None:
    own = (ROOT / "config" / "devices" / "cnemc-cod.yaml").read_text("utf-8").replace("type: float32", "type: float16")
    profile = tmp_path / "cnemc-cod.yaml"
    profile.write_text(own, "utf-8")
    with pytest.raises(ConfigError) as raised:
        load_site(written(tmp_path, FILL_STATION))
    [problem] = raised.value.problems
    assert (problem.file, problem.path) == (str(profile), "signals.cod.type")
    assert problem.line == line_of(own, "float16")
    with pytest.raises(ConfigError):
        load_profile(profile)


@pytest.mark.parametrize(
    ("poll", "timeout"), [("100 ms", "0.3 s"), ("0.2 s", "0.6 s"), ("1 s", "3 s"), ("0.7 s", "2.1 s")]
)
def test_a_poll_of_exactly_a_third_of_the_watchdog_is_allowed(tmp_path: Path, poll: str, timeout: str) -> None:
    text = changed(
        ("    poll: 100 ms", f"    poll: {poll}"), ("watchdog: {timeout: 3 s}", f"watchdog: {{timeout: {timeout}}}")
    )
    load_site(written(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("setpoint: 120 m3/h", "setpoint: 220 m3/h", "dispensers.INDUSTRY.setpoint"),
        ("valve: FV-202", "valve: FV-201", "dispensers.RIVER.valve"),
        ("travel: 20 s}", "travel: 20 s, closed_below: 120 %}", "valves.FV-201.closed_below"),
    ],
)
def test_problems_of_a_continuous_dispenser_are_named(tmp_path: Path, old: str, new: str, path: str) -> None:
    problems = problems_of(written(tmp_path, changed((old, new), base=PLANT_OUTLET)))
    assert path in [p.path for p in problems]


def test_a_site_of_ten_thousand_signals_loads(tmp_path: Path) -> None:
    lines = ["site: {id: large}", "links:"]
    lines += [f"  l{n}: {{type: modbus-tcp, host: 10.0.0.{n}}}" for n in range(10)]
    lines.append("devices:")
    for number in range(100):
        lines += [f"  D-{number}:", f"    link: l{number % 10}", f"    unit: {number // 10 + 1}"]
        lines += ["    profile:", "      protocol: modbus", "      signals:"]
        lines += [f"        v{n}: {{table: holding, address: {n}, type: uint16, unit: m3/h}}" for n in range(100)]
    assert len(load_site(written(tmp_path, "\n".join(lines))).signals.field) == 10_000


def test_a_port_in_the_host_is_refused(tmp_path: Path) -> None:
    text = FILL_STATION.replace("host: 192.168.7.10,", 'host: "192.168.7.10:502",')
    with pytest.raises(ConfigError, match="its port goes under 'port'"):
        load_site(written(tmp_path, text))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("framing: rtu", "a serial line carries one request at a time"),
        ("line: {baudrate: 9600}", "a serial line carries one request at a time"),
        ("strict_ids: false", "do not tell which request they answer"),
    ],
)
def test_several_requests_at_a_time_are_refused_where_replies_cannot_be_told_apart(
    tmp_path: Path, more: str, why: str
) -> None:
    text = FILL_STATION.replace("host: 192.168.7.10,", f"host: 192.168.7.10, in_flight: 2, {more},")
    with pytest.raises(ConfigError, match=why):
        load_site(written(tmp_path, text))


@pytest.mark.parametrize(
    ("fields", "watchdog", "found"),
    [
        ({"level": {"poll": "1 min"}}, {"timeout": "10 s"}, "60 s"),
        ({"level": {"poll": "1 min"}, "flow": {"poll": "3 s"}}, {"timeout": "10 s"}, ""),
        (
            {"level": {"poll": "1 min"}, "beat": {"poll": "1 min", "writable": True}},
            {"timeout": "10 s", "heartbeat": {"signal": "beat", "period": "2 s"}},
            "",
        ),
        (
            {"level": {}, "beat": {"writable": True}},
            {"timeout": "10 s", "heartbeat": {"signal": "beat", "period": "5 s"}},
            "5 s",
        ),
    ],
)
def test_the_longest_silence_that_a_watchdog_sees_is_that_of_what_is_really_asked(
    tmp_path: Path, fields: dict[str, dict[str, object]], watchdog: dict[str, object], found: str
) -> None:
    signals = {name: {"table": "holding", "address": i} | more for i, (name, more) in enumerate(fields.items())}
    profile = {"protocol": "modbus", "watchdog": watchdog, "signals": signals}
    site = {
        "site": {"id": "bench"},
        "links": {"bus": {"type": "modbus-tcp", "host": "10.0.0.1"}},
        "devices": {"D": {"link": "bus", "unit": 1, "poll": "1 s", "profile": profile}},
    }
    path = written(tmp_path, yaml.safe_dump(site))
    if not found:
        load_site(path)
        return
    [problem] = problems_of(path)
    assert found in problem.found
    assert "at most 3.33333 s" in problem.expected
