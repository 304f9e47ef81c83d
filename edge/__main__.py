"""``python -m edge`` is ``penstock``."""

from edge.cli.main import main

main()
