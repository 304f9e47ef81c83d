"""The one console of the commands. What it is given is shown as it stands: nothing in a text is markup or control."""

import os
from collections.abc import Iterable
from typing import Any, Final

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from edge.cli.printed import printable

ENDLESS: Final = 2000
"""Columns of what is no terminal: a pipe or file takes lines as long as they are."""


class Screen(Console):
    """Shows tables and texts on a terminal of any width, and in full elsewhere (``COLUMNS`` says otherwise)."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)
        # What COLUMNS says is looked up each time.
        self._width = settings.get("width")

    @property
    def size(self) -> ConsoleDimensions:
        """Columns and lines."""
        known, columns = super().size, os.environ.get("COLUMNS", "")
        if self._width is None and columns.isdecimal():
            return ConsoleDimensions(int(columns), known.height)
        if self.is_terminal or self._width is not None:
            return known
        return ConsoleDimensions(ENDLESS, known.height)

    @size.setter
    def size(self, new: tuple[int, int]) -> None:
        self._width, self._height = new

    def render_str(self, text: str, **how: Any) -> Text:
        """A text without what a terminal would obey, before its width is measured."""
        return super().render_str(printable(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is written, without what a terminal would obey."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


console: Final = Screen()
