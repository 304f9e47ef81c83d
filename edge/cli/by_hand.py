"""What options describe, as the models that a site file would have given: a link, a profile, a site of one device."""

from pathlib import Path
from typing import Any, Final

import typer
from pydantic import ValidationError

from config.errors import DeviceError
from config.link import Baudrate, ModbusLink, ModbusRtuLink, ModbusTcpLink
from config.load import DEVICES, LoadedSite, load_profile, profile_names
from config.profile import ModbusProfile, OpcUaProfile
from config.signals import signal_table
from config.site import Site
from edge.cli.target import Target

HERE: Final = "here"
"""The link of a target that no site file lists."""


def link_of(target: Target, baudrate: Baudrate = 9600, parity: str = "N", timeout: float | None = None) -> ModbusLink:
    """The link that options describe. ``timeout`` in seconds where they give none."""
    waited = target.seconds() or timeout
    within = {"timeout": f"{waited} s"} if waited is not None else {}
    described: dict[str, Any]
    if target.host is not None:
        framing = "rtu" if target.rtu else "tcp"
        described = {"type": "modbus-tcp", "host": target.host, "port": target.tcp_port, "framing": framing, **within}
    else:
        described = {
            "type": "modbus-rtu",
            "port": target.port,
            "baudrate": target.bauds(one=True)[0] if target.baud else baudrate,
            "parity": target.parities(one=True)[0] if target.parity else parity,
            "stopbits": target.stopbits,
            "local_echo": target.echo,
            **within,
        }
    model: type[ModbusTcpLink | ModbusRtuLink] = ModbusTcpLink if target.host is not None else ModbusRtuLink
    try:
        return model.model_validate(described)
    except ValidationError as error:
        [first, *_] = error.errors()
        where = ".".join(map(str, first["loc"]))
        raise typer.BadParameter(f"{where}: {first['msg']}") from error


def modbus_profile(which: str) -> ModbusProfile:
    """A Modbus profile by the name it ships under, or a file. Raises ``ConfigError`` or ``DeviceError``."""
    path = Path(which)
    if which in profile_names():
        path = DEVICES / f"{which}.yaml"
    elif path.suffix not in (".yaml", ".yml") and not path.exists():
        raise DeviceError(
            f"no profile '{which}' ships with Penstock ('penstock profile list'), and there is no such file"
        )
    profile: ModbusProfile | OpcUaProfile = load_profile(path)
    if not isinstance(profile, ModbusProfile):
        raise DeviceError(f"{which} is a profile for {profile.protocol}, not for Modbus")
    return profile


def shipped_profiles() -> dict[str, ModbusProfile]:
    """Every Modbus profile that ships, by name."""
    loaded = {name: load_profile(DEVICES / f"{name}.yaml") for name in profile_names()}
    return {name: profile for name, profile in loaded.items() if isinstance(profile, ModbusProfile)}


_ANY_PROFILE: Final = {"protocol": "modbus", "signals": {"register": {"table": "holding", "address": 0}}}


def site_of_one(link: ModbusLink, unit: int, profile: ModbusProfile | None) -> LoadedSite:
    """A site of one device, ``unit-7``, on a link that stands on the command line."""
    tag = f"unit-{unit}"
    known = profile or ModbusProfile.model_validate(_ANY_PROFILE)
    site = Site.model_validate(
        {
            "site": {"id": "by-hand"},
            "links": {HERE: link},
            "devices": {tag: {"link": HERE, "unit": unit, "profile": known}},
        }
    )
    return LoadedSite(Path(), site, {tag: known}, signal_table(site, {tag: known}))
