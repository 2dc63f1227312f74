"""One order from bytes to bytes: who looks on is told, and what is not wanted is not kept."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, field, replace

import nibabel
import numpy as np
import pytest
from pydicom.uid import RLELossless

from service.answers.outputs import OFFERED
from service.answers.parameters import read_parameters
from service.answers.work import Order, Product, produce
from service.engine import Engine, LoadedPipeline, Request
from service.formats.limits import DEFAULT_LIMITS
from service.formats.read import read_image
from tests.fakes import FakeNetwork, cascade, spec
from tests.service.formats.dicom_files import enhanced_mr, saved
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


def sliced(z: int, form: str) -> Order:
    frames = np.stack([square(10 + z, 20, 12) for z in range(DEPTH)])
    made = enhanced_mr(frames, [(0, 0, 2 * z) for z in reversed(range(DEPTH))])
    made.Modality = "US"
    return Order(
        saved(made, RLELossless),
        read_parameters([("pipeline", "tiny"), ("slice", str(z))]),
        OFFERED[form],
        DEFAULT_LIMITS,
    )


def told(content: bytes) -> object:
    """An answer, in JSON without its times."""
    if not content.startswith(b"{"):
        return content
    return re.sub(rb'"(timings_ms|milliseconds)":({[^}]*}|[0-9.e-]+)', b"", content)


@pytest.mark.parametrize("form", OFFERED)
def test_an_answer_about_one_slice_does_not_tell_that_the_others_were_not_decoded(
    tiny_engine: Engine, form: str
) -> None:
    for z in (0, 4, DEPTH - 1):
        order = sliced(z, form)
        every = replace(order, read=lambda content, options: read_image(content, replace(options, around=None)))
        part, whole = produce(tiny_engine, order), produce(tiny_engine, every)
        assert (part.answer.image.held, whole.answer.image.held) == ((z, z + 1), None)
        assert part.answer.result.status == "found"
        assert told(part.content) == told(whole.content)


def test_a_network_that_looks_at_neighbours_has_them() -> None:
    """The lesion is what is bright two slices on, which the first channel of a stack does not show."""
    last = FakeNetwork(lambda batch: {"logits": 20 * (batch[:, 4:] - 0.5)}, (5, 64, 64))
    stack = cascade((spec("lesion", size=(64, 64), input={"slices": "stack:5"}), last))
    engine = Engine((LoadedPipeline(stack.manifest, "", True, stack, {}),))
    assert engine.around(Request()) == engine.around(Request("fake")) == 2
    assert engine.around(Request("other")) == 0
    # The first frame shows the last slice.
    for z, frame in ((3, DEPTH - 6), (DEPTH - 1, 0)):
        order = replace(sliced(z, "json"), parameters=read_parameters([("slice", str(z))]))
        answer = produce(engine, order).answer
        assert answer.image.held == (z - 2, min(z + 3, DEPTH))
        np.testing.assert_array_equal(answer.result.mask.labels[z], square(10 + frame, 20, 12) > 0)


def test_a_volumes_finding_is_measured_through_its_slices(tiny_engine: Engine) -> None:
    (finding,) = made(tiny_engine, "nifti").answer.findings
    assert finding.slices == (1, DEPTH - 1)
    assert finding.volume_ml == pytest.approx(8 * 144 / 1000)
    # From a face of the first square to one of the last, seven slices deeper and seven pixels further.
    assert finding.longest_mm == pytest.approx(np.linalg.norm((19 - 1, 12 - 1, 7)), abs=1)
