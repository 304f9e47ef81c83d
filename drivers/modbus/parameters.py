"""The codes of a device that say how its other values are to be read: units and powers of ten."""

from collections.abc import Callable, Iterable


class Parameters:
    """The codes of a device that say how its other values are to be read, as last seen.

    The first one ever seen counts as agreed: a value whose unit changes under way is read by the new unit and marked,
    because whoever set up the station did not know of it.
    """

    def __init__(self, changed: Callable[[str, int, int], None]) -> None:
        self._changed = changed
        self._present: dict[str, int] = {}
        self._agreed: dict[str, int] = {}

    def note(self, field: str, code: int | None) -> None:
        """Keeps what a parameter signal has just read; ``None`` when it could not be read."""
        before = self._present.get(field, self._agreed.get(field))
        if code is None:
            self._present.pop(field, None)
            return
        self._present[field] = code
        self._agreed.setdefault(field, code)
        if before is not None and before != code:
            self._changed(field, before, code)

    def lost(self, fields: Iterable[str]) -> None:
        """What could not be read for too long counts no more."""
        for field in fields:
            self._present.pop(field, None)

    def get(self, field: str) -> int | None:
        """The code, ``None`` before it was read."""
        return self._present.get(field)

    def strayed(self, field: str) -> bool:
        """True when the code is another than the first one seen."""
        return self._present.get(field) != self._agreed.get(field)

    def forget(self) -> None:
        """The device was gone and may come back set up otherwise. What was agreed stands."""
        self._present.clear()
