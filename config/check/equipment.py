"""Valves, analog outputs: commanded by signals that can be written, told by signals of their kind, with one owner."""

from collections.abc import Iterator

from config.check.references import Finding, References, Where
from config.equipment import MotorValve


def check_valves(known: References) -> Iterator[Finding]:
    for tag, valve in known.site.valves.items():
        here: Where = ("valves", tag)
        if isinstance(valve, MotorValve):
            yield from known.signal((*here, "open_command"), valve.open_command, "bool", writable=True)
            if valve.close_command is not None:
                yield from known.signal((*here, "close_command"), valve.close_command, "bool", writable=True)
        else:
            yield from known.signal((*here, "position_command"), valve.position_command, "ratio", writable=True)
            yield from known.signal((*here, "position"), valve.position, "ratio")
        for field in ("opened", "closed", "remote", "fault"):
            signal = getattr(valve, field)
            if signal is not None:
                yield from known.signal((*here, field), signal, "bool")


def check_analog_outputs(known: References) -> Iterator[Finding]:
    for tag, output in known.site.analog_outputs.items():
        yield from known.signal(("analog_outputs", tag, "command"), output.command, "ratio", writable=True)
        if output.feedback is not None:
            yield from known.signal(("analog_outputs", tag, "feedback"), output.feedback, "ratio")


def check_shared_outputs(known: References) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    outputs = [
        (("valves", tag, field), getattr(valve, field))
        for tag, valve in known.site.valves.items()
        for field in ("open_command", "close_command", "position_command")
        if getattr(valve, field, None) is not None
    ]
    outputs += [(("pumps", tag, "run_command"), pump.run_command) for tag, pump in known.site.pumps.items()]
    outputs += [(("analog_outputs", tag, "command"), one.command) for tag, one in known.site.analog_outputs.items()]
    for path, signal in outputs:
        if signal in owners:
            yield Finding(path, f"'{signal}', which {owners[signal]} commands", "an output of its own")
        owners.setdefault(signal, path[1])
    for kind in ("valve", "pump"):
        users: dict[str, str] = {}
        for tag, dispenser in known.site.dispensers.items():
            for field in (kind, f"slow_{kind}"):
                equipment = getattr(dispenser, field, None)
                if equipment is None or equipment in known.site.pump_groups:
                    continue
                if equipment in users:
                    found = f"'{equipment}', which belongs to dispenser {users[equipment]}"
                    yield Finding(("dispensers", tag, field), found, f"a {kind} of its own")
                users.setdefault(equipment, tag)
