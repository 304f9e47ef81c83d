"""What the simulator refuses to do, in words for the person who asked."""

from config.errors import PenstockError


class SimulatorError(PenstockError):
    """A site that cannot be simulated, or a control request that makes no sense."""

    code = "simulator"
