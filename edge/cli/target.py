"""Where a tool is pointed, as options: a device or link of a site, or a port or host."""

import copy
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast, get_args, get_type_hints

import typer

from edge.cli.options import DEFAULT_STATE, State

if TYPE_CHECKING:
    from config.link import Baudrate


MODBUS_PORT: Final = 502
"""Where Modbus TCP servers listen (MODBUS Messaging on TCP/IP V1.0b)."""
_BARE: Final = re.compile(r"[0-9]{1,5}(?:\.[0-9]{0,6})?")
"""A time-out without its unit: seconds."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the options say. A site's device or link is named by an argument; ``host`` or ``port`` need no site."""

    site: Annotated[
        Path | None,
        typer.Option("--site", help="the site file; without it the controller that runs in --state is asked"),
    ] = None
    state: State = DEFAULT_STATE
    port: Annotated[str | None, typer.Option("--port", help="a serial port, such as /dev/ttyUSB0")] = None
    baud: Annotated[str, typer.Option("--baud", help="its speed [default: 9600]", show_default=False)] = ""
    parity: Annotated[str, typer.Option("--parity", help="N, E or O [default: N]", show_default=False)] = ""
    stopbits: Annotated[int, typer.Option("--stopbits", help="1 or 2")] = 1
    echo: Annotated[bool, typer.Option("--echo", help="the adapter hears what it sends")] = False
    host: Annotated[str | None, typer.Option("--host", help="a Modbus TCP server, gateway or converter")] = None
    tcp_port: Annotated[int, typer.Option("--tcp-port", help="its port")] = MODBUS_PORT
    rtu: Annotated[bool, typer.Option("--rtu", help="serial frames over TCP: a converter that only passes them on")] = (
        False
    )
    timeout: Annotated[
        str, typer.Option("--timeout", help="wait so long for a reply: 0.5 s, 300 ms", show_default=False)
    ] = ""

    @property
    def by_hand(self) -> bool:
        """True for a port or host that stands on the command line."""
        return self.port is not None or self.host is not None

    def check(self) -> None:
        """Refuses options that contradict each other."""
        if self.port is not None and self.host is not None:
            raise typer.BadParameter("--port is a serial port and --host a network address: one of them")
        if self.site is not None and self.by_hand:
            raise typer.BadParameter("--site, or --port or --host: one of them")
        serial = self.baud or self.parity or self.stopbits != 1 or self.echo
        if self.host is not None and serial:
            raise typer.BadParameter("--baud, --parity, --stopbits and --echo go with --port")
        if self.port is not None and (self.rtu or self.tcp_port != MODBUS_PORT):
            raise typer.BadParameter("--rtu and --tcp-port go with --host")

    def settings_said(self) -> str:
        """The options given that set a serial port; "" for none."""
        given = {"--baud": self.baud, "--parity": self.parity, "--stopbits": self.stopbits != 1, "--echo": self.echo}
        return ", ".join(option for option, value in given.items() if value)

    def spelt(self, name: str | None, unit: int | None, baud: str = "", parity: str = "") -> str:
        """The words that lead here again, for a line to type next; ``baud`` and ``parity`` where they were found."""
        baud, parity = baud or self.baud, parity or self.parity
        words = [
            *([name] if name is not None else []),
            *([f"--site {self.site}"] if self.site is not None else []),
            *([f"--state {self.state}"] if self.state != DEFAULT_STATE and not self.by_hand else []),
            *([f"--port {self.port}"] if self.port is not None else []),
            *([f"--baud {baud}"] if baud and self.port is not None else []),
            *([f"--parity {parity}"] if parity and self.port is not None else []),
            *([f"--stopbits {self.stopbits}"] if self.stopbits != 1 else []),
            *(["--echo"] if self.echo else []),
            *([f"--host {self.host}"] if self.host is not None else []),
            *([f"--tcp-port {self.tcp_port}"] if self.tcp_port != MODBUS_PORT else []),
            *(["--rtu"] if self.rtu else []),
            *([f"--unit {unit}"] if unit is not None else []),
        ]
        return " ".join(words)

    def seconds(self) -> float | None:
        """The time-out asked for, in seconds."""
        from config.units import quantity

        if not self.timeout:
            return None
        try:
            value = float(self.timeout) if _BARE.fullmatch(self.timeout) else quantity(self.timeout, "time")
        except ValueError as error:
            raise typer.BadParameter(f"--timeout '{self.timeout}' is not {error}") from error
        if not 0.005 <= value <= 60:
            raise typer.BadParameter("--timeout: 5 ms to 60 s")
        return value

    def bauds(self, *, one: bool = False) -> "list[Baudrate]":
        """The speeds asked for."""
        known = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
        asked = [word.strip() for word in self.baud.split(",") if word.strip()]
        wrong = [word for word in asked if word not in map(str, known)]
        if wrong or (self.baud and not asked) or (one and len(asked) > 1):
            raise typer.BadParameter(f"--baud: {'one' if one else 'some'} of {', '.join(map(str, known))}")
        return [cast("Baudrate", int(word)) for word in asked]

    def parities(self, *, one: bool = False) -> list[Literal["N", "E", "O"]]:
        """The parities asked for."""
        asked = [word.strip().upper() for word in self.parity.split(",") if word.strip()]
        wrong = any(word not in ("N", "E", "O") for word in asked) or (self.parity and not asked)
        if wrong or (one and len(asked) > 1):
            raise typer.BadParameter(f"--parity: {'one' if one else 'some'} of N, E, O")
        return [cast('Literal["N", "E", "O"]', word) for word in asked]


Command = Callable[..., None]


def _saying(option: Any, text: str) -> Any:
    other = copy.copy(option)
    other.help = text
    return other


def takes_target(command: Command, helps: Mapping[str, str] = {}) -> Command:
    """Gives a command the options of a target, as its parameter ``target``.

    ``helps``: what some of them mean to this command, where that is something else.
    """

    @functools.wraps(command)
    def with_target(**arguments: Any) -> None:
        target = Target(**{field.name: arguments.pop(field.name) for field in fields(Target)})
        target.check()
        command(target=target, **arguments)

    hints = get_type_hints(Target, include_extras=True)
    for name, text in helps.items():
        kind, option = get_args(hints[name])
        hints[name] = Annotated[kind, _saying(option, text)]
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "target"]
    options = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(Target)
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + options
    with_target.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_target.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_target
