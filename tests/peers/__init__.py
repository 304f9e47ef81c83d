"""Peers that are not ours; each test is skipped where its peer is not installed.

None shares code with what it tests, but for pymodbus: our driver takes its CRC and its serial port from it.
"""
