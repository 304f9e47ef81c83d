"""Why: every answer ends in the cause of it all, with the bytes that were on the wire."""

import struct
from dataclasses import dataclass, replace

import pytest

from config.load import load_site
from config.sample import Reason, Sample
from control.bypass import BypassRule
from control.cause import Cause, Seen, chain, root, sentence
from control.code import Code
from control.command import Command, Op
from control.scan import scan
from control.why import Answer, to_json, why
from tests.control.bench import PERIOD_S, SITES, FillStation
from tests.control.test_continuous import PlantOutlet
from tests.control.test_interlock import PumpStation


@dataclass
class _Wired:
    """Gives each reading of a station the bytes that its value would have on the wire."""

    station: FillStation | PlantOutlet

    def scan(self, *commands: Command) -> tuple[Sample, ...]:
        station = self.station
        station.mono = round(station.mono + PERIOD_S, 6)
        station.plant()
        station.refresh()
        image = tuple(
            sample._replace(raw=struct.pack(">f", sample.value)) if isinstance(sample.value, float) else sample
            for sample in station.image
        )
        result = scan(station.program, station.state, image, commands, station.now)
        station.state = result.state
        return result.image

    def why(self, name: str, seconds: float = 0.1) -> Answer:
        image: tuple[Sample, ...] = ()
        for _ in range(round(seconds / PERIOD_S)):
            image = self.scan()
        answer = why(self.station.program, self.station.state, image, name, self.station.now)
        assert answer is not None
        return answer


def raw(value: float) -> str:
    return struct.pack(">f", value).hex(" ")


@pytest.mark.parametrize(
    ("signal", "value", "seconds", "code"),
    [
        ("AIT-101.turbidity", 16.0, 0.1, Code.ABOVE_INSTANT),
        ("AIT-101.turbidity", 9.0, 3.2, Code.ABOVE_LIMIT),
        ("PLC-100.outlet_ph", 5.5, 30.2, Code.BELOW_LIMIT),
        ("AIT-102.cod", 31.0, 0.1, Code.RESULT_ABOVE),
        ("AIT-103.ammonia", 1.75, 0.1, Code.RESULT_ABOVE),
    ],
)
@pytest.mark.parametrize("name", ["XV-101", "P-101", "FILL-1"])
def test_after_a_breach_why_ends_in_the_reading_with_its_bytes(
    signal: str, value: float, seconds: float, code: Code, name: str
) -> None:
    station = FillStation().ready()
    station.new_result(signal, value)
    wired = _Wired(station)
    wired.why(name, seconds)
    station.new_result(signal, 7.0 if signal == "PLC-100.outlet_ph" else 1.0)
    answer = wired.why(name, 60.0)
    assert answer.causes[0].code is Code.TRIPPED
    first_out = answer.causes[-1]
    assert (first_out.code, first_out.subject) == (code, signal)
    assert first_out.seen is not None
    assert first_out.seen.value == value
    assert first_out.seen.raw == raw(value)


def test_in_a_fill_why_tells_how_far_it_is() -> None:
    station = FillStation().ready()
    station.order(5.0)
    station.until("full-flow")
    answer = _Wired(station).why("XV-101")
    assert answer.state == "on (open), demanded by sequence"
    assert [cause.code for cause in answer.causes] == [Code.FILLING]
    assert "o-1" in sentence(answer.causes[0])


def test_without_an_order_why_says_so() -> None:
    wired = _Wired(FillStation().ready())
    assert [cause.code for cause in wired.why("XV-101").causes] == [Code.NO_ORDER]
    assert wired.why("FILL-1").words == ("idle; ready", "空闲；可以开始")
    assert wired.why("XV-101").words == ("off (closed), demanded by sequence", "关，由顺序控制要求")


def test_a_pump_that_waits_for_its_valve_says_so() -> None:
    station = FillStation().ready()
    station.valve_stuck = True
    station.order(5.0)
    answer = _Wired(station).why("P-101", 1.0)
    assert [cause.code for cause in answer.causes] == [Code.VALVE_FIRST, Code.FILLING]


def test_after_the_preset_why_leads_from_closing_to_it() -> None:
    station = FillStation().ready()
    station.order(0.3)
    station.until("closing")
    assert [cause.code for cause in _Wired(station).why("XV-101").causes] == [Code.CLOSING, Code.PRESET_REACHED]


def test_an_unknown_reading_is_named_with_its_reason_and_bytes() -> None:
    station = FillStation().ready()
    wired = _Wired(station)
    station.reasons["AIT-101.turbidity"] = Reason.SERVER_UNCERTAIN
    answer = wired.why("XV-101", 3.3)
    assert answer.causes[-1].code is Code.QUALITY_UNKNOWN
    assert answer.causes[-1].seen is not None
    assert answer.causes[-1].seen.reason == "server-uncertain"
    assert answer.causes[-1].seen.raw == raw(2.5)


def test_a_valve_fault_is_the_root_of_what_follows_from_it() -> None:
    station = FillStation().ready()
    station.valve_stuck = True
    station.order(5.0)
    station.run(8.0)
    for name in ("XV-101", "P-101", "FILL-1"):
        assert _Wired(station).why(name).causes[-1].code is Code.VALVE_NOT_OPENED


def test_a_low_level_is_named_with_its_bytes() -> None:
    station = FillStation().ready()
    station.values["PLC-100.level"] = 0.5
    answer = _Wired(station).why("FILL-1")
    assert answer.state == "idle; may not run"
    assert answer.causes[-1].seen is not None
    assert answer.causes[-1].seen.raw == raw(0.5)


def test_a_loop_names_its_setpoint_and_a_trip_its_reading() -> None:
    outlet = PlantOutlet().holding()
    wired = _Wired(outlet)
    running = wired.why("FV-201")
    assert running.state.endswith("demanded by regulate")
    assert [cause.code for cause in running.causes] == [Code.REGULATING]
    outlet.values["AIT-201.turbidity"] = 25.0
    for name in ("FV-201", "FV-202"):
        tripped = wired.why(name)
        assert tripped.state == "0.0 %, demanded by protect"
        assert tripped.causes[-1].seen is not None
        assert tripped.causes[-1].seen.raw == raw(25.0)


def test_a_signal_tells_value_quality_and_age() -> None:
    station = FillStation().ready()
    wired = _Wired(station)
    assert wired.why("AIT-101.turbidity").state == "2.5 NTU, good, received 0.0 s ago"
    station.silent.add("AIT-101")
    assert wired.why("AIT-101.turbidity", 5.0).state == "2.5 NTU, uncertain (stale), received 5.0 s ago"


def test_a_guard_tells_its_verdict_and_what_it_reads() -> None:
    station = FillStation().ready()
    wired = _Wired(station)
    fit = wired.why("FILL-1.turbidity")
    assert (fit.state, fit.causes, fit.signals) == ("fit", (), ("AIT-101.turbidity",))
    station.values["AIT-101.turbidity"] = 16.0
    breach = wired.why("FILL-1.turbidity")
    assert breach.state == "breach"
    assert [cause.code for cause in breach.causes] == [Code.ABOVE_INSTANT]


def test_a_permissive_and_an_interlock_tell_the_condition_that_decided() -> None:
    station = PumpStation(load_site(SITES.parents[1] / "docs" / "examples" / "pump-station.yaml"))
    station.values |= {"RIO-1.level": 0.8, "RIO-1.pressure": 2.0, "RIO-1.emergency_stop": False}
    station.run(1.0)

    def told(name: str) -> tuple[str, list[str]]:
        answer = why(station.program, station.state, tuple(station.image), name, station.now)
        assert answer is not None
        return answer.state, [sentence(cause) for cause in answer.causes]

    assert told("suction-low") == (
        "does not act on RIO-1.level < 0.5 m until 0.6 m for 5 s",
        ["RIO-1.level < 0.5 m until 0.6 m does not hold (RIO-1.level = 0.8 m)"],
    )
    state, causes = told("level-to-start")
    assert state == "permits no start without RIO-1.level > 1 m"
    assert causes[-1] == "RIO-1.level > 1 m does not hold (RIO-1.level = 0.8 m)"
    station.values |= {"RIO-1.emergency_stop": True, "RIO-1.level": 2.0}
    station.run(1.0)
    assert told("emergency-stop")[0] == "acts on RIO-1.emergency_stop"
    assert told("level-to-start") == (
        "permits a start on RIO-1.level > 1 m",
        ["RIO-1.level > 1 m holds (RIO-1.level = 2 m)"],
    )
    state, causes = told("emergency-stop.interlock-acts")
    assert state == "unacknowledged, priority critical"
    assert causes[-1] == "RIO-1.emergency_stop holds (RIO-1.emergency_stop = on)"
    assert told("suction-low.interlock-acts") == ("normal, priority high", [])


def test_what_is_bypassed_is_said_of_it_and_of_its_dispenser() -> None:
    station = FillStation().ready()
    station.program = replace(station.program, bypasses={"FILL-1.turbidity": BypassRule(600.0, 1)})
    station.ask(Op.BYPASS, "FILL-1.turbidity", "local:wang", duration_s=60.0, reason="lamp is being changed")
    for name in ("FILL-1.turbidity", "FILL-1"):
        [beside] = _Wired(station).why(name).beside
        assert sentence(beside) == "FILL-1.turbidity is bypassed by local:wang: lamp is being changed"


def test_there_is_no_answer_for_a_name_there_is_none_of() -> None:
    station = FillStation().ready()
    assert why(station.program, station.state, tuple(station.image), "XV-999", station.now) is None


def test_the_answer_as_json_has_each_sentence_and_the_reading() -> None:
    station = FillStation().ready()
    station.values["AIT-101.turbidity"] = 16.0
    body = to_json(_Wired(station).why("XV-101"))
    assert [cause["code"] for cause in body["causes"]] == ["tripped", "above-instant-limit"]
    assert body["causes"][-1]["text"] == "AIT-101.turbidity is above its instant limit 15 NTU"
    assert body["causes"][-1]["text_zh"] == sentence(Cause(Code.ABOVE_INSTANT, "AIT-101.turbidity", ("15 NTU",)), "zh")
    assert body["state_zh"] == "关，由保护要求"
    assert body["causes"][-1]["seen"]["raw"] == raw(16.0)


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_sentence(code: Code) -> None:
    text = sentence(Cause(code, "XV-1", ("1 s", "2 s", "3 s", "4 s", "5 s")))
    assert "{" not in text
    assert len(text.split()) >= 3


def test_a_chain_leads_from_the_outermost_to_the_root() -> None:
    seen = Seen("AIT-1.turbidity", 9.0, "NTU", "ok", 0.0, None, "")
    first = Cause(Code.ABOVE_LIMIT, "AIT-1.turbidity", ("8 NTU", "3 s"), None, seen)
    outer = Cause(Code.TRIPPED, "FILL-1", ("now",), first)
    assert chain(outer) == [outer, first]
    assert root(outer) is first
    assert chain(None) == []


def test_a_refused_command_is_recorded_with_its_reason() -> None:
    station = FillStation()
    station.ask(Op.ORDER, "FILL-9", order_id="o-1", volume_m3=1.0)
    [event] = station.events_named("order")
    assert event.body["accepted"] is False
    assert event.body["refusal"]["code"] == "no-such-dispenser"
    assert event.body["refusal"]["text"] == "there is no dispenser 'FILL-9'"
