"""Links: one per bus or server, each with a name of its own."""

from collections.abc import Iterator
from ipaddress import ip_address

from config.check.references import Finding, References
from config.link import ModbusRtuLink, ModbusTcpLink, OpcUaLink


def check_links(known: References) -> Iterator[Finding]:
    seen: dict[object, str] = {}
    for tag, link in known.site.links.items():
        match link:
            case ModbusTcpLink():
                key: object = (_numeric(link.host), link.port)
            case ModbusRtuLink():
                key = link.port
            case OpcUaLink():
                key = link.url
        if key in seen:
            yield Finding(("links", tag), f"the same address as link '{seen[key]}'", "one link per bus or server")
        seen.setdefault(key, tag)
        if tag in known.site.devices:
            yield Finding(("links", tag), f"'{tag}', which is also a device", "a name of its own")


def _numeric(host: str) -> str:
    """One spelling of a host that is given by number; 'localhost' is 127.0.0.1."""
    try:
        return str(ip_address("127.0.0.1" if host.lower() == "localhost" else host))
    except ValueError:
        return host.lower()
