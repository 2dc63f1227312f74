"""Files and folders in, answers out, without a server: what ``breast-cascade segment`` does."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.api.answer import Format
from service.api.parameters import Parameters
from service.api.work import Order, Product, Read, produce
from service.engine import Engine
from service.errors import BadParameter, InputError, UnusableImage
from service.formats.limits import Limits
from service.formats.raster import read_raster
from service.formats.sniff import sniff

# Enough for every format's signature.
HEAD_BYTES = 64


@dataclass(frozen=True)
class Task:
    """One picture and where its answer goes; None where it is not written."""

    source: Path
    target: Path | None


@dataclass(frozen=True)
class Outcome:
    """What became of one task: a product, or the error that says why there is none."""

    task: Task
    product: Product | None = None
    error: InputError | None = None


@dataclass(frozen=True)
class Wish:
    """What is wanted of every picture, and what decodes it."""

    parameters: Parameters
    format: Format
    limits: Limits
    read: Read = read_raster


def plan(paths: Sequence[Path], output: Path | None, suffix: str) -> list[Task]:
    """One task per picture, folders walked in sorted order with their shape kept below ``output``.

    In a folder only files that begin like a picture count; a file named outright always does. Raises BadParameter when
    two answers would be written to one file, or one over its own picture.
    """
    found = [pair for path in paths for pair in _pictures(path, output, several=len(paths) > 1)]
    stems = Counter(place.with_suffix("") for _, place in found)
    tasks = [Task(source, _target(output, place, suffix, stems)) for source, place in found]
    _check_targets(tasks)
    return tasks


def run(engine: Engine, wish: Wish, tasks: Iterable[Task]) -> Iterator[Outcome]:
    """Work through the tasks one by one; an input that fails is an outcome, not an end."""
    for task in tasks:
        try:
            content = _read(task.source, wish.limits)
            product = produce(engine, Order(content, wish.parameters, wish.format, wish.limits, wish.read))
        except InputError as error:
            yield Outcome(task, error=error)
            continue
        _write(task.target, product.content)
        yield Outcome(task, product)


def _pictures(path: Path, output: Path | None, *, several: bool) -> Iterator[tuple[Path, Path]]:
    """(file, its place below the output) for a file or all pictures of a folder."""
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


def _target(output: Path | None, place: Path, suffix: str, stems: Counter[Path]) -> Path | None:
    if output is None:
        return None
    # scan.png and scan.jpg side by side keep their endings, so that neither answer hides the other.
    stem = place.name if stems[place.with_suffix("")] > 1 else place.stem
    return output / place.parent / f"{stem}{suffix}"


def _check_targets(tasks: Sequence[Task]) -> None:
    targets = Counter(task.target.resolve() for task in tasks if task.target)
    sources = {task.source.resolve() for task in tasks}
    for target, count in targets.items():
        if count > 1 or target in sources:
            raise BadParameter(
                f"{count} answer(s) for {target}, which is {'a picture' if target in sources else 'one file'}",
                "a file of its own for each answer",
                "Choose another output folder, or name the inputs one by one.",
            )


def _read(source: Path, limits: Limits) -> bytes:
    try:
        limits.check_bytes(source.stat().st_size)
        return source.read_bytes()
    except OSError as error:
        raise UnusableImage(
            f"a file that cannot be read ({error.strerror})", "a readable file", "Check its permissions.", "unreadable"
        ) from error


def _write(target: Path | None, content: bytes) -> None:
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
