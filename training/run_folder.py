"""What a run leaves behind beside its weights: how it was made, how it went, what it draws.

``config.yaml`` (the recipe as it was trained, nothing left to defaults), ``environment.json`` (seed, revision,
versions, device), ``curves.csv`` and ``curves.png``, ``predictions/*.png`` of the best weights, and TensorBoard events.
"""

from __future__ import annotations

import csv
import io
import json
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from training.distributed import World
from training.hardware import processor
from training.prepare.disk import write_whole
from training.recipe import Recipe

CONFIG, ENVIRONMENT, CURVES, PICTURE, PREDICTIONS = (
    "config.yaml",
    "environment.json",
    "curves.csv",
    "curves.png",
    "predictions",
)
PACKAGES = (
    "breast-cascade",
    "numpy",
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "monai",
    "opencv-python-headless",
)
SHOWN = 4
# Of the outlined label, blue green red.
INK = np.array([[0, 0, 0], [0, 196, 255], [255, 144, 30], [80, 220, 80], [200, 80, 220], [60, 60, 255]], np.float32)


def describe(out: Path, recipe: Recipe, data: Path, world: World) -> None:
    """Write the run's configuration and environment."""
    content = recipe.model_dump(mode="json", exclude_none=True)
    write_whole(out / CONFIG, yaml.safe_dump(content, sort_keys=False, width=120).encode())
    environment = {
        "seed": recipe.schedule.seed,
        "data": str(data.resolve()),
        "revision": revision(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "device": torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else processor(),
        "processes": world.size,
        "threads": torch.get_num_threads(),
    }
    write_whole(out / ENVIRONMENT, f"{json.dumps(environment, indent=1)}\n".encode())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def revision(file: Path = Path(__file__)) -> str | None:
    """The git revision of the code that runs, ``+changes`` where files differ from it; None outside of a repository."""
    try:
        _git(file, "ls-files", "--error-unmatch", file.name)
        changed = _git(file, "status", "--porcelain", "--untracked-files=no")
        return _git(file, "rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(file: Path, *arguments: str) -> str:
    command = ["git", "-C", str(file.parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write_curves(out: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write ``curves.csv``: one row an epoch."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, ["epoch", *columns])
    writer.writeheader()
    writer.writerows({"epoch": number, **row} for number, row in enumerate(history, start=1))
    write_whole(out / CURVES, text.getvalue().encode())


def draw_curves(out: Path, history: Sequence[Mapping[str, float]], title: str) -> None:
    """Write ``curves.png``: losses, scores and the learning rate over the epochs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not history:
        return
    figure = Figure(figsize=(10, 3), layout="constrained")
    names = list(dict.fromkeys(name for row in history for name in row))
    kinds = {"loss": [n for n in names if "loss" in n], "learning rate": [n for n in names if n == "learning_rate"]}
    kinds["score"] = [name for name in names if name not in kinds["loss"] + kinds["learning rate"]]
    for axes, (kind, shown) in zip(figure.subplots(1, 3), kinds.items(), strict=True):
        for name in shown:
            axes.plot(range(1, len(history) + 1), [row.get(name, np.nan) for row in history], label=name, marker=".")
        axes.set(title=kind, xlabel="epoch")
        if shown:
            axes.legend(fontsize="x-small")
    figure.suptitle(title)
    FigureCanvasAgg(figure).print_figure(out / PICTURE, dpi=100)


def draw_prediction(out: Path, name: str, image: Any, truth: Any, guess: Any) -> None:
    """Write ``predictions/<name>.png``: picture, truth and prediction side by side.

    ``image`` is the network's input (channels, h, w), of which one or three are shown, ``truth`` and ``guess`` are
    label maps (h, w), 0 for background.
    """
    grey = _grey(image)
    row = np.hstack([grey, _painted(grey, truth), _painted(grey, guess)])
    folder = out / PREDICTIONS
    folder.mkdir(exist_ok=True)
    path = folder / f"{re.sub(r'[^A-Za-z0-9._()-]+', '_', name)}.png"
    if not cv2.imwrite(str(path), row.astype(np.uint8)):
        raise OSError(f"Found no way to write {path}; wanted room on the disk. Free some and go on with --resume.")


def _grey(image: Any) -> NDArray[np.float32]:
    """The input as a picture (h, w, 3), 0 to 255, blue first."""
    plane = np.asarray(image, np.float32)[: 3 if len(image) > 2 else 1].transpose(1, 2, 0)
    low, high = float(plane.min()), float(plane.max())
    scaled = (plane - low) * (255 / (high - low or 1))
    return np.repeat(scaled, 3, axis=2) if scaled.shape[2] == 1 else scaled[..., 2::-1]


def _painted(grey: NDArray[np.float32], labels: Any) -> NDArray[np.float32]:
    inked = np.asarray(labels)
    colour = INK[np.where(inked == 0, 0, (inked - 1) % (len(INK) - 1) + 1)]
    return np.where((inked > 0)[..., None], 0.5 * grey + 0.5 * colour, grey)
