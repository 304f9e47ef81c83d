"""What to do, as pure functions: no I/O, no clock, no asyncio, no logging. Start reading at ``scan.py``."""
