"""Devices: the signals by which each is known to answer."""

from collections.abc import Sequence
from typing import Final

from config.signals import Signal, SignalTable
from control.device import Device

SLOW_POLLS: Final = 10.0
"""A signal read this many times more seldom than the fastest of its device does not tell whether the device answers."""


def compile_devices(table: SignalTable) -> tuple[Device, ...]:
    """The devices, in the order of the site file."""
    return tuple(
        Device(tag, tuple(signal.index for signal in signals if signal.poll <= SLOW_POLLS * _fastest(signals)))
        for tag, signals in table.by_device.items()
    )


def _fastest(signals: Sequence[Signal]) -> float:
    """The shortest poll period of a device, in seconds."""
    return min(signal.poll for signal in signals)
