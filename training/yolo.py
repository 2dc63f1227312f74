"""YOLO11n as lesion localiser, trained by ultralytics from its architecture file and exported without its suppression.

ultralytics is AGPL-3.0 and its makers claim what it trains under the same licence. It is imported here alone and only
when it is used; the service knows nothing of it and decodes the exported graph by itself (`service.decode`). Weights
made here are the user's: a manifest that names them has to name their licence, and none lies in this tree.

What YOLO sees comes from `Samples`, hence from `service.preprocess.prepare`, written out as 8-bit PNG at the network's
size. The same input block with mean 0 and std 1 in a manifest therefore serves what it was trained on, to within half a
grey level.
"""

from __future__ import annotations

import os
import shutil
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import yaml
from pydantic import Field
from torch import Tensor, nn

from models import torchvision_cpu
from service.manifest import Frozen
from training.distributed import World
from training.export import digest
from training.onnx_graph import Difference, check_export, traced
from training.prepare.disk import write_whole
from training.recipe import Recipe, resolve
from training.resume import PLACE, check_resumed
from training.run_folder import describe
from training.samples import CACHED_SIDE, Samples, lesion_boxes, load
from training.sampling import parts_of
from training.yolo_board import follow

ONNX, STAGE, RUN, DATA, CONFIG = "yolo.onnx", "stage.yaml", "ultralytics", "data", "config"
DECODE = {"kind": "yolo", "threshold": 0.25, "iou": 0.5, "max_regions": 3}
LICENCE = "AGPL-3.0 (trained through ultralytics)"
STRIDE = 32
# Fraction of the picture: what is left of a lesion at the edge of a view, or a speck of a mask, is none to be found.
SMALLEST_BOX = 0.0005
OFFLINE = {
    "YOLO_OFFLINE": "1",
    "YOLO_AUTOINSTALL": "0",
    "YOLO_VERBOSE": "False",
    "ALBUMENTATIONS_NO_TELEMETRY": "1",
}
SILENT = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "wandb", "vscode_msg")


class YoloPlan(Frozen):
    """What a recipe says of YOLO beyond what all recipes say; named by ``network.path``.

    Attributes:
        model: an architecture file of ultralytics, by name. Ready-made weights (``.pt``) are refused.
        views: augmented views written out per training picture; one epoch sees all of them.
        hyperparameters: passed to ultralytics as they are.
    """

    model: Annotated[str, Field(pattern=r"^yolo[a-z0-9]+\.yaml$")] = "yolo11n.yaml"
    views: Annotated[int, Field(ge=1)] = 1
    hyperparameters: Annotated[dict[str, float | int | bool], Field(default_factory=dict)]


def is_yolo(recipe: Recipe) -> bool:
    """Whether `train_yolo` trains this recipe, and not `training.fit`."""
    return recipe.network.path == f"{__name__}.{YoloPlan.__name__}"


def train_yolo(recipe: Recipe, data: Path, out: Path, *, resume: bool = False) -> Path:
    """Train, export and check; return the path of the ONNX file (batch, channels, h, w) to (batch, 4 + 1, anchors).

    Writes the pictures to ``out/data``, ultralytics' checkpoints and ``results.csv`` to ``out/ultralytics``, to
    ``out/stage.yaml`` the block that a manifest needs, and recipe, environment and TensorBoard's events as `fit` does.
    The weights that are best on the validation part are exported; the test fold is never read. With ``resume`` an
    interrupted run goes on after its last finished epoch.

    Raises:
        ModuleNotFoundError: ultralytics is not installed.
        FileExistsError: ``out`` holds a run and ``resume`` is off.
        FileNotFoundError: nothing tells how the run to be resumed was trained.
        ValueError: the recipe asks for what YOLO cannot do, the run to be resumed was trained otherwise, or the
            exported graph does not give what the network gives.
    """
    _check(recipe)
    out = out.resolve()
    path, last = out / ONNX, out / RUN / "weights" / "last.pt"
    if last.exists() and not resume:
        raise FileExistsError(
            f"Found a run in {out}; wanted an empty folder. Pass --resume to go on or choose another folder."
        )
    if last.exists():
        # ultralytics goes on for as many epochs as it once was told.
        check_resumed(out, recipe, data, PLACE)
    # The graph is written last: where it is, the run is done.
    if not path.exists():
        yolo = yolo_class(out / CONFIG)
        describe(out, recipe, data, World(torch.device("cpu")))
        best = _train(yolo, recipe, write_folder(recipe, data, out / DATA), last)
        export_raw(yolo(best).model, recipe.input.channels, recipe.input.size, path)
    stage = yaml.safe_dump(manifest_stage(recipe, path), sort_keys=False)
    (out / STAGE).write_text(stage, encoding="utf-8")
    return path


def manifest_stage(recipe: Recipe, graph: Path) -> dict[str, Any]:
    """The block of a manifest that serves ``graph`` as its localiser, licence included.

    The threshold is a start; whoever serves it chooses it on pictures that were not trained on.
    """
    weights = {"file": graph.name, "sha256": digest(graph), "licence": LICENCE}
    return {
        "name": "localise",
        "kind": "detect",
        "input": recipe.input.model_dump(mode="json"),
        "labels": ["lesion"],
        "decode": DECODE,
        "weights": {"network": weights},
        "training": {"recipe": recipe.name, "test_fold": recipe.test_fold, "validation": recipe.validation},
    }


def _check(recipe: Recipe) -> None:
    block = recipe.input
    if recipe.task != "localise" or block.mean != (0.0,) or block.std != (1.0,):
        raise ValueError(
            f"Found task {recipe.task}, mean {block.mean}, std {block.std}; wanted localise, mean [0.0] and std [1.0]: "
            "ultralytics feeds pixels in 0 to 1. Mend the recipe."
        )
    if block.size[0] != block.size[1] or block.size[0] % STRIDE:
        raise ValueError(
            f"Found input size {block.size}; wanted a square whose side is a multiple of {STRIDE}. Mend the recipe."
        )
    if recipe.schedule.precision != "float32":
        raise ValueError(
            f"Found precision {recipe.schedule.precision}; wanted float32, the only one ultralytics has on a CPU. "
            "Mend the recipe's schedule."
        )


def yolo_class(config: Path) -> Any:
    """ultralytics' class YOLO, imported so that it neither looks up a host nor installs, downloads or reports anything.

    ``config`` is the folder for its settings. Raises ModuleNotFoundError where ultralytics is not installed.
    """
    config.mkdir(parents=True, exist_ok=True)
    os.environ.update(OFFLINE, YOLO_CONFIG_DIR=str(config))
    torchvision_cpu.mend()
    try:
        from ultralytics import YOLO, settings
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Found no module {error.name}; wanted ultralytics, which is AGPL-3.0 and therefore no part of the default "
            "install. Install the extra that brings it: pip install '.[train,yolo]'."
        ) from error
    settings.update(dict.fromkeys(SILENT, False))
    _copy_fonts(config / "Ultralytics")
    return YOLO


def _copy_fonts(folder: Path) -> None:
    # Where these two are missing, the check of any data set fetches them from the network.
    import matplotlib

    folder.mkdir(exist_ok=True)
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    for name in ("Arial.ttf", "Arial.Unicode.ttf"):
        shutil.copyfile(font, folder / name)


def write_folder(recipe: Recipe, data: Path, folder: Path) -> Path:
    """Write the training and validation part in YOLO's layout; return the path of its ``data.yaml``.

    ``images/{train,validation}/*.png`` at the network's size; ``labels/...txt`` with a line ``0 x y width height`` per
    connected component of the mask: centre and size as fractions of the picture. A normal case has an empty file.
    """
    parts = parts_of(recipe, data)
    plan: YoloPlan = resolve(recipe.network)(**recipe.network.arguments)
    train = Samples(load(parts.train, CACHED_SIDE), recipe, training=True)
    validation = Samples(load(parts.validation, CACHED_SIDE), recipe, training=False)
    for name, samples, views in (("train", train, plan.views), ("validation", validation, 1)):
        for kind in ("images", "labels"):
            shutil.rmtree(folder / kind / name, ignore_errors=True)
            (folder / kind / name).mkdir(parents=True)
        for samples.epoch in range(views):
            _write_epoch(samples, folder, name)
    parts_of_data = {"path": str(folder), "train": "images/train", "val": "images/validation"}
    description = folder / "data.yaml"
    content = parts_of_data | {"names": {0: "lesion"}, "channels": recipe.input.channels}
    description.write_text(yaml.safe_dump(content), encoding="utf-8")
    return description


def _write_epoch(samples: Samples, folder: Path, part: str) -> None:
    for index in range(len(samples)):
        tensor, target, _ = samples[index]
        stem = f"{index:05d}_{samples.epoch}"
        # All channels hold the same grey, or the one there is.
        pixels = np.round(tensor[0].numpy() * 255).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / part / f"{stem}.png"), pixels)
        lines = [f"0 {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for x, y, w, h in boxes_of(target)]
        (folder / "labels" / part / f"{stem}.txt").write_text("".join(lines), encoding="utf-8")


def boxes_of(target: Tensor) -> list[tuple[float, float, float, float]]:
    """One (centre x, centre y, width, height), as fractions of the picture, per component of a mask (1, h, w) > 0.5."""
    mask = (target[0].numpy() > 0.5).astype(np.uint8)
    h, w = mask.shape
    return [
        ((box.left + box.right) / 2 / w, (box.top + box.bottom) / 2 / h, box.width / w, box.height / h)
        for box in lesion_boxes(mask)
        if box.width * box.height >= SMALLEST_BOX * mask.size
    ]


def _train(yolo: Any, recipe: Recipe, description: Path, last: Path) -> Path:
    """Run ultralytics; return the path of its best checkpoint."""
    best = last.with_name("best.pt")
    if not last.exists():
        plan: YoloPlan = resolve(recipe.network)(**recipe.network.arguments)
        _followed(yolo(plan.model), recipe, best, data=str(description), **_arguments(recipe, plan, best.parent.parent))
        return best
    model = yolo(last)
    # ultralytics takes the epoch out of a finished run; told to resume that, it would start anew.
    if model.ckpt["epoch"] >= 0:
        _followed(model, recipe, best, resume=True)
    return best


def _followed(model: Any, recipe: Recipe, best: Path, **arguments: Any) -> None:
    run = best.parents[2]
    close = follow(model, [run] if recipe.logs is None else [run, recipe.logs])
    try:
        model.train(**arguments)
    finally:
        close()


def _arguments(recipe: Recipe, plan: YoloPlan, run: Path) -> dict[str, Any]:
    schedule = recipe.schedule
    from_recipe = {
        "epochs": schedule.epochs,
        "batch": schedule.batch,
        # ultralytics else gathers gradients until 64 pictures were seen, which few pictures cannot afford.
        "nbs": schedule.batch,
        "lr0": schedule.learning_rate,
        "weight_decay": schedule.weight_decay,
        "seed": schedule.seed,
        "imgsz": recipe.input.size[0],
        "optimizer": "AdamW",
        "cos_lr": True,
    }
    # Mixed precision is checked with downloaded weights, plots ask for fonts: both off.
    fixed = {"amp": False, "plots": False, "verbose": False, "pretrained": False, "device": "cpu", "workers": 0}
    place = {"project": str(run.parent), "name": run.name, "exist_ok": True}
    return from_recipe | plan.hyperparameters | fixed | place


def export_raw(network: nn.Module, channels: int, size: tuple[int, int], path: Path) -> Difference:
    """Write a YOLO network as ONNX: ``image`` (batch, channels, h, w) to ``boxes`` (batch, 4 + labels, anchors).

    Only the batch is dynamic and nothing is suppressed. ``path`` appears only if ONNX Runtime gives what torch gives;
    else ValueError. How far both differ is returned.
    """
    ready, shape = _for_export(network), (channels, *size)
    with warnings.catch_warnings():
        # The head keeps its anchors for the next pass; in the graph they are constants.
        warnings.filterwarnings("ignore", message="The tensor attributes .* were assigned during export")
        content = traced(ready, [shape], ["image"], ["boxes"]).SerializeToString()
    difference = check_export(ready, content, shape)
    write_whole(path, content)
    return difference


def _for_export(network: nn.Module) -> nn.Module:
    ready = deepcopy(network).float().eval()
    ready.fuse(verbose=False)  # type: ignore[operator]
    head: Any = ready.model[-1]  # type: ignore[index]
    # Alone, decoded, and the anchors worked out anew, since the remembered ones are tied to one batch size.
    head.export, head.format, head.dynamic = True, "onnx", True
    return ready
