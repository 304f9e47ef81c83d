"""OPC UA sessions."""
