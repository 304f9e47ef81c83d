"""The sample: its quality, and the words of OPC UA and HJ 212 for it."""

import pytest

from config.sample import NOT_YET_READ, Quality, Reason, Sample, bad, hj212_flag, opcua_status, quality_of


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_quality_a_status_and_a_flag(reason: Reason) -> None:
    assert quality_of(reason) in Quality
    assert 0 <= opcua_status(reason) <= 0xFFFF_FFFF
    assert hj212_flag(reason) in set("NFMCDTBS")


@pytest.mark.parametrize("reason", Reason)
def test_the_severity_of_the_status_is_the_quality(reason: Reason) -> None:
    assert opcua_status(reason) >> 30 == quality_of(reason)


def test_only_ok_is_good() -> None:
    assert [reason for reason in Reason if quality_of(reason) is Quality.GOOD] == [Reason.OK]
    assert [reason for reason in Reason if hj212_flag(reason) == "N"] == [Reason.OK]


@pytest.mark.parametrize(
    ("reason", "flag"),
    [
        (Reason.MAINTENANCE, "M"),
        (Reason.CALIBRATION, "C"),
        (Reason.OUT_OF_SERVICE, "F"),
        (Reason.OVER_RANGE, "T"),
        (Reason.NO_COMMUNICATION, "B"),
        (Reason.DEVICE_FAULT, "D"),
        (Reason.MANUAL, "S"),
    ],
)
def test_flags_are_those_of_hj_212(reason: Reason, flag: str) -> None:
    assert hj212_flag(reason) == flag


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.OK])
def test_a_degraded_reading_keeps_its_time_and_bytes_and_is_no_longer_good(reason: Reason) -> None:
    sample = Sample(7.4, Quality.GOOD, Reason.OK, 12.5, 1.79e9, b"\x40\xec")
    worse = sample.degraded(reason)
    assert not worse.good
    assert (worse.received, worse.source_time, worse.raw) == (12.5, 1.79e9, b"\x40\xec")
    assert worse.value == (None if worse.quality is Quality.BAD else 7.4)


def test_a_reading_that_gave_no_value_has_none() -> None:
    assert bad(Reason.NO_COMMUNICATION, 3.0) == Sample(None, Quality.BAD, Reason.NO_COMMUNICATION, 3.0)
    assert NOT_YET_READ.value is None
    assert not NOT_YET_READ.good
