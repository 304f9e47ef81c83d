"""The plant and its instruments, as real servers on real sockets and pseudo-terminals.

Shares no code with the drivers it is used to test: of ours only ``config`` is imported.
"""
