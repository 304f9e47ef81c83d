"""The time that frames take on a serial line (MODBUS over Serial Line V1.02, 2.5.1.1).

A pseudo-terminal and a socket are endlessly fast; what request and reply would take on the wire is waited out
before the reply is given.
"""

from typing import Final

BITS_PER_CHAR: Final = 11
FAST_SILENCE_S: Final = 0.00175
"""Above 19200 baud the 3.5 characters of silence are this fixed time."""
DEVICE_DELAY_S: Final = 0.005
"""What a typical instrument takes to think, unless its profile says less."""


class SerialLine:
    """One line at ``baudrate``, half duplex. ``turnaround_s``: silence that it needs after a reply.

    ``silence_s`` are the 3.5 characters between frames. ``hurried`` counts requests that came before the turnaround.
    """

    def __init__(self, baudrate: int, turnaround_s: float = 0.0) -> None:
        self.baudrate = baudrate
        self.turnaround_s = turnaround_s
        self.hurried = 0
        self._char_s = BITS_PER_CHAR / baudrate
        self.silence_s = 3.5 * self._char_s if baudrate <= 19200 else FAST_SILENCE_S
        self._busy_until_s = 0.0
        self._replied_s = float("-inf")

    def due_s(self, now_s: float, chars: int, thinking_s: float, rest_s: float = 0.0) -> float:
        """When a reply is complete, if ``chars`` of request and reply have to pass and nothing overtakes.

        The line is then kept free for ``rest_s``.
        """
        on_wire_s = chars * self._char_s + 2 * self.silence_s
        due_s = max(now_s, self._busy_until_s) + on_wire_s + thinking_s
        self._busy_until_s = due_s + rest_s
        return due_s

    def replied(self, now_s: float) -> None:
        """A reply has been given."""
        self._replied_s = now_s

    def hears(self, now_s: float) -> bool:
        """False for a request that comes before the line has had its silence after the last reply; it is counted."""
        if now_s - self._replied_s >= self.turnaround_s:
            return True
        self.hurried += 1
        return False
