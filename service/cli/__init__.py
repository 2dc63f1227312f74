"""``breast-cascade``: every command of the service. Progress on stderr, data on stdout."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """Entry point of the command; ends the process."""
    # Imports take a second or more: Ctrl-C ends them without a word.
    asked = signal.getsignal(signal.SIGINT)
    if asked is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from service.cli.command import main as run

    signal.signal(signal.SIGINT, asked)
    run()
