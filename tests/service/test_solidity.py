"""Solidity of a region in parts; the figure itself is tested beside `training.metrics.shape`, which uses it."""

from __future__ import annotations

import numpy as np
import pytest

from service.solidity import mean_solidity, solidity


def test_parts_count_by_their_area() -> None:
    plane = np.zeros((40, 60), bool)
    plane[5:25, 5:25] = True
    plane[5:35, 30:50] = True
    plane[15:35, 40:50] = False
    whole, cut = plane[5:25, 5:25], plane[5:35, 30:50]
    wanted = (whole.sum() + cut.sum() * solidity(cut)) / plane.sum()
    assert mean_solidity(plane) == pytest.approx(wanted)
    assert solidity(plane) < mean_solidity(plane)


def test_specks_do_not_count() -> None:
    plane = np.zeros((10, 10), bool)
    plane[2:6, 2:6] = True
    assert mean_solidity(plane) is None
    assert mean_solidity(plane, speck=15) == 1.0
