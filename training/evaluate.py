"""Measure a pipeline exactly as it ships: its own folder, opened by the service's engine, on cases it never saw.

Every figure of a card comes from `scores`, one row an image, which are kept in ``evidence/`` beside the digests of the
files they were measured on.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.cascade import Ask, Cascade
from service.engine import Answer, Engine, LoadedPipeline, Request
from service.formats.raster import read_raster
from service.image import Image, Region
from service.manifest import Manifest, Metric
from service.result import CascadeResult
from service.stages import Detect, Segment
from training import augment
from training.datasets.case import Case
from training.evidence.intervals import known, mean, ratio, resampled
from training.metrics import auroc, dice, iou
from training.recipe import Part, resolve
from training.samples import lesion_boxes
from training.split import Split, split

Row = dict[str, Any]
Grey = NDArray[np.uint8]
RECALL_IOU = 0.5
BUSI = {"path": "training.datasets.busi.cases"}
# What a row says of a picture without a lesion.
NO_LESION: Row = {"lesions": 0, "lesions_localised": 0, "coverage": None, "true_box_dice": None}
# Somebody else's screenshot, simulated: shrunk into a larger black frame, grey values changed, marks burnt in.
SHIFTED = augment.Strength(
    scale=(0.6, 1.0), stretch=1.15, shift=0.1, rotation=0, gentle=0, echo=0, photometric=0.5, burn_in=0.6
)


@dataclass(frozen=True, eq=False)
class Bench:
    """A pipeline on the bench.

    Attributes:
        engine: serves it.
        pipeline: as it is served.
        single: its localiser's own map as the single-stage answer to compare with, None where it has none.
    """

    engine: Engine
    pipeline: LoadedPipeline
    single: Cascade | None

    @staticmethod
    def open(folder: Path, threads: int = 2) -> Bench:
        """From a pipeline folder ``<root>/<name>/<version>``. Raises the SetupError tree."""
        folder = folder.resolve()
        engine = Engine.open([folder.parent.parent], "cpu", threads)
        pipeline = engine.pipeline(folder.parent.name, folder.name)
        return Bench(engine, pipeline, single_stage(pipeline))

    def serve(self, image: Image, boxes: tuple[Region, ...] = (), stage: str | None = None) -> Answer:
        """What the service answers."""
        manifest = self.pipeline.manifest
        return self.engine.segment(image, Request(manifest.name, manifest.version, boxes=boxes, stage=stage))


def single_stage(pipeline: LoadedPipeline) -> Cascade | None:
    """The localiser's map over the whole picture at its threshold; inside its own boxes it is the single-stage answer.

    None where the first stage has no map of the labels that the pipeline outlines: a detector that gives boxes alone,
    such as YOLO, or one of anatomy.
    """
    first, manifest = pipeline.cascade.stages[0], pipeline.manifest
    decode = first.spec.decode
    outlined = {label.name for label in manifest.labels}
    if not isinstance(first, Detect) or decode is None or decode.kind != "components":
        return None
    if not outlined.issuperset(first.spec.labels):
        return None
    spec = first.spec.model_copy(update={"kind": "segment", "decode": None, "threshold": decode.threshold})
    return Cascade(manifest, (Segment(spec, first.network),))


def parts_of(manifest: Manifest, data: Path, dataset: Part | None = None) -> tuple[str, Split]:
    """What the test part is called, and the split that the pipeline's networks were trained on.

    Where stages learned from different data sets, ``data`` is of ``dataset``, or of the one that the last mask comes
    from.

    Raises ValueError where the stages of that data set do not all name the same split.
    """
    dataset = dataset or _dataset(manifest)
    training = [one for one in (stage.training for stage in manifest.stages) if _of(one, dataset)]
    named = {(one.get("test_fold"), one.get("validation")) for one in training}
    fold, validation = next(iter(named))
    if len(named) > 1 or fold is None or validation is None:
        raise ValueError(
            f"Found test folds and validation parts {sorted(named, key=str)} in the manifest of {manifest.name}; "
            "wanted one of each, the same for all stages. Train all stages on one split and export anew."
        )
    name = dataset.path.split(".")[-2].upper()
    return f"{name} fold {fold}", split(resolve(dataset)(data, **dataset.arguments), fold, validation)


def _dataset(manifest: Manifest) -> Part:
    outlining = [stage.training for stage in manifest.stages if stage.kind in ("segment", "prompt")]
    every = [*reversed(outlining), *(stage.training for stage in manifest.stages)]
    return Part.model_validate(next((one["dataset"] for one in every if "dataset" in one), BUSI))


def _of(training: Mapping[str, Any], dataset: Part) -> bool:
    """Whether a stage learned from that data set; one that does not say so did."""
    return training.get("dataset", {}).get("path", dataset.path) == dataset.path


def scores(bench: Bench, cases: Iterable[Case], *, shifted: bool = False) -> list[Row]:
    """One row an image. ``shifted`` measures simulated screenshots of the cases instead of the files as they are."""
    return [_row(bench, case, *(_shifted if shifted else _as_is)(case)) for case in cases]


def _as_is(case: Case) -> tuple[Image, Grey]:
    return read_raster(case.image.read_bytes()), case.read_mask()


def _shifted(case: Case) -> tuple[Image, Grey]:
    image, mask = _as_is(case)
    # The same picture every time: the generator starts from the case's name.
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    grey = np.asarray(np.asarray(image.slab(0, 1))[0].mean(axis=-1), np.uint8)
    shown, mask = augment.view(grey, mask, image.region, SHIFTED, rng)
    shown = augment.photometric(shown, SHIFTED.photometric, rng)
    return Image(augment.burn_in(shown, mask, SHIFTED.burn_in, rng)[None, ..., None]), mask


def _inside(regions: Iterable[Region], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """True where any of the regions lies, (height, width)."""
    inside = np.zeros(shape, bool)
    for region in regions:
        inside[region.slices[1:]] = True
    return inside


def _row(bench: Bench, case: Case, image: Image, mask: Grey) -> Row:
    answer = bench.serve(image)
    truth, guess = mask > 0, _outlined(answer.result)
    single = _single(bench.single, image, answer)
    row: Row = {
        "image": case.name,
        "category": case.category,
        "ambiguous": case.ambiguous,
        "group": case.group,
        "status": answer.result.status,
        "dice": dice(guess, truth),
        "iou": iou(guess, truth),
        "single_stage_dice": None if single is None else dice(single, truth),
        "single_stage_found": None if single is None else bool(single.any()),
        "classification": _rounded(answer.result.classification.scores),
    }
    return row | (_lesion_part(bench, image, mask, answer, case.speck) if truth.any() else NO_LESION)


def _single(cascade: Cascade | None, image: Image, answer: Answer) -> NDArray[np.bool_] | None:
    """The single-stage answer; outside of the boxes that the localiser reports its own map does not count either."""
    if cascade is None:
        return None
    inside = _inside(_regions(answer.result, 0), (image.height, image.width))
    return _outlined(cascade.run(image, Ask())) & inside


def _outlined(result: CascadeResult) -> NDArray[np.bool_]:
    return np.asarray(result.mask.labels[0] > 0)


def _rounded(values: Mapping[str, float] | None) -> dict[str, float] | None:
    return None if values is None else {name: round(value, 6) for name, value in values.items()}


def _lesion_part(bench: Bench, image: Image, mask: Grey, answer: Answer, speck: float) -> Row:
    """What only a picture with a lesion has: how well it was localised, and the segmenter given the true boxes."""
    boxes, truth = true_boxes(mask, speck), mask > 0
    localised, looked = (_regions(answer.result, index) for index in (0, 1))
    seen = _inside(looked, truth.shape)
    return {
        "lesions": len(boxes),
        "lesions_localised": sum(any(box.iou(one) >= RECALL_IOU for one in localised) for box in boxes),
        "coverage": float(truth[seen].sum() / truth.sum()),
        "true_box_dice": dice(_outlined(bench.serve(image, boxes).result), truth),
    }


def true_boxes(mask: Grey, speck: float = 0.0) -> tuple[Region, ...]:
    """Boxes of the lesions of a mask (height, width), largest first.

    Beside the largest, boxes below the share ``speck`` of the picture (`Case.speck`) are no lesions.
    """
    first, *others = lesion_boxes(mask)
    return first, *(box for box in others if box.width * box.height >= speck * mask.size)


def _regions(result: CascadeResult, index: int) -> list[Region]:
    """What a stage found or looked at; nothing where the picture was not worth evaluating."""
    return [look.region for stage in result.stages[index : index + 1] for look in stage.regions]


def metrics(rows: Sequence[Row], on: str) -> tuple[Metric, ...]:
    """The figures of a card from per-image rows, with 95 % bootstrap intervals; ``on`` names the pictures.

    A figure that no row can give is left out. A lesion that a simulated screenshot cut off counts nowhere.
    """
    lesions = [row for row in rows if row["lesions"]]
    normals = [row for row in rows if row["category"] == "normal"]
    found = [
        mean("lesion Dice, cascade", [row["dice"] for row in lesions], on),
        mean("lesion Dice, single stage", _known(lesions, "single_stage_dice"), on),
        mean("lesion IoU, cascade", [row["iou"] for row in lesions], on),
        mean("share of lesion images with no overlap at all", [float(row["dice"] == 0) for row in lesions], on),
        mean("share of normal images with a false lesion, cascade", [_false(row) for row in normals], on),
        mean("share of normal images with a false lesion, single stage", _known(normals, "single_stage_found"), on),
        _shared(lesions, on),
        mean("share of the lesion inside the crops", [row["coverage"] for row in lesions], on),
        mean("lesion Dice, segmenter on true boxes", [row["true_box_dice"] for row in lesions], on),
    ]
    return known([*found, *_classified(rows, on)])


def _shared(lesions: Sequence[Row], on: str) -> Metric | None:
    localised, every = ([float(row[name]) for row in lesions] for name in ("lesions_localised", "lesions"))
    return ratio("localiser recall at IoU 0.5", localised, every, on)


def _false(row: Row) -> float:
    return float(row["status"] == "found")


def _known(rows: Sequence[Row], name: str) -> list[float]:
    """The figure of every row that has it."""
    return [float(row[name]) for row in rows if row[name] is not None]


def _classified(rows: Sequence[Row], on: str) -> list[Metric | None]:
    """Benign against malignant where something was found and classified, ambiguous groups left out."""
    scored = [row for row in rows if row["classification"] and row["lesions"] and not row["ambiguous"]]
    if len({row["category"] for row in scored}) < 2:
        return []
    right = [float(max(row["classification"], key=row["classification"].get) == row["category"]) for row in scored]
    pairs = np.array([(row["classification"]["malignant"], row["category"] == "malignant") for row in scored], float)
    return [
        mean("accuracy of the class of found lesions", right, on),
        resampled(
            "AUROC malignant against benign", pairs, lambda s: auroc(s[:, 0].tolist(), (s[:, 1] > 0).tolist()), on
        ),
    ]
