"""One order from bytes to bytes: who looks on is told, and what is not wanted is not kept."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field

import nibabel
import numpy as np
import pytest

from service.answers.outputs import OFFERED
from service.answers.parameters import read_parameters
from service.answers.work import Order, Product, produce
from service.engine import Engine
from service.formats.limits import DEFAULT_LIMITS
from tests.tiny_pipeline import square

DEPTH = 10
STEPS = [("localise", 0, 8), ("localise", 4, 8), ("localise", 8, 8), ("lesion", 0, 8), ("lesion", 4, 8),
         ("lesion", 8, 8), ("classify", 0, 1), ("classify", 1, 1)]  # fmt: skip


def order(form: str) -> Order:
    """A volume as NIfTI, its first and last slice black."""
    bright = [square(10 + z, 20, 12) for z in range(DEPTH - 2)]
    slices = np.stack([np.zeros((64, 64), np.uint8), *bright, np.zeros((64, 64), np.uint8)])
    content = gzip.compress(nibabel.Nifti1Image(slices.transpose(2, 1, 0), np.eye(4)).to_bytes())
    return Order(content, read_parameters([("pipeline", "tiny")]), OFFERED[form], DEFAULT_LIMITS)


@dataclass
class Onlooker:
    steps: list[tuple[str, int, int]] = field(default_factory=list)

    def step(self, stage: str, done: int, total: int) -> None:
        self.steps.append((stage, done, total))


def made(engine: Engine, form: str) -> Product:
    return produce(engine, order(form))


def test_a_watch_is_told_of_every_batch(tiny_engine: Engine) -> None:
    watch = Onlooker()
    product = produce(tiny_engine, order("json"), watch=watch)
    assert watch.steps == STEPS
    assert product.answer.flags[-1].code == "empty_slices"
    assert b"2 of 10 slices not looked at" in product.content


def test_without_a_watch_the_check_ends_the_work_between_batches(tiny_engine: Engine) -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 4:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        produce(tiny_engine, order("json"), check)
    # Before and after decoding, at the start of a stage and after its first batch.
    assert len(calls) == 4


def test_probabilities_of_a_volume_are_kept_where_they_are_written(tiny_engine: Engine) -> None:
    assert made(tiny_engine, "nifti").answer.result.patches == ()
    written = made(tiny_engine, "probability")
    assert len(written.answer.result.patches) == DEPTH - 2
    volume = np.asarray(nibabel.Nifti1Image.from_bytes(gzip.decompress(written.content)).dataobj)
    assert volume.max() == pytest.approx(1, abs=1e-3)


def test_a_volumes_finding_is_measured_through_its_slices(tiny_engine: Engine) -> None:
    (finding,) = made(tiny_engine, "nifti").answer.findings
    assert finding.slices == (1, DEPTH - 1)
    assert finding.volume_ml == pytest.approx(8 * 144 / 1000)
    # From a face of the first square to one of the last, seven slices deeper and seven pixels further.
    assert finding.longest_mm == pytest.approx(np.linalg.norm((19 - 1, 12 - 1, 7)), abs=1)
