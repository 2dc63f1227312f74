"""Mammography sets to one table of enhanced pictures, as the tissue-to-cancer cascade trains on.

1. Every picture as 8-bit grey, on request with the chest wall at its left, then median 3 x 3 and CLAHE 1.5 / 8 x 8 (or
   the adaptive kind, or nothing), by `service.enhance`, which also serves; on request shrunk.
2. All masks of a picture as one PNG of 0 and 255.
3. ``unified.csv``, read by `training.datasets.unified_csv`. Patients of different sets who share a near-duplicate
   picture become one group: CBIS-DDSM and Mini-DDSM are both parts of DDSM under other identifiers.
4. On request without pictures that have no lesion, without outliers, and as a zip.

A picture that is finished is not done again. What cannot be read, and masks that do not fit, are left out and listed
with the reason in ``left_out.csv``.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.enhance import adaptive_clahe, canonical_side, median_clahe
from service.errors import BreastCascadeError
from service.preprocess import resize
from training.datasets.case import Case, read_grey
from training.datasets.grouping import Fingerprint, connected, fingerprint, near_duplicate_pairs
from training.datasets.patients import laterality_and_view
from training.datasets.pictures import eight_bits
from training.datasets.tables import csv_rows
from training.datasets.unified_csv import TABLE, Entry, write
from training.prepare.disk import check_space, png, write_whole
from training.prepare.outliers import check_enough, features, outliers

Grey = NDArray[np.uint8]
SETTINGS, LEFT_OUT = "prepare.json", "left_out.csv"
# Room for one picture and its mask, whatever it is.
PICTURE_BYTES = 10**8


@dataclass(frozen=True)
class MammographyOptions:
    """What the pictures become.

    Attributes:
        enhance: ``clahe`` is median 3 x 3 and CLAHE 1.5 / 8 x 8.
        canonical: mirror so that the chest wall is at the left.
        longest: greatest side in pixels, 0 to leave the size.
        empty: keep pictures without a lesion.
        outliers: share of the pictures with a lesion to leave out as outliers, 0 for none.
    """

    enhance: Literal["none", "clahe", "adaptive_clahe"] = "clahe"
    canonical: bool = False
    longest: int = 0
    empty: bool = True
    outliers: float = 0.0


@dataclass(frozen=True)
class Made:
    """A finished picture: where it came from and where it lies, relative to the table."""

    source: str
    case: Case
    tested: bool

    @property
    def image(self) -> str:
        """Its enhanced picture."""
        return f"images/{self.source}/{self.case.name}.png"

    @property
    def mask(self) -> str:
        """Its mask of 0 and 255."""
        return f"masks/{self.source}/{self.case.name}.png"


def prepare_mammography(
    sets: Mapping[str, Sequence[Case]],
    out: Path,
    options: MammographyOptions | None = None,
    *,
    official: Collection[str] = (),
    progress: Callable[[Sequence[Made]], Iterable[Made]] = iter,
) -> Path:
    """Write pictures, masks and the table of all sets below ``out``; return the table's path.

    ``sets`` are cases by the name that becomes their ``source``. For those in ``official`` fold 0 is a published test
    part: the table then has a split, and a group that a tested picture belongs to is tested whole. ``progress`` may
    wrap the pictures to show how far it is: once while they are made, once while they are compared.

    Raises:
        ValueError: ``out`` was prepared otherwise, nothing is left, or too few pictures to find outliers among.
        OSError: the disk is full.
    """
    options = options or MammographyOptions()
    _same_settings(out, options)
    listed = [Made(name, case, name in official and case.fold == 0) for name, cases in sets.items() for case in cases]
    _check_names(listed)
    if options.outliers > 0:
        # Before hours of pictures; how many of them show a lesion is known only behind them.
        check_enough(len(listed))
    left_out: dict[str, str] = {}
    for made in progress(listed):
        left_out |= _tried(made, out, options)
    left_out |= _emptied(listed, left_out, out, options) | _odd(listed, left_out, out, options)
    kept = [made for made in listed if made.image not in left_out]
    _write_left_out(left_out, out)
    if not kept:
        raise ValueError(f"Found no picture to keep of {len(listed)}; wanted some. {out / LEFT_OUT} says why.")
    prints = [fingerprint(read_grey(out / made.image)) for made in progress(kept)]
    write(_entries(kept, _groups(kept, prints), bool(official)), out / TABLE)
    return out / TABLE


def zipped(out: Path) -> Path:
    """Everything the table needs as ``OUT.zip``, whole or not at all. Raises OSError on a full disk."""
    path, half = out.with_name(f"{out.name}.zip"), out.with_name(f".{out.name}.zip.part")
    rows = csv_rows(out / TABLE, ("image", "mask"))
    files = [out / TABLE, *(out / row[kind] for row in rows for kind in ("image", "mask"))]
    check_space(out.parent, sum(file.stat().st_size for file in files) + PICTURE_BYTES, path.name)
    # PNGs do not get smaller.
    with zipfile.ZipFile(half, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.write(file, file.relative_to(out).as_posix())
    half.replace(path)
    return path


def _same_settings(out: Path, options: MammographyOptions) -> None:
    """Only what changes the pictures must agree: rows are chosen anew each time."""
    settings = {name: value for name, value in asdict(options).items() if name not in ("empty", "outliers")}
    path = out / SETTINGS
    if not path.is_file():
        write_whole(path, json.dumps(settings, indent=1).encode())
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != settings:
        raise ValueError(f"Found {out} prepared with {found}; wanted {settings}. Choose another folder.")


def _check_names(listed: Iterable[Made]) -> None:
    repeated = [name for name, count in Counter(made.image for made in listed).items() if count > 1]
    if repeated:
        raise ValueError(f"Found {repeated[0]} twice; wanted each name once in a set. Rename or remove one.")


def _tried(made: Made, out: Path, options: MammographyOptions) -> dict[str, str]:
    # The mask is written last: its presence says that the picture is finished.
    if (out / made.mask).is_file():
        return {}
    check_space(out, PICTURE_BYTES, made.case.name)
    try:
        picture, mask = made.case.read_image(), made.case.read_mask()
    except (OSError, ValueError, BreastCascadeError) as error:
        return {made.image: " ".join(str(error).split())}
    picture, mask = _processed(eight_bits(picture), mask, options)
    write_whole(out / made.image, png(picture))
    write_whole(out / made.mask, png((mask > 0).astype(np.uint8) * np.uint8(255)))
    return {}


def _processed(picture: Grey, mask: Grey, options: MammographyOptions) -> tuple[Grey, Grey]:
    if options.canonical:
        picture, flipped = canonical_side(picture)
        mask = mask[:, ::-1] if flipped else mask
    if options.enhance != "none":
        picture = median_clahe(picture) if options.enhance == "clahe" else adaptive_clahe(picture)
    height, width = picture.shape
    if not 0 < options.longest < max(height, width):
        return picture, mask
    scale = options.longest / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return resize(picture, *size), resize(np.ascontiguousarray(mask), *size, interpolation="nearest")


def _emptied(
    listed: Iterable[Made], left_out: Mapping[str, str], out: Path, options: MammographyOptions
) -> dict[str, str]:
    if options.empty:
        return {}
    kept = (made for made in listed if made.image not in left_out)
    return {made.image: "no lesion in the mask" for made in kept if not read_grey(out / made.mask).any()}


def _odd(listed: Iterable[Made], left_out: Mapping[str, str], out: Path, options: MammographyOptions) -> dict[str, str]:
    if options.outliers <= 0:
        return {}
    rows: dict[str, NDArray[np.float32]] = {}
    for made in listed:
        mask = None if made.image in left_out else read_grey(out / made.mask)
        if mask is not None and mask.any():
            rows[made.image] = features(read_grey(out / made.image), mask)
    odd = outliers(np.array(list(rows.values())), options.outliers)
    return {image: "outlier" for image, is_odd in zip(rows, odd, strict=True) if is_odd}


def _write_left_out(left_out: Mapping[str, str], out: Path) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("image", "reason"), *sorted(left_out.items())])
    write_whole(out / LEFT_OUT, text.getvalue().encode())


def _entries(kept: Sequence[Made], groups: Sequence[str], split: bool) -> list[Entry]:
    tested = {group for made, group in zip(kept, groups, strict=True) if made.tested}
    entries = []
    for made, group in zip(kept, groups, strict=True):
        laterality, view = laterality_and_view(made.case.name)
        entries.append(
            Entry(
                image=made.image,
                mask=made.mask,
                patient=made.case.group,
                laterality=laterality,
                view=view,
                label=made.case.category,
                split=("test" if group in tested else "train") if split else "",
                source=made.source,
                group=group,
            )
        )
    return entries


def _groups(kept: Sequence[Made], prints: Sequence[Fingerprint]) -> list[str]:
    """Patients, joined where pictures of two of them are near-duplicates; named after the first."""
    patients = [f"{made.source} {made.case.group}" for made in kept]
    first: dict[str, int] = {}
    links = [(first.setdefault(patient, index), index) for index, patient in enumerate(patients)]
    links += near_duplicate_pairs(prints)
    numbers = connected(len(kept), ((i, j) for i, j in links if i != j))
    names: dict[int, str] = {}
    return [names.setdefault(number, patient) for number, patient in zip(numbers, patients, strict=True)]
