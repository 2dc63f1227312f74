"""Structured logging: one JSON object a line, logger ``breast_cascade``; never a file name, a query or content."""

from __future__ import annotations

import json
import logging
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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


def _warned(*told: Any, **_: Any) -> None:
    """Called as `warnings.showwarning` is: message, class, file, line, and what is not told."""
    _message, category, filename, line = told[:4]
    event("warning", "python_warning", kind=category.__name__, place=f"{Path(filename).stem}:{line}")


def to_stderr() -> None:
    """Send our own and uvicorn's warnings to stderr as JSON lines.

    Of Python's warnings only class and place are told: a library may quote an attribute of a file.
    """
    warnings.showwarning = _warned
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for logger, level in ((LOGGER, logging.INFO), (logging.getLogger("uvicorn"), logging.WARNING)):
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
