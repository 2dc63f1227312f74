"""Depth of photographs, made once and kept beside them, and the same network exported for a served ``map`` stage.

What is black around a photograph is cut off first, so that it does not decide the range; the network sees RGB with
ImageNet's mean and standard deviation through `service.preprocess.prepare`; its answer is stretched to 0..255 and put
back on black. Relative depth only: near is bright, nothing is in millimetres. Model: Yang et al., Depth Anything V2,
arXiv:2406.09414, whose small version is Apache-2.0 (the larger ones are not for commercial use).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn

from service.manifest import InputSpec
from service.preprocess import prepare, restore
from training.datasets.case import Case
from training.datasets.photographs import depth_path
from training.datasets.pictures import colour_picture, pictures_in
from training.export import digest
from training.onnx_graph import check_export, traced
from training.prepare.disk import png, write_whole

Grey = NDArray[np.uint8]
DepthNetwork = Callable[[Tensor], Tensor]

SIDE, STEP = 518, 14
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# JPEG does not keep black bars quite black.
BLACK = 8
GRAPH, STAGE = "depth.onnx", "stage.yaml"
FLAT = 1e-6


def photographs_in(root: Path) -> list[Path]:
    """Pictures in ``images/`` of ``root`` or of each folder in it. Raises FileNotFoundError when there is none."""
    folders = [root / "images"] if (root / "images").is_dir() else sorted(root.glob("*/images"))
    if not folders:
        raise FileNotFoundError(f"Found no images/ in {root} or below; wanted photographs. Give another folder.")
    return [image for folder in folders for image in pictures_in(folder).values()]


def cache_depth(
    images: Sequence[Path],
    network: DepthNetwork,
    size: tuple[int, int] | None = None,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> list[Path]:
    """Write the depth map of each photograph that has none to ``depth/NAME.png`` beside its ``images/``; their paths.

    Args:
        images: the photographs.
        network: (1, 3, h, w) to depth (1, h, w) or (1, 1, h, w).
        size: (height, width) the network sees; None keeps each photograph's aspect, see `input_size`.
        progress: wraps the list, to show how far it is.

    Raises:
        ValueError: a file that is no picture, or what `depth_map` raises, with the file's name.
        OSError: the disk is full.
    """
    for image in progress(images):
        if not depth_path(image).is_file():
            write_whole(depth_path(image), png(_of_file(image, network, size)))
    return [depth_path(image) for image in images]


def _of_file(image: Path, network: DepthNetwork, size: tuple[int, int] | None) -> Grey:
    photograph = colour_picture(Case(image.stem, image, (), "", image.stem, 0))
    try:
        return depth_map(photograph, network, size)
    except ValueError as error:
        raise ValueError(f"{image}: {error}") from error


def depth_map(photograph: NDArray[np.uint8], network: DepthNetwork, size: tuple[int, int] | None = None) -> Grey:
    """Depth of an RGB photograph uint8 (height, width, 3) as uint8 (height, width): 0 is farthest, and what is black.

    Raises ValueError for a black photograph and for a network whose answer is flat, not finite or of another size.
    """
    rows, columns = _content(photograph)
    view = photograph[rows, columns]
    tensor, placement = prepare(view, depth_input(size or input_size(view.shape[0], view.shape[1])))
    depth = np.zeros(photograph.shape[:2], np.uint8)
    depth[rows, columns] = _stretched(restore(_answer(network, tensor), placement)[0])
    return depth


def _content(photograph: NDArray[np.uint8]) -> tuple[slice, slice]:
    bright = photograph.max(axis=-1) > BLACK
    if not bright.any():
        raise ValueError("Found nothing but black; wanted a photograph. Take the file out of the folder.")
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


@torch.inference_mode()
def _answer(network: DepthNetwork, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth (1, h, w) for an input (3, h, w)."""
    answer = network(torch.from_numpy(tensor)[None])
    height, width = tensor.shape[1:]
    if tuple(answer.shape) not in ((1, height, width), (1, 1, height, width)):
        raise ValueError(
            f"Found depth of shape {tuple(answer.shape)}; wanted (1, {height}, {width}) as the input. "
            "Give a network that answers at the size of its input."
        )
    return answer.float().cpu().numpy().reshape(1, height, width)


def _stretched(depth: NDArray[np.float32]) -> Grey:
    low, high = float(depth.min()), float(depth.max())
    # A NaN makes this comparison fail, too.
    if not high - low > FLAT:
        raise ValueError(
            f"Found depth from {low:.3g} to {high:.3g}; wanted near and far. Check the weights of the depth network."
        )
    return np.round((depth - low) * (255 / (high - low))).astype(np.uint8)


def input_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) that Depth Anything's own processor gives it: one side 518, the aspect kept to multiples of 14.

    Of the two scales that make a side 518, the one nearer to 1 is taken: of a large photograph the shorter side counts.
    """
    scale = min((SIDE / height, SIDE / width), key=lambda one: abs(1 - one))
    return max(STEP, round(height * scale / STEP) * STEP), max(STEP, round(width * scale / STEP) * STEP)


def depth_input(size: tuple[int, int]) -> InputSpec:
    """The input block of a depth network, for the cache and for the manifest alike."""
    block = {"size": size, "channels": 3, "window": {"kind": "full"}, "mean": MEAN, "std": STD}
    return InputSpec.model_validate(block)


class Unit(nn.Module):
    """A depth network whose answer is stretched to 0..1 for each picture, as the cached maps are: (n, 1, h, w)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Input (n, 3, h, w), standardised; output (n, 1, h, w) in 0..1."""
        depth = self.network(image).reshape(image.shape[0], 1, *image.shape[2:])
        low, high = depth.amin((2, 3), keepdim=True), depth.amax((2, 3), keepdim=True)
        return (depth - low) / (high - low).clamp_min(FLAT)


def export_depth(network: nn.Module, folder: Path, size: tuple[int, int], licence: str) -> Path:
    """Write ``depth.onnx`` and ``stage.yaml``, a manifest's block for a ``map`` stage; the graph's path.

    ``size`` is the (height, width) it will be served at, multiples of 14. Raises ValueError for another size, and when
    graph and network differ.
    """
    if size[0] % STEP or size[1] % STEP:
        raise ValueError(f"Found size {size[0]} x {size[1]}; wanted multiples of {STEP}. Choose such a size.")
    unit = Unit(network).eval()
    content = traced(unit, [(3, *size)], ["image"], ["depth"]).SerializeToString()
    check_export(unit, content, (3, *size))
    path = folder / GRAPH
    write_whole(path, content)
    write_whole(folder / STAGE, yaml.safe_dump(_stage(path, size, licence), sort_keys=False).encode())
    return path


def _stage(path: Path, size: tuple[int, int], licence: str) -> dict[str, Any]:
    weights = {"file": path.name, "sha256": digest(path), "licence": licence}
    return {
        "name": "depth",
        "kind": "map",
        "input": depth_input(size).model_dump(mode="json"),
        "weights": {"network": weights},
    }
