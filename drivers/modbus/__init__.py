"""Modbus TCP and RTU: decoding (``codec``), reads (``plan``), exchanges (``transaction``), the bus (``bus``)."""
