"""What one decoding process may use before it is stopped."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import SetupError

MEBIBYTE = 1 << 20
# More than two buy nothing: the networks behind them are the slower part.
MOST_PROCESSES = 2
LEAST_MEMORY = 64 * MEBIBYTE


@dataclass(frozen=True)
class Bounds:
    """Limits of the decoding processes.

    Attributes:
        memory: bytes one process may take beyond what its libraries need, and size of the pixels it may hand over.
        seconds: wall-clock time of one file.
        files: after so many a process is replaced by a fresh one.
        processes: how many are kept warm, 1 or 2.

    Raises SetupError for a limit that cannot be kept.
    """

    memory: int = 2048 * MEBIBYTE
    seconds: float = 30.0
    files: int = 500
    processes: int = MOST_PROCESSES

    def __post_init__(self) -> None:
        processes = 1 <= self.processes <= MOST_PROCESSES
        if self.memory < LEAST_MEMORY or self.seconds <= 0 or self.files < 1 or not processes:
            raise SetupError(
                f"decoders of {self.memory} bytes, {self.seconds:g} s, {self.files} files, {self.processes} processes",
                f"{LEAST_MEMORY} bytes or more, a time above 0, at least one file, 1 to {MOST_PROCESSES} processes",
                "Mend the decoder settings.",
                "bad_setting",
            )


DEFAULT_BOUNDS = Bounds()
