"""A page for each shipped profile, and their index, from the profile itself: what a technician wants beside the device.

``make docs`` writes them to ``docs/devices``; a test holds them to the profiles.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.command import Command
from config.encoding import BIT_TABLES, REGISTERS, Encoding, Order
from config.lint import verified_of
from config.modbus_signal import ModbusSignal, Part, Verified
from config.profile import ModbusProfile, OpcUaProfile

INDEX: Final = "README.md"
CHINESE: Final = "zh-CN"


@dataclass(frozen=True, slots=True)
class Words:
    """The fixed words of the pages in one language. What profiles say of themselves stays as it is."""

    language: str
    made: str
    index_title: str
    index_text: str
    instrument: str
    profile: str
    signals: str
    checked: str
    other: str
    vendor: str
    models: str
    source: str
    first: str
    line: str
    line_unknown: str
    limits: str
    signal: str
    register: str
    wire: str
    encoding: str
    unit: str
    range: str
    read: str
    description: str
    with_values: str
    never: str
    rule: str
    codes: str
    commands: str
    kind: str
    before: str
    always: str
    confirmed: str
    actions: str
    request: str
    reply: str
    when: str
    rest: str
    site: str
    verified: Mapping[Verified, str]


ENGLISH: Final = Words(
    language="en",
    made="Made by 'make docs' from config/devices/{name}.yaml: change that file, not this one.",
    index_title="Devices",
    index_text=(
        "The profiles that ship with Penstock, each with its registers and traps. *manual*: read in the maker's "
        "manual; *transcript*: seen in a recorded exchange; *unverified*: neither, confirm at the device. "
        "How a profile is written: [profile-file.md](../profile-file.md)."
    ),
    instrument="instrument",
    profile="profile",
    signals="Signals",
    checked="checked against",
    other="[中文](zh-CN/{file})",
    vendor="vendor",
    models="models",
    source="source",
    first="Read this first",
    line="As it leaves the factory",
    line_unknown="not known; find it with `penstock scan-bus`",
    limits="requests",
    signal="signal",
    register="register",
    wire="on the wire",
    encoding="encoding",
    unit="unit",
    range="range",
    read="read",
    description="description",
    with_values="with the values",
    never="never",
    rule="rule",
    codes="How values are judged and read",
    commands="Commands",
    kind="kind",
    before="only while",
    always="always allowed",
    confirmed="confirmed by",
    actions="Actions",
    request="request",
    reply="reply",
    when="when",
    rest="Also",
    site="In the site file",
    verified={word: str(word) for word in Verified},
)

CHINESE_WORDS: Final = Words(
    language=CHINESE,
    made="由 'make docs' 从 config/devices/{name}.yaml 生成：请修改该文件，而不是本页。",
    index_title="仪表与设备",
    index_text=(
        "Penstock 自带的设备配置文件（profile），每个都列出寄存器和现场容易踩的坑。"
        "**手册**：对照厂家手册；**实录**：对照实际通讯记录；"
        "**未核实**：两者都没有，请在现场核对。如何编写设备配置文件：[profile-file.zh-CN.md](../../profile-file.zh-CN.md)。"
    ),
    instrument="仪表",
    profile="配置名",
    signals="信号",
    checked="依据",
    other="[English](../{file})",
    vendor="厂家",
    models="型号",
    source="资料来源",
    first="先读这里",
    line="出厂通讯参数",
    line_unknown="未知；用 `penstock scan-bus` 查找",
    limits="请求限制",
    signal="信号",
    register="寄存器",
    wire="线上地址",
    encoding="编码",
    unit="单位",
    range="量程",
    read="读取周期",
    description="说明",
    with_values="随测量值",
    never="不读",
    rule="规则",
    codes="数值如何判定和换算",
    commands="控制命令",
    kind="方式",
    before="仅当",
    always="始终允许",
    confirmed="以何确认",
    actions="动作",
    request="请求",
    reply="应答",
    when="执行时机",
    rest="其他",
    site="在站点文件中",
    verified={Verified.MANUAL: "手册", Verified.TRANSCRIPT: "实录", Verified.UNVERIFIED: "未核实"},
)

_TAGS: Final = (
    ("FIT-101", ("flow",)),
    ("P-101", ("run_command",)),
    ("XV-101", ("open_command",)),
    ("FCV-101", ("position_command",)),
    ("RIO-101", ("di_0", "di_1", "do_0", "do_1", "ai_0")),
    ("LT-101", ("level", "low_span", "distance_0c", "reading")),
)
"""What a device with such signals is commonly called; anything else is an analyzer."""


def pages(profiles: Mapping[str, ModbusProfile | OpcUaProfile]) -> dict[str, str]:
    """Every page by its path below ``docs/devices``: the profiles and the index, in English and Chinese."""
    made: dict[str, str] = {INDEX: _index(profiles, ENGLISH), f"{CHINESE}/{INDEX}": _index(profiles, CHINESE_WORDS)}
    for name, profile in profiles.items():
        if isinstance(profile, ModbusProfile):
            made[f"{name}.md"] = _page(name, profile, ENGLISH)
            made[f"{CHINESE}/{name}.md"] = _page(name, profile, CHINESE_WORDS)
    return made


def write_pages(directory: Path, made: Mapping[str, str]) -> list[Path]:
    """Writes the pages and removes those it once made of profiles that are gone. Returns what has changed."""
    changed: list[Path] = []
    (directory / CHINESE).mkdir(parents=True, exist_ok=True)
    for stale in [*directory.glob("*.md"), *(directory / CHINESE).glob("*.md")]:
        head = stale.read_text("utf-8").partition("\n")[0]
        if head.startswith("<!--") and "'make docs'" in head and stale.relative_to(directory).as_posix() not in made:
            stale.unlink()
            changed.append(stale)
    for name, text in made.items():
        path = directory / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            changed.append(path)
    return changed


def _index(profiles: Mapping[str, ModbusProfile | OpcUaProfile], words: Words) -> str:
    rows = [
        (f"[`{name}`]({name}.md)", profile.title, profile.vendor, str(len(profile.signals)), _checked(profile, words))
        for name, profile in sorted(profiles.items())
    ]
    heads = (words.profile, words.instrument, words.vendor, words.signals, words.checked)
    parts = [
        f"<!-- {words.made.format(name='*')} -->",
        f"# {words.index_title}",
        words.other.format(file=INDEX),
        words.index_text,
        _table(heads, rows),
    ]
    return "\n\n".join(parts) + "\n"


def _checked(profile: ModbusProfile | OpcUaProfile, words: Words) -> str:
    """How far the entries were checked: ``manual; 3 of 12 unverified``."""
    counts = dict.fromkeys(Verified, 0)
    for signal in profile.signals.values():
        counts[verified_of(profile, signal)] += 1
    present = [word for word in Verified if counts[word]]
    if len(present) == 1:
        return words.verified[present[0]]
    return ", ".join(f"{words.verified[word]} {counts[word]}" for word in present)


def _page(name: str, profile: ModbusProfile, words: Words) -> str:
    parts = [
        f"<!-- {words.made.format(name=name)} -->",
        f"# {profile.title}",
        words.other.format(file=f"{name}.md"),
        _facts(name, profile, words),
    ]
    if profile.notes:
        parts += [f"## {words.first}", "\n".join(f"- {_escaped(note)}" for note in profile.notes)]
    parts += [f"## {words.line}", _line(profile, words)]
    parts += [f"## {words.signals}", _signals(profile, words)]
    for title, body in (
        (words.codes, _rules(profile, words)),
        (words.commands, _commands(profile, words)),
        (words.actions, _actions(profile, words)),
        (words.rest, _rest(profile)),
    ):
        if body:
            parts += [f"## {title}", body]
    parts += [f"## {words.site}", _site(name, profile)]
    return "\n\n".join(parts) + "\n"


def _facts(name: str, profile: ModbusProfile, words: Words) -> str:
    facts = [
        (words.profile, f"`{name}`"),
        (words.vendor, _escaped(profile.vendor)),
        (words.models, _escaped(profile.models)),
        (words.source, _escaped(profile.source)),
        (words.checked, _checked(profile, words)),
    ]
    return "\n".join(f"- **{what}**: {value}" for what, value in facts if value)


def _line(profile: ModbusProfile, words: Words) -> str:
    serial, limits = profile.serial, profile.limits
    known = []
    if serial.baudrate is not None:
        known.append(f"{serial.baudrate} baud")
    if serial.parity is not None or serial.stopbits is not None:
        known.append(f"8{serial.parity or '?'}{serial.stopbits or '?'}")
    if serial.unit is not None:
        known.append(f"unit {serial.unit}")
    asked = f"{limits.registers} registers, {limits.bits} bits, gap {limits.gap}, delay {limits.response_delay:g} s"
    if limits.areas:
        asked += ", areas " + ", ".join(f"{first:#x}-{last:#x}" for first, last in limits.areas)
    return f"- {', '.join(known) or words.line_unknown}\n- {words.limits}: {asked}"


def _signals(profile: ModbusProfile, words: Words) -> str:
    heads = (
        words.signal,
        words.register,
        words.wire,
        words.encoding,
        words.unit,
        words.range,
        words.read,
        words.checked,
        words.description,
    )
    rows = [
        (
            f"`{name}`",
            f"{signal.table} {signal.address}",
            _wire(signal.address - profile.base),
            encoding(signal),
            signal.unit if signal.kind == "number" and signal.unit != "1" else "",
            f"{signal.range[0]:g} .. {signal.range[1]:g}" if signal.range is not None else "",
            _read(signal, words),
            words.verified[verified_of(profile, signal)],
            signal.description,
        )
        for name, signal in profile.signals.items()
    ]
    return _table(heads, rows)


def _read(signal: ModbusSignal, words: Words) -> str:
    if not signal.readable:
        return words.never
    return duration(signal.poll) if signal.poll is not None else words.with_values


def _wire(address: int) -> str:
    return f"{address} ({address:#06x})" if address > 9 else str(address)


def encoding(signal: ModbusSignal) -> str:
    """How a signal stands in its registers, in few words: ``int32 ABCD + float32 at 5``."""
    if signal.table in BIT_TABLES:
        return "bit"
    if signal.bit is not None:
        return f"bit {signal.bit}"
    text = str(signal.type)
    if signal.type is Encoding.STRING:
        text += f" {signal.length}"
    if REGISTERS[signal.type] > 1 or signal.order not in (Order.ABCD, Order.CDAB):
        text += f" {signal.order}"
    if signal.bits is not None:
        text += f" bits {signal.bits[0]}..{signal.bits[1]}"
    text += "".join(f" + {_part(part)}" for part in signal.parts)
    if signal.scale != 1:
        text += f" × {signal.scale:g}"
    if signal.offset:
        text += f" {'+' if signal.offset > 0 else '-'} {abs(signal.offset):g}"
    return text


def _part(part: Part) -> str:
    scale = f" × {part.scale:g}" if part.scale != 1 else ""
    return f"{part.type} at {part.address}{scale}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``1 h``, ``10 min``, ``0.5 s``."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _rules(profile: ModbusProfile, words: Words) -> str:
    rows = [(f"`{name}`", rule) for name, signal in profile.signals.items() for rule in rules(signal)]
    return _table((words.signal, words.rule), rows) if rows else ""


def rules(signal: ModbusSignal) -> Iterable[str]:
    """What is made of a signal's raw value, a line each: quality, unit, exponent, words, sentinels, roll-over."""
    for binding in signal.quality_from:
        if binding.codes:
            yield f"quality from `{binding.signal}`: {_pairs(binding.codes, str)}; any other code is bad"
        else:
            yield f"quality from the bits of `{binding.signal}`: {_pairs(binding.bits, str)}"
    if signal.unit_from is not None:
        yield f"unit from `{signal.unit_from.signal}`: {_pairs(signal.unit_from.codes, str)}; any other code is bad"
    if signal.exponent_from is not None:
        offset = f" {signal.exponent_from.offset:+d}" if signal.exponent_from.offset else ""
        yield f"times 10 to the power of `{signal.exponent_from.signal}`{offset}"
    if signal.time_from is not None:
        yield f"has the time of `{signal.time_from}`"
    if signal.enum:
        yield _pairs(signal.enum, str)
    if signal.switch is not None:
        yield f"on {_codes(signal.switch.on)}; off {_codes(signal.switch.off)}"
    if signal.invalid:
        yield f"no value: {', '.join(f'{value:.10g}' for value in signal.invalid)}"
    if signal.rollover is not None:
        yield f"begins anew at {signal.rollover:,.0f} {signal.unit}"


def _codes(codes: Iterable[int]) -> str:
    return " or ".join(f"{code} ({code:#06x})" if code > 9 else str(code) for code in codes)


def _pairs(codes: Mapping[int, object], shown: Callable[[object], str]) -> str:
    return ", ".join(f"{code} = {shown(meaning)}" for code, meaning in codes.items())


def _commands(profile: ModbusProfile, words: Words) -> str:
    rows = [
        (
            f"`{name}`",
            str(signal.command.kind if signal.command is not None else "level"),
            _conditions(signal.command),
            _always(signal.command),
            _confirmation(signal.command),
        )
        for name, signal in profile.signals.items()
        if signal.writable
    ]
    heads = (words.signal, words.kind, words.before, words.always, words.confirmed)
    return _table(heads, rows) if rows else ""


def _conditions(command: Command | None) -> str:
    if command is None:
        return ""
    return ", ".join(f"`{name}` {_said(value)}" for name, value in command.require.items())


def _always(command: Command | None) -> str:
    return _said(command.safe) if command is not None and command.safe is not None else ""


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _confirmation(command: Command | None) -> str:
    if command is None:
        return "read back"
    said = ["read back"] if command.kind == "level" else []
    if command.prepare is not None:
        said.append(f"{command.prepare:#06x} is written before on")
    if command.kind == "edge":
        said.append(f"a pulse of {duration(command.width)}")
    if command.ack is not None:
        said.append(f"`{command.ack}` within {duration(command.within)}, then taken back")
    if command.confirm is not None:
        confirm = command.confirm
        sense = "the opposite of " if confirm.inverted else ""
        near = f" ± {confirm.tolerance:g}" if confirm.tolerance else ""
        said.append(f"{sense}`{confirm.signal}`{near} within {duration(confirm.within)}")
    return ", ".join(said)


def _actions(profile: ModbusProfile, words: Words) -> str:
    rows = [
        (f"`{name}`", f"`{action.request}`", f"`{action.reply}`", action.run, action.description)
        for name, action in profile.actions.items()
    ]
    heads = (words.signal, words.request, words.reply, words.when, words.description)
    return _table((words.actions, *heads[1:]), rows) if rows else ""


def _rest(profile: ModbusProfile) -> str:
    lines = []
    writing = profile.writing
    if writing.registers != "auto":
        lines.append(f"writes registers by function {'06' if writing.registers == 'single' else '16'} only")
    if writing.unlock is not None:
        key = writing.unlock
        lines.append(f"before each write {key.value} is written to {key.address}")
    for allowed in writing.allow:
        lines.append(f"may write {allowed.table} {allowed.first} to {allowed.last}: {allowed.description}")
    if profile.watchdog is not None:
        lines.append(f"drives its outputs off when nobody has spoken to it for {duration(profile.watchdog.timeout)}")
    if profile.identify:
        told = ", ".join(f"`{name}` reads {_said(value)}" for name, value in profile.identify.items())
        lines.append(f"is known by: {told}")
    if profile.on_connect:
        told = ", ".join(f"`{name}` to {_said(value)}" for name, value in profile.on_connect.items())
        lines.append(f"each time it begins to answer, sets {told}")
    return "\n".join(f"- {line}" for line in lines)


def _site(name: str, profile: ModbusProfile) -> str:
    tag = next((tag for tag, names in _TAGS if any(one in profile.signals for one in names)), "AIT-101")
    serial = profile.serial
    lines = []
    if serial.baudrate is not None:
        line = f"baudrate: {serial.baudrate}, parity: {serial.parity or 'N'}, stopbits: {serial.stopbits or 1}"
        lines += ["links:", f"  field: {{type: modbus-rtu, port: /dev/ttyS1, {line}}}"]
    poll = "100 ms" if tag == "RIO-101" else "1 s"
    unit = serial.unit if serial.unit is not None else 1
    lines += ["devices:", f"  {tag}: {{link: field, unit: {unit}, profile: {name}, poll: {poll}}}"]
    return "```yaml\n" + "\n".join(lines) + "\n```"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = tuple(heads)
    lines = [heads, ("---",) * len(heads), *(tuple(_escaped(cell) for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace("*", "\\*")
