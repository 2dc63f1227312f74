"""What is in a data set, what is broken, what is there twice, and what leaks between the parts of its split.

Every case is read once, one at a time; a broken one is noted and the check goes on. A problem ``breaks`` when training
on the data set would fail or its measured quality would lie: files that cannot be read, masks of another size or with
undeclared values, two cases of one name, and groups, copies or near-duplicates that are in two folds or two parts of
the split. The rest is worth knowing: copies inside one group, copies in two groups that happen to share a part, empty
masks, masks that were rescaled, a validation part with few lesions.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from training.datasets.case import Case
from training.datasets.grouping import Fingerprint, fingerprint, near_duplicate_pairs
from training.datasets.masks import UndeclaredValue, WrongSize
from training.datasets.pictures import SUFFIXES, eight_bits, picture_size
from training.split import split

UNREADABLE, SIZE, VALUES, NAME, LEAK = "unreadable", "mask size", "mask values", "name", "leak"
UNGROUPED, COPIES, EMPTY, RESCALED = "two groups", "copies in a group", "empty masks", "rescaled mask"
THIN = "thin validation"
BREAKING = (UNREADABLE, SIZE, VALUES, NAME, LEAK)
JOINT = ";"
# Fewer pictures with something in the mask tell epochs apart by chance.
ENOUGH = 5


@dataclass(frozen=True)
class Problem:
    """One thing found; ``text`` says what was found, what was wanted and what to do."""

    kind: str
    text: str

    @property
    def breaks(self) -> bool:
        """Would training fail, or its measured quality lie?"""
        return self.kind in BREAKING


@dataclass(frozen=True)
class Entry:
    """A line of the manifest. Sizes are 0 and ``sha256`` is empty where the picture cannot be read."""

    name: str
    image: str
    masks: str
    group: str
    fold: int
    split: str
    label: str
    source: str
    width: int
    height: int
    sha256: str


@dataclass
class Seen:
    """What reading one case gave."""

    case: Case
    part: str
    size: tuple[int, int] = (0, 0)
    sha256: str = ""
    content: bytes = b""
    print: Fingerprint | None = None
    labels: tuple[int, ...] = ()
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What `check` found: a manifest line per case, the labels in its mask (empty: unread), and every problem."""

    entries: tuple[Entry, ...]
    labels: tuple[tuple[int, ...], ...]
    problems: tuple[Problem, ...]

    @property
    def broken(self) -> bool:
        """Is there a problem that breaks?"""
        return any(problem.breaks for problem in self.problems)

    def counts(self) -> dict[str, Counter[int]]:
        """Pictures per fold: of each class, of each part of the split, with each label in the mask, and in all."""
        counts: dict[str, Counter[int]] = {}
        for entry, labels in zip(self.entries, self.labels, strict=True):
            rows = [f"class {entry.label}"] if entry.label else []
            rows += [f"label {label}" for label in labels if label] + [f"{entry.split} part", "all"]
            for row in rows:
                counts.setdefault(row, Counter())[entry.fold] += 1
        return dict(sorted(counts.items(), key=lambda item: (item[0] == "all", item[0])))


def check(
    cases: Sequence[Case],
    *,
    source: str = "",
    test_fold: int = 0,
    validation: float = 0.12,
    progress: Callable[[Sequence[Case]], Iterable[Case]] = iter,
) -> Report:
    """Read every case and compare it with all others.

    ``source`` is written into the manifest; ``test_fold`` and ``validation`` make the split as training does;
    ``progress`` may wrap the cases to show how far reading is.
    """
    parts = _parts(cases, test_fold, validation)
    digests: dict[Path, str] = {}
    seen = [_read(case, parts.get(id(case), "none"), digests) for case in progress(cases)]
    problems = [problem for one in seen for problem in one.problems]
    problems += [*_names(cases), *_torn(seen), *_copies(seen), *_empty(seen), *_thin(seen)]
    problems.sort(key=lambda problem: (not problem.breaks, problem.kind))
    return Report(tuple(_entry(one, source) for one in seen), tuple(one.labels for one in seen), tuple(problems))


def write_manifest(report: Report, path: Path, root: Path) -> None:
    """Write the lines of a report as CSV, files relative to ``root`` where they lie below it; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.part")
    with half.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [one.name for one in fields(Entry)])
        table.writeheader()
        for entry in report.entries:
            masks = JOINT.join(_relative(mask, root) for mask in entry.masks.split(JOINT) if mask)
            table.writerow(asdict(entry) | {"image": _relative(entry.image, root), "masks": masks})
    half.replace(path)


def _relative(text: str, root: Path) -> str:
    path = Path(text)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else text


def _parts(cases: Sequence[Case], test_fold: int, validation: float) -> Mapping[int, str]:
    """Part of the split by identity of the case: names may be there twice."""
    made = split(cases, test_fold, validation)
    parts = {"train": made.train, "validation": made.validation, "test": made.test}
    return {id(case): name for name, held in parts.items() for case in held}


def _read(case: Case, part: str, digests: dict[Path, str]) -> Seen:
    seen = Seen(case, part)
    try:
        seen.sha256 = digests.get(case.image) or digests.setdefault(case.image, _sha256(case.image))
        picture = case.read_image()
        seen.size = picture.shape[0], picture.shape[1]
        grey = eight_bits(picture)
        if grey.min() < grey.max():
            seen.content = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).digest()
            seen.print = fingerprint(grey)
        _read_mask(seen)
    # Whatever somebody's decoder raises, the file is broken and the next one is to be read.
    except Exception as error:
        seen.problems.append(Problem(_kind(error), f"{case.name}: {' '.join(str(error).split())}"))
    return seen


def _read_mask(seen: Seen) -> None:
    mask = seen.case.read_mask()
    if mask.shape != seen.size:
        raise WrongSize(f"Found a mask of {mask.shape}; wanted {seen.size} as its picture. Mend it or leave it out.")
    seen.labels = tuple(np.flatnonzero(np.bincount(mask.ravel())).tolist())
    for path in seen.case.masks:
        if path.suffix.lower() in SUFFIXES and picture_size(path) != seen.size:
            text = f"{seen.case.name}: Found {picture_size(path)} in {path}; rescaled to {seen.size} (height, width)."
            seen.problems.append(Problem(RESCALED, text))


def _kind(error: Exception) -> str:
    if isinstance(error, WrongSize):
        return SIZE
    return VALUES if isinstance(error, UndeclaredValue) else UNREADABLE


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _names(cases: Sequence[Case]) -> Iterator[Problem]:
    for name, count in Counter(case.name for case in cases).items():
        if count > 1:
            yield Problem(NAME, f"Found {count} cases named {name}; wanted one. Rename or remove the others.")


def _torn(seen: Sequence[Seen]) -> Iterator[Problem]:
    folds: dict[str, set[int]] = {}
    for one in seen:
        folds.setdefault(one.case.group, set()).add(one.case.fold)
    for group, found in folds.items():
        if len(found) > 1:
            listed = ", ".join(map(str, sorted(found)))
            yield Problem(LEAK, f"Found group {group} in folds {listed}; wanted it in one. Move it into one fold.")


def _copies(seen: Sequence[Seen]) -> Iterator[Problem]:
    """Copies and near-duplicates, each pair once: those in two groups one by one, those inside groups as a number."""
    known = [one for one in seen if one.print is not None]
    pairs = near_duplicate_pairs([one.print for one in known if one.print is not None])
    inside: Counter[str] = Counter()
    for one, other in ((known[i], known[j]) for i, j in pairs):
        alike = "identical" if one.content == other.content else "nearly identical"
        if one.case.group == other.case.group:
            inside[alike] += 1
        else:
            yield _across(one, other, alike)
    for alike, count in inside.items():
        yield Problem(COPIES, f"Found {count} pairs of {alike} pictures inside groups; they never come apart.")


def _across(one: Seen, other: Seen, alike: str) -> Problem:
    pair = f"{one.case.name} and {other.case.name}"
    found = f"Found {alike} pictures {pair} in groups {one.case.group} and {other.case.group}"
    if (one.case.fold, one.part) == (other.case.fold, other.part):
        return Problem(UNGROUPED, f"{found}, both of fold {one.case.fold}; wanted one group. Join the groups.")
    parts = " and ".join(f"fold {which.case.fold} ({which.part})" for which in (one, other))
    return Problem(LEAK, f"{found}, {parts}; wanted one group. Join the groups or remove one.")


def _empty(seen: Sequence[Seen]) -> Iterator[Problem]:
    empty = Counter(one.case.category for one in seen if one.labels == (0,))
    for category, count in empty.items():
        of = f" of class {category}" if category else ""
        yield Problem(EMPTY, f"Found {count} pictures{of} with nothing in the mask; say in reports how they count.")


def _thin(seen: Sequence[Seen]) -> Iterator[Problem]:
    held = [one for one in seen if one.part == "validation"]
    shown = sum(any(one.labels) for one in held)
    if shown < ENOUGH:
        yield Problem(
            THIN,
            f"Found {shown} pictures with something in the mask in the validation part of {len(held)}; wanted "
            f"{ENOUGH} to choose the best epoch by, training needs one. Give more cases, or a larger part here "
            "(--validation) and in the recipe.",
        )


def _entry(seen: Seen, source: str) -> Entry:
    case = seen.case
    return Entry(
        name=case.name,
        image=str(case.image),
        masks=JOINT.join(map(str, case.masks)),
        group=case.group,
        fold=case.fold,
        split=seen.part,
        label=case.category,
        source=source,
        width=seen.size[1],
        height=seen.size[0],
        sha256=seen.sha256,
    )
