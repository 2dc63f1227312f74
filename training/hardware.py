"""What computes."""

from __future__ import annotations

from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


def processor(described: Path = CPU_INFO) -> str:
    """What the processor calls itself, ``unknown processor`` where the system does not say."""
    try:
        lines = described.read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"
