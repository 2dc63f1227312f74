"""What commands let one choose; apart, so that ``--help`` need not wait for torch."""

from __future__ import annotations

from enum import StrEnum


class Part(StrEnum):
    """Which part of the split is measured."""

    test = "test"
    validation = "validation"


class Regions(StrEnum):
    """Where a network looks: ``none``, the whole picture; ``detector``, a localiser's boxes; ``truth``, true boxes.

    True boxes are an oracle: they tell where to look and, where there are none, that there is nothing.
    """

    none = "none"
    detector = "detector"
    truth = "truth"


class Source(StrEnum):
    """Where stage 2 of a cascade is taught to look.

    ``folds``: one more stage 1 for each fold that is not tested on, trained without it, gives the boxes of that fold.
    ``held_out``: no further training; stage 1 gives the boxes of the validation part, and training uses true boxes,
    jittered. Cheaper, but stage 2 never learns from a real miss.
    """

    folds = "folds"
    held_out = "held_out"
