"""How to speak with field devices: Modbus and OPC UA, behind one port (``port.py``)."""
