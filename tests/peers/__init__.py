"""Peers that are not ours and share no library with us; each test is skipped where its peer is not installed."""
