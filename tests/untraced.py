"""Tests whose time coverage would double and that tell it nothing new."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Processes that find it measure themselves (coverage's patch "subprocess").
CHILDREN = "COVERAGE_PROCESS_CONFIG"


@contextmanager
def untraced() -> Iterator[None]:
    """Coverage sees nothing of what this thread and the processes it starts do in here; a debugger does.

    The marker ``no_cover`` of pytest-cov pauses but one of the two measurements of an xdist worker, and no fixture's.
    """
    tracer, children = sys.gettrace(), os.environ.pop(CHILDREN, None)
    measured = type(tracer).__module__.split(".")[0] == "coverage"
    if measured:
        sys.settrace(None)
    try:
        yield
    finally:
        if measured:
            sys.settrace(tracer)
        if children is not None:
            os.environ[CHILDREN] = children
