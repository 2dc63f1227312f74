"""What a service image installs beside the service itself: one requirement a line, as pyproject.toml asks for them.

    python3 docker/requirements.py [--gpu]

With ``--gpu`` the CUDA build of ONNX Runtime stands in the place of the CPU build. Both would unpack into one folder,
where the CPU build wins without a word: no image may hold the two.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
CPU_RUNTIME = re.compile(r"onnxruntime(?![\w.-])")
GPU_RUNTIME = "onnxruntime-gpu[cuda,cudnn]"


def requirements(project: Path, *, gpu: bool) -> list[str]:
    """The service's own dependencies. Raises ValueError where there is no CPU runtime to put the GPU's in place of."""
    asked: list[str] = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    if not gpu:
        return asked
    if not any(map(CPU_RUNTIME.match, asked)):
        raise ValueError(f"Found no onnxruntime in {project.name}; wanted one to replace. Mend docker/requirements.py.")
    return [CPU_RUNTIME.sub(GPU_RUNTIME, line, count=1) if CPU_RUNTIME.match(line) else line for line in asked]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in requirements(PROJECT, gpu="--gpu" in sys.argv[1:])))
