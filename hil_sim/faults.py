"""What can be wrong with a device or a link, by name: a table, and which of it is switched on.

A fault lasts until it is switched off or, with ``count``, for so many requests; with ``functions`` it concerns only
requests of these function codes. docs/simulators.md lists every name. What a fault does to a reply stands in ``bus``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hil_sim.errors import SimulatorError

COUNT: Final = "count"
MAX_COUNT: Final = 1_000_000


class Setting(NamedTuple):
    """A number that a fault takes: its default (``None``: the fault has a way of its own) and its bounds."""

    default: float | None
    low: float
    high: float


_SECONDS: Final = 3600.0
_BYTE: Final = (0, 0xFF)


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault that there is. ``where``: the places that can have it, ``settings``: the numbers that it takes.

    ``lasting``: it is a state and not something that happens to requests, so that it takes no count or functions.
    """

    where: frozenset[str]
    settings: Mapping[str, Setting] = field(default_factory=dict)
    lasting: bool = False


_DEVICE: Final = frozenset({"device"})
_BOTH: Final = frozenset({"device", "link"})
_LINK: Final = frozenset({"link"})

FAULTS: Final[dict[str, Kind]] = {
    # whether a request is heard and how it is answered
    "no-reply": Kind(_BOTH),
    "lost-reply": Kind(_BOTH),
    "exception": Kind(_BOTH, {"code": Setting(4, 1, 0xFF)}),
    "busy": Kind(_BOTH),
    "acknowledge": Kind(_BOTH, {"after_s": Setting(0.5, 0, _SECONDS)}),
    "gateway-path": Kind(_BOTH),
    "gateway-target": Kind(_BOTH),
    "silent-refusals": Kind(_BOTH),
    "frozen": Kind(_DEVICE, lasting=True),
    "swapped": Kind(_DEVICE, lasting=True),
    "torn": Kind(_DEVICE, lasting=True),
    # what the reply says
    "short": Kind(_BOTH, {"registers": Setting(1, 0, 125)}),
    "wrong-function": Kind(_BOTH, {"function": Setting(None, *_BYTE)}),
    "wrong-unit": Kind(_BOTH, {"unit": Setting(None, *_BYTE)}),
    "wrong-id": Kind(frozenset({"device of Modbus TCP", "link of Modbus TCP"}), {"id": Setting(None, 0, 0xFFFF)}),
    "garbled": Kind(_BOTH),
    "cut": Kind(_BOTH, {"bytes": Setting(2, 1, 250)}),
    # how and when it comes
    "late": Kind(_BOTH, {"delay_s": Setting(1.0, 0, _SECONDS)}),
    "slow": Kind(_BOTH, {"delay_s": Setting(0.1, 0, _SECONDS)}),
    "split": Kind(_BOTH, {"pause_s": Setting(0.05, 0, _SECONDS)}),
    "merged": Kind(_BOTH),
    "doubled": Kind(_BOTH),
    "echo": Kind(_BOTH),
    "noise": Kind(_BOTH, {"bytes": Setting(3, 1, 250)}),
    "unsolicited": Kind(_BOTH, {"every_s": Setting(0.2, 0, _SECONDS)}),
    # the link itself
    "collision": Kind(frozenset({"link with local_echo"})),
    "wrong-speed": Kind(frozenset({"link on a terminal"}), {"baudrate": Setting(4800, 50, 4_000_000)}, lasting=True),
    "half-open": Kind(frozenset({"link on TCP"}), lasting=True),
    "connections": Kind(frozenset({"link on TCP"}), {"most": Setting(1, 1, 32)}, lasting=True),
    "idle-drop": Kind(frozenset({"link on TCP"}), {"after_s": Setting(60, 0, _SECONDS)}, lasting=True),
}


@dataclass(slots=True)
class Fault:
    """A fault that is on. ``left``: requests that it still concerns, ``None`` for all."""

    settings: dict[str, float]
    functions: frozenset[int]
    left: int | None


class Faults:
    """The faults of one device or link; ``places`` says what it is, in the words of ``Kind.where``."""

    def __init__(self, *places: str) -> None:
        self.places = frozenset(places)
        self.active: dict[str, Fault] = {}

    def switch(self, name: str, on: bool, settings: Mapping[str, float], functions: Collection[int] = ()) -> None:
        """Switches a fault on, anew where it is on already, or off.

        Raises ``SimulatorError`` for a fault that there is not here, or a setting that it does not take.
        """
        kind = FAULTS.get(name)
        if kind is None:
            raise SimulatorError(f"no fault '{name}'; there is: {', '.join(FAULTS)}")
        if not kind.where & self.places:
            possible = ", ".join(other for other, known in FAULTS.items() if known.where & self.places)
            wanted = " or ".join(sorted(kind.where))
            raise SimulatorError(f"'{name}' is for a {wanted}, which this is not; here can be: {possible or 'none'}")
        if not on:
            self.active.pop(name, None)
            return
        bounds = dict(kind.settings) if kind.lasting else {**kind.settings, COUNT: Setting(None, 1, MAX_COUNT)}
        unknown = [*(settings.keys() - bounds.keys()), *(["functions"] if kind.lasting and functions else [])]
        if unknown:
            takes = ", ".join(bounds) or "no settings"
            raise SimulatorError(f"'{name}' takes {takes}, not {', '.join(sorted(unknown))}")
        for key, value in settings.items():
            if not bounds[key].low <= value <= bounds[key].high:
                raise SimulatorError(f"\"{key}\" of '{name}' from {bounds[key].low:g} to {bounds[key].high:g}")
        given = {key: setting.default for key, setting in kind.settings.items() if setting.default is not None}
        given |= {key: value for key, value in settings.items() if key != COUNT}
        count = settings.get(COUNT)
        self.active[name] = Fault(given, frozenset(functions), int(count) if count is not None else None)

    def take(self, name: str, function: int) -> Fault | None:
        """The fault if it is on and concerns a request of ``function``; one with a count has one less left."""
        fault = self.active.get(name)
        if fault is None or (fault.functions and function not in fault.functions):
            return None
        if fault.left is not None:
            fault.left -= 1
            if fault.left <= 0:
                del self.active[name]
        return fault

    def plain(self) -> dict[str, dict[str, object]]:
        """What is on, as the control channel gives it."""
        shown: dict[str, dict[str, object]] = {}
        for name, fault in self.active.items():
            more: dict[str, object] = {"functions": sorted(fault.functions)} if fault.functions else {}
            left: dict[str, object] = {"count": fault.left} if fault.left is not None else {}
            shown[name] = {**fault.settings, **more, **left}
        return shown
