"""What holds for every test."""

import signal

from hypothesis import settings

# The machines are noisy: an example that was slow once says nothing.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

# Started in the background by a shell, tests and what they start would not hear a Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
