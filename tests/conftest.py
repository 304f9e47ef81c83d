"""What holds for every test."""

from hypothesis import settings

# The machines are noisy: an example that was slow once says nothing.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
