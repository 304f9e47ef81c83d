"""Opens the links of a site."""

from pathlib import Path

from config.link import ModbusRtuLink, ModbusTcpLink, OpcUaLink
from config.load import LoadedSite
from drivers.modbus.bus import ModbusBus
from drivers.opcua.session import OpcUaSession
from drivers.port import LinkDriver, Notify, Sink


def open_links(loaded: LoadedSite, sink: Sink, notify: Notify, pki: Path) -> list[LinkDriver]:
    """One driver per link of the site, not yet running. ``pki`` is where certificates and trust lists are kept."""
    drivers: list[LinkDriver] = []
    for place, (name, link) in enumerate(loaded.site.links.items()):
        # Links of one period do not all ask at the same moment.
        phase = place / len(loaded.site.links)
        match link:
            case ModbusTcpLink() | ModbusRtuLink():
                drivers.append(ModbusBus(name, link, loaded, sink, notify, phase))
            case OpcUaLink():
                drivers.append(OpcUaSession(name, link, loaded, sink, notify, pki))
    return drivers
