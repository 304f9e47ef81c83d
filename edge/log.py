"""Structured logs on stderr: one event a line, for a terminal or as JSON for the journal."""

import logging
import os
import sys
from typing import Any

import structlog


def configure_logging(process: str) -> None:
    """Sets the logs of this process up. JSON when stderr is no terminal or ``PENSTOCK_LOG=json``."""
    as_json = os.environ.get("PENSTOCK_LOG") == "json" or not sys.stderr.isatty()
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False) if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
