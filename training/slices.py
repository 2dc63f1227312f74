"""Which volume a slice belongs to, by the name of its case: ``<volume>_z012``."""

from __future__ import annotations

import re

from training.datasets.case import Case

_SLICE = re.compile(r"_z(\d+)$")


def volume_of(case: Case) -> str:
    """The volume's name, empty for a picture that is no slice."""
    return _SLICE.sub("", case.name) if _SLICE.search(case.name) else ""


def place_of(case: Case) -> int:
    """The slice's number in its volume. Raises ValueError for a picture that is no slice."""
    found = _SLICE.search(case.name)
    if found is None:
        raise ValueError(f"Found case {case.name}; wanted a slice, called VOLUME_zNUMBER. Rename it.")
    return int(found.group(1))
