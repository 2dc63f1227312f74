"""Files and folders in, answers out, without a server: what ``breast-cascade segment`` does."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from service.answers.outputs import Format
from service.answers.parameters import Parameters
from service.answers.work import Order, Product, Read, produce
from service.engine import Engine
from service.errors import BadParameter, InputError, UnusableImage
from service.formats.archive import bundled
from service.formats.dicom_series import series_of
from service.formats.limits import Limits
from service.formats.read import read_image
from service.formats.sniff import HEAD_BYTES, sniff

# As much as stands before the pixels of a slice, and far more.
DICOM_HEAD_BYTES = 1 << 20


@dataclass(frozen=True)
class Task:
    """One picture or volume and where its answer goes; None where it is not written.

    ``source`` names it: its file, or the first of the ``files`` of a DICOM series.
    """

    source: Path
    target: Path | None
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of one task: a product, or the error that says why there is none; further files written for it."""

    task: Task
    product: Product | None = None
    error: InputError | None = None
    parts: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What is wanted of every picture, and what decodes it."""

    parameters: Parameters
    format: Format
    limits: Limits
    read: Read = read_image


def plan(paths: Sequence[Path], output: Path | None, suffix: str) -> list[Task]:
    """One task per picture or DICOM series, folders walked in sorted order with their shape kept below ``output``.

    In a folder only files that begin like a picture count; a file named outright always does. Slices of one series in
    one folder are one task, called like the folder where it holds nothing else. Raises BadParameter when two answers
    would be written to one file, or one over its own picture.
    """
    found = _grouped([pair for path in paths for pair in pictures(path, output, several=len(paths) > 1)])
    stems = Counter(_stem(place) for _, place in found)
    tasks = [Task(files[0], _target(output, place, suffix, stems), files) for files, place in found]
    _check_targets(tasks)
    return tasks


def run(engine: Engine, wish: Wish, tasks: Sequence[Task]) -> Iterator[Outcome]:
    """Work through the tasks one by one; an input that fails is an outcome, not an end."""
    sources = {file.resolve() for task in tasks for file in task.files}
    for task in tasks:
        try:
            content = _content(task.files, wish.limits)
            product = produce(engine, Order(content, wish.parameters, wish.format, wish.limits, wish.read))
            parts = _parts(task.target, product, sources)
        except InputError as error:
            yield Outcome(task, error=error)
            continue
        task = replace(task, target=_named(task.target, wish.format, product))
        for target, written in ((task.target, product.content), *parts.items()):
            _write(target, written)
        yield Outcome(task, product, parts=tuple(parts))


def pictures(path: Path, output: Path | None, *, several: bool) -> Iterator[tuple[Path, Path]]:
    """(file, its place below the output) for a file, or for all pictures of a folder but those in the output.

    With ``several`` inputs each folder's name is part of the place.
    """
    if not path.is_dir():
        yield path, Path(path.name)
        return
    below = Path(path.resolve().name) if several else Path()
    for file in _files(path, output):
        if _is_picture(file):
            yield file, below / file.relative_to(path)


def _files(folder: Path, output: Path | None) -> Iterator[Path]:
    own = output.resolve() if output else None
    for where, folders, names in os.walk(folder):
        # Earlier answers are no input, and what begins with a dot was not put there by hand.
        folders[:] = sorted(n for n in folders if n[0] != "." and (Path(where) / n).resolve() != own)
        yield from (Path(where) / name for name in sorted(names) if name[0] != ".")


def _is_picture(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return sniff(stream.read(HEAD_BYTES)) is not None


def _grouped(found: Sequence[tuple[Path, Path]]) -> list[tuple[tuple[Path, ...], Path]]:
    """(files, place) of each picture, the slices of a series put together."""
    groups: dict[tuple[Path, str], list[tuple[Path, Path]]] = {}
    for number, (file, place) in enumerate(found):
        groups.setdefault((file.parent, _series(file) or f"file {number}"), []).append((file, place))
    crowded = Counter(folder for folder, _ in groups)
    return [_group(pairs, alone=crowded[folder] == 1) for (folder, _), pairs in groups.items()]


def _group(pairs: Sequence[tuple[Path, Path]], *, alone: bool) -> tuple[tuple[Path, ...], Path]:
    files, place = tuple(file for file, _ in pairs), pairs[0][1]
    if len(files) > 1 and alone:
        name = place.parent.name or files[0].resolve().parent.name
        place = place.parent.parent / f"{name}.dcm"
    return files, place


def _series(file: Path) -> str | None:
    """UID of the series that a file is a slice of, None for every other file."""
    if not file.is_file():
        return None
    with file.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
        return series_of(head + stream.read(DICOM_HEAD_BYTES)) if sniff(head) == "dicom" else None


def _stem(place: Path) -> Path:
    name = place.name.removesuffix(".gz") if place.name.endswith(".nii.gz") else place.name
    return place.with_name(name).with_suffix("")


def _target(output: Path | None, place: Path, suffix: str, stems: Counter[Path]) -> Path | None:
    if output is None:
        return None
    # scan.png and scan.jpg side by side keep their endings, so that neither answer hides the other.
    stem = place.name if stems[_stem(place)] > 1 else _stem(place).name
    return output / place.parent / f"{stem}{suffix}"


def _check_targets(tasks: Sequence[Task]) -> None:
    targets = Counter(task.target.resolve() for task in tasks if task.target)
    sources = {file.resolve() for task in tasks for file in task.files}
    for target, count in targets.items():
        if count > 1 or target in sources:
            raise BadParameter(
                f"{count} answer(s) for {target}, which is {'a picture' if target in sources else 'one file'}",
                "a file of its own for each answer",
                "Choose another output folder, or name the inputs one by one.",
            )


def _content(files: Sequence[Path], limits: Limits) -> bytes:
    contents = [_read(file, limits) for file in files]
    return contents[0] if len(contents) == 1 else bundled(contents)


def _read(source: Path, limits: Limits) -> bytes:
    try:
        limits.check_bytes(source.stat().st_size)
        return source.read_bytes()
    except OSError as error:
        raise UnusableImage(
            f"a file that cannot be read ({error.strerror})", "a readable file", "Check its permissions.", "unreadable"
        ) from error


def _named(target: Path | None, wished: Format, product: Product) -> Path | None:
    """Where the answer goes, now that it is known whether it is a volume's; None where it has no content."""
    if target is None or not product.content:
        return None
    return target.with_name(target.name.removesuffix(wished.suffix) + product.format.suffix)


def _parts(target: Path | None, product: Product, sources: Set[Path]) -> dict[Path, bytes]:
    """Files beside the answer's own, of a format that has them. Raises BadParameter where one would hide a picture."""
    form = product.format
    if target is None or form.parts is None:
        return {}
    stem = target.name.removesuffix(form.suffix)
    found = {target.with_name(stem + form.suffix_of(name)): part for name, part in form.parts(product.answer).items()}
    for path in found:
        if path.resolve() in sources:
            raise BadParameter(
                f"the picture {path.name} where an answer goes", "a place of its own", "Choose another output folder."
            )
    return {path: part for path, part in found.items() if part is not None}


def _write(target: Path | None, content: bytes) -> None:
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
