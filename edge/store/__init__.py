"""The store: spool (what waits for delivery), ledger (what must never be lost or altered), state (what the scan
remembers), each in a file of its own, so that a fault in one spares the others."""
