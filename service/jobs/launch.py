"""How processes of this service are started by others of it."""

from __future__ import annotations

import os
import sys

from service.settings import PREFIX, Settings

# One thread for each library where a process is to stay small.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which another process finds these very settings, and the same code."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    given = {f"{PREFIX}{name.upper()}": str(value) for name, value in settings if value is not None}
    path = os.pathsep.join(os.path.abspath(one) for one in sys.path)
    return {**inherited, **given, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
