"""Read by every Python process of a chaos test, which has this folder on its path: its workers can be halted."""

from __future__ import annotations

import os
import sys

WATCHED = ("service.cli", "service.jobs", "service.jobs.alone")


def _module() -> str:
    arguments = sys.orig_argv
    return arguments[arguments.index("-m") + 1] if "-m" in arguments else ""


if _module() in WATCHED and "CHAOS_FOLDER" in os.environ:
    from tests.chaos.halting import install

    install(os.environ["CHAOS_FOLDER"])
