"""MRI exams to slices on which detectors and segmenters train, in eight steps.

1. Slices across the widest voxel side of each volume, NIfTI or DICOM, turned to how radiologists look at them.
2. Intensities to 0..1 between the 0.5 and 99.5 percentile of the whole volume, never of a slice.
3. Blank slices left out, of the tumour-free rest as many as the policy says.
4. 224 x 224 (or another size), with the aspect kept on black unless it is to be stretched as the published method did;
   by `service.preprocess.prepare`, which also serves.
5. Grey PNGs of 8 bits, 0 for 0 and 255 for 1; the subtraction from the time point before contrast beside them.
6. Masks on the same pixels by nearest neighbour, PNGs of 0 and 255.
7. A box around each connected component of 9 pixels or more, and a YOLO label file for each slice (empty without).
8. Folds by patient, the makers' test part as fold 0 where they have one; ``manifest.csv`` and the lists YOLO reads.

A volume that is finished is not done again; one that was interrupted is.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import BreastCascadeError
from service.manifest import InputSpec, Window
from service.preprocess import place, prepare
from training.datasets.case import Case
from training.datasets.exam import Exam, Scan, in_plane, subtracted
from training.datasets.grouping import FOLDS, assign_folds, official_folds
from training.datasets.mri_slices import CATEGORIES, MANIFEST, slice_name
from training.datasets.slice_policy import checked, chosen
from training.datasets.tables import Row, csv_rows
from training.prepare.disk import check_space, png, write, write_whole
from training.split import split
from training.volume import binary, finest_plane, robust_unit

Grey = NDArray[np.uint8]
VOLUMES, SETTINGS, YOLO, BROKEN = "volumes", "prepare.json", "yolo.yaml", "broken.csv"
FOLDERS = ("images", "masks", "labels", "subtraction")
PARTS = ("train", "validation", "test")
NAME = re.compile(r"[\w][\w .+-]*")
TEST_FOLD = 0


@dataclass(frozen=True)
class MriOptions:
    """What the slices become.

    Attributes:
        size: side of the square pictures.
        letterbox: keep the aspect; otherwise stretch.
        policy: slices written, see `training.datasets.slice_policy`.
        subtraction: write first time point minus the one before contrast, too.
        smallest: pixels of the smallest component that gets a box.
        validation: share of the patients outside the test fold that validates YOLO.
        keep_free: bytes to leave free on the disk.
    """

    size: int = 224
    letterbox: bool = True
    policy: str = "all"
    subtraction: bool = False
    smallest: int = 9
    validation: float = 0.125
    keep_free: int = 10**8


def prepare_mri(
    exams: Sequence[Exam],
    out: Path,
    options: MriOptions | None = None,
    *,
    skip_broken: bool = False,
    progress: Callable[[Sequence[Exam]], Iterable[Exam]] = iter,
) -> Path:
    """Write the slices of all exams below ``out``; return the manifest's path, read by `training.datasets.mri_slices`.

    Broken volumes are passed over and told at the end, so that one does not cost a night: as an error, or, with
    ``skip_broken``, in ``broken.csv``.

    Raises:
        ValueError: a volume is broken, ``out`` was prepared otherwise, a policy or a name that is none.
        OSError: the disk is full.
    """
    options = options or MriOptions()
    checked(options.policy)
    _check_names(exams)
    _same_settings(out, options)
    broken: dict[str, str] = {}
    for exam in progress(exams):
        if not _done(out, exam).is_file():
            broken |= _tried(exam, out, options)
    if broken and not skip_broken:
        raise ValueError(
            f"Found {len(broken)} of {len(exams)} volumes broken, the first: {next(iter(broken.values()))} "
            "Mend or remove them or skip broken ones, and run again: finished volumes are kept."
        )
    _write_broken(out, broken)
    if len(broken) == len(exams):
        raise ValueError(
            f"Found none of {len(exams)} volumes whole; wanted some. See {out / BROKEN} for what each one lacks."
        )
    return _finish([exam for exam in exams if exam.name not in broken], out, options)


def _check_names(exams: Sequence[Exam]) -> None:
    for exam in exams:
        if not NAME.fullmatch(exam.name):
            raise ValueError(f"Found an exam called {exam.name!r}; wanted letters, digits, . + - _. Rename it.")


def _same_settings(out: Path, options: MriOptions) -> None:
    settings = {name: value for name, value in asdict(options).items() if name not in ("keep_free", "validation")}
    path = out / SETTINGS
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != settings:
            raise ValueError(f"Found {out} prepared with {found}; wanted {settings}. Choose another folder.")
    else:
        write_whole(path, json.dumps(settings, indent=1).encode())


def _done(out: Path, exam: Exam) -> Path:
    return out / VOLUMES / f"{exam.name}.csv"


def _tried(exam: Exam, out: Path, options: MriOptions) -> dict[str, str]:
    try:
        _write_exam(exam, out, options)
    except (ValueError, FileNotFoundError, BreastCascadeError) as error:
        return {exam.name: str(error)}
    return {}


def _write_exam(exam: Exam, out: Path, options: MriOptions) -> None:
    scan = exam.reader(options.subtraction)
    plane = finest_plane(scan.image)
    scan = in_plane(scan, plane)
    for folder in FOLDERS:
        shutil.rmtree(out / folder / exam.name, ignore_errors=True)
    rows = [_facts(exam, scan, options) | {"plane": plane} | row for row in _slices(exam, scan, out, options)]
    # Written last: its presence says that the volume is finished.
    write_whole(_done(out, exam), _csv(rows))


def _slices(exam: Exam, scan: Scan, out: Path, options: MriOptions) -> Iterable[dict[str, Any]]:
    pictures = {"images": robust_unit(scan.image)}
    if scan.before is not None:
        pictures["subtraction"] = robust_unit(subtracted(scan.image, scan.before))
    masks = _resized(binary(scan.mask), _spec(options, "nearest")) > 0
    kept = [z for z in range(len(masks)) if pictures["images"][z].any() or masks[z].any()]
    kept = [kept[index] for index in chosen([bool(masks[z].any()) for z in kept], options.policy, exam.name)]
    check_space(out, (len(pictures) + 1) * len(kept) * options.size**2 + options.keep_free, exam.name)
    for z in kept:
        files = {kind: _resized(voxels[z : z + 1], _spec(options, "linear"))[0] for kind, voxels in pictures.items()}
        yield _write_slice(out, exam.name, z, files | {"masks": masks[z]}, options)


def _spec(options: MriOptions, interpolation: str) -> InputSpec:
    return InputSpec.model_validate(
        {
            "size": (options.size, options.size),
            "window": Window(kind="range", low=0, high=1),
            "letterbox": options.letterbox,
            "interpolation": interpolation,
        }
    )


def _resized(voxels: NDArray[Any], spec: InputSpec) -> Grey:
    """Slices (depth, height, width) of 0..1 as uint8 (depth, size, size)."""
    planes = [prepare(plane[..., np.newaxis], spec)[0][0] for plane in voxels]
    return np.round(np.stack(planes) * 255).astype(np.uint8)


def _write_slice(out: Path, exam: str, z: int, files: dict[str, NDArray[Any]], options: MriOptions) -> dict[str, Any]:
    name = slice_name(exam, z)
    boxes = component_boxes(files["masks"], options.smallest)
    paths = {kind: f"{kind}/{exam}/{name}.png" for kind in files}
    for kind, plane in files.items():
        content = png(plane.astype(np.uint8) * np.uint8(255) if kind == "masks" else plane)
        (out / paths[kind]).parent.mkdir(parents=True, exist_ok=True)
        write(out / paths[kind], content)
    label = out / "labels" / exam / f"{name}.txt"
    label.parent.mkdir(parents=True, exist_ok=True)
    write(label, yolo_label(boxes, options.size).encode())
    return {
        "z": z,
        "image": paths["images"],
        "mask": paths["masks"],
        "label": f"labels/{exam}/{name}.txt",
        "subtraction": paths.get("subtraction", ""),
        "tumour_px": int(files["masks"].sum()),
        "boxes": json.dumps(boxes),
    }


def component_boxes(mask: NDArray[Any], smallest: int = 9) -> list[tuple[int, int, int, int]]:
    """(left, top, right, bottom), half-open, of each 8-connected component with ``smallest`` pixels; largest first."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    found = sorted(stats[1:].tolist(), key=lambda row: -row[cv2.CC_STAT_AREA])
    return [(x, y, x + w, y + h) for x, y, w, h, area in found if area >= smallest]


def yolo_label(boxes: Iterable[tuple[int, int, int, int]], size: int) -> str:
    """One line a box: class 0, centre x and y, width and height as shares of the square's side."""
    lines = (((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes)
    return "".join(f"0 {' '.join(f'{value / size:.6f}' for value in line)}\n" for line in lines)


def _facts(exam: Exam, scan: Scan, options: MriOptions) -> dict[str, Any]:
    depth, height, width = scan.image.voxels.shape
    placed = place((height, width), _spec(options, "linear"))
    between, down, across = scan.image.spacing
    return {
        "exam": exam.name,
        "patient": exam.patient,
        "depth": depth,
        "official": exam.official,
        "truth": exam.truth,
        "spacing_z": f"{between:.6g}",
        "spacing_y": f"{down * height / placed.height:.6g}",
        "spacing_x": f"{across * width / placed.width:.6g}",
        "source_height": height,
        "source_width": width,
    }


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    # A volume of which the policy keeps nothing is finished, too.
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["exam"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _write_broken(out: Path, broken: dict[str, str]) -> None:
    (out / BROKEN).unlink(missing_ok=True)
    if broken:
        write_whole(out / BROKEN, _csv([{"exam": name, "problem": text} for name, text in broken.items()]))


def _finish(exams: Sequence[Exam], out: Path, options: MriOptions) -> Path:
    rows = [row for exam in exams for row in csv_rows(_done(out, exam), ("exam",))]
    if not rows:
        raise ValueError(f"Found no slice for policy {options.policy} in {len(exams)} volumes; wanted some. Use all.")
    folds = _folds(rows)
    cases = [_case(row, fold) for row, fold in zip(rows, folds, strict=True)]
    divided = split(cases, TEST_FOLD, options.validation)
    parts = {case.name: part for part in PARTS for case in getattr(divided, part)}
    for row, fold, case in zip(rows, folds, cases, strict=True):
        row |= {"fold": str(fold), "split": parts[case.name]}
    _write_yolo(out, rows)
    write_whole(out / MANIFEST, _csv(rows))
    return out / MANIFEST


def _folds(rows: Sequence[Row]) -> list[int]:
    patients = [row["patient"] for row in rows]
    categories = [CATEGORIES[row["tumour_px"] != "0"] for row in rows]
    tested = [row["official"] == "test" for row in rows]
    return official_folds(patients, categories, tested) if any(tested) else assign_folds(patients, categories, FOLDS)


def _case(row: Row, fold: int) -> Case:
    return Case(slice_name(row["exam"], int(row["z"])), Path(row["image"]), (), "", row["patient"], fold)


def _write_yolo(out: Path, rows: Sequence[Row]) -> None:
    for part in PARTS:
        # A dot in front makes ultralytics look beside the list, wherever it is started.
        lines = [f"./{row['image']}\n" for row in rows if row["split"] == part]
        write_whole(out / f"{part}.txt", "".join(lines).encode())
    names = "names:\n  0: tumour\n"
    write_whole(out / YOLO, f"train: train.txt\nval: validation.txt\ntest: test.txt\n{names}".encode())
