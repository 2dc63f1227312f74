"""Results that lie in an output folder already and need not be made again, told by the content they were made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from service.errors import DamagedFile
from service.jobs.item_outputs import folder_of
from service.jobs.model import Done, ItemRow, NewItem, StoredFile
from service.jobs.report import is_timings
from service.jobs.store import Store, verified


@dataclass(frozen=True)
class _Result:
    """A file of an earlier item; ``path`` is None where it lies in the store alone."""

    file: StoredFile
    path: Path | None


@dataclass
class Kept:
    """Results of earlier items, each whole still.

    Attributes:
        output: the folder that they lie in.
        store: where those lie that were not put there yet.
        in_place: files that later items use where they are.
    """

    output: Path
    store: Store
    in_place: set[Path] = field(default_factory=set)
    _items: dict[str, tuple[ItemRow, list[_Result]]] = field(default_factory=dict)

    def add(self, items: Iterable[ItemRow]) -> None:
        """Remember those of the items that are done and whose results are what was written."""
        for item in items:
            if item.state == "succeeded" and (results := self._results(item)):
                self._items[item.sha256] = item, results

    @property
    def digests(self) -> frozenset[str]:
        """Of the contents that the results were made of."""
        return frozenset(self._items)

    def done(self, item: NewItem, n: int, job_id: str) -> NewItem:
        """The item with the results of its content, where there are any; what must be renamed is put into the store."""
        if item.problem is not None or item.sha256 not in self._items:
            return item
        earlier, results = self._items[item.sha256]
        stems = folder_of(earlier.n, earlier.name), folder_of(n, item.name)
        named = {one.file.name: one.file.name.replace(*stems) for one in results}
        files = tuple(self._kept(one, named[one.file.name], f"jobs/{job_id}/{n}/0") for one in results)
        return replace(item, done=Done(files, _renamed(earlier.summary, named)))

    def _results(self, item: ItemRow) -> list[_Result]:
        """None of them unless all are whole."""
        try:
            return [self._result(file) for file in item.files if not is_timings(file)]
        except DamagedFile:
            return []

    def _result(self, file: StoredFile) -> _Result:
        path = self.output / file.name
        if is_written(path, file):
            return _Result(file, path)
        for _ in verified(self.store, file):
            pass
        return _Result(file, None)

    def _kept(self, one: _Result, name: str, prefix: str) -> StoredFile:
        key = f"{prefix}/{Path(name).name}"
        if one.path == self.output / name:
            self.in_place.add(one.path)
        elif one.path is not None:
            with one.path.open("rb") as content:
                self.store.put(key, content)
        else:
            with self.store.open(one.file.key) as content:
                self.store.put(key, content)
        return replace(one.file, name=name, key=key)


def _renamed(summary: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, object]:
    outputs = {output: named[name] for output, name in summary["outputs"].items()}
    return {**summary, "outputs": outputs}


def is_written(path: Path, file: StoredFile) -> bool:
    """Whether a file of an output folder is what was written there, byte for byte."""
    return path.is_file() and path.stat().st_size == file.bytes and digest_of(path) == file.sha256


def digest_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
