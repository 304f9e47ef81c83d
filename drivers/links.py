"""Opens the links of a site."""

from config.load import LoadedSite
from config.site import ModbusRtuLink, ModbusTcpLink, OpcUaLink
from drivers.modbus.bus import ModbusBus
from drivers.opcua.session import OpcUaSession
from drivers.port import LinkDriver, Sink


def open_links(loaded: LoadedSite, sink: Sink) -> list[LinkDriver]:
    """One driver per link of the site, not yet running."""
    drivers: list[LinkDriver] = []
    for name, link in loaded.site.links.items():
        match link:
            case ModbusTcpLink() | ModbusRtuLink():
                drivers.append(ModbusBus(name, link, loaded, sink))
            case OpcUaLink():
                drivers.append(OpcUaSession(name, link, loaded, sink))
    return drivers
