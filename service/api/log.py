"""Structured logging: one JSON object a line, logger ``breast_cascade``; never a file name, a query or content."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

LOGGER = logging.getLogger("breast_cascade")
_LEVELS = logging.getLevelNamesMapping()


def event(level: str, name: str, **fields: object) -> None:
    """Log that ``name`` happened, at ``level`` (debug, info, warning, error), with JSON-ready fields."""
    LOGGER.log(_LEVELS[level.upper()], name, extra={"fields": fields})


class JsonLines(logging.Formatter):
    """One record to one line of JSON. Tracebacks are left out: they carry paths."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line, default=str)


def to_stderr() -> None:
    """Send our own and uvicorn's warnings to stderr as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for logger, level in ((LOGGER, logging.INFO), (logging.getLogger("uvicorn"), logging.WARNING)):
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
