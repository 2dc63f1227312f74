"""The region that a request chooses for a later stage: which labels make it, how it is cropped, what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.canvas import Canvas, Decided
from service.cascade import Ask
from service.engine import Answer, Engine, Request
from service.errors import BadParameter, ManifestError
from service.image import Region
from service.regions import chosen_regions
from tests import tiny_mammography as tiny
from tests.fakes import FakeNetwork, cascade, picture, spec, threshold, volume
from tests.service.checkpointed import Desk, Ended, at_every_batch, told
from tests.service.pipelines import edited

SIZE = (32, 32)
IN_DENSE, IN_FAT, IN_AIR = (12, 28, 16, 34), (20, 46, 24, 50), (56, 2, 60, 6)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine.open((tiny.write(tmp_path_factory.mktemp("mammography")),), "cpu")


def ask(engine: Engine, roi: str | None = None, plane: np.ndarray | None = None) -> Answer:
    return engine.segment(picture(tiny.breast() if plane is None else plane, modality="MG"), Request(roi=roi))


def boxes(answer: Answer) -> list[tuple[int, int, int, int]]:
    return sorted(one.box for one in answer.findings)


def near(found: list[Any], wanted: list[Any]) -> bool:
    """The same boxes but for a pixel at each side, which resizing a crop may take."""
    return len(found) == len(wanted) and bool(np.abs(np.subtract(found, sorted(wanted))).max(initial=0) <= 1)


def codes(answer: Answer) -> set[str]:
    return {flag.code for flag in answer.flags}


@pytest.mark.parametrize(
    ("roi", "found", "looked"),
    [
        # Each with 2 pixels around, two hundredths of the picture's side; cut where the picture ends.
        ("fibroglandular", [IN_DENSE], (6, 22, 30, 42)),
        ("breast", [IN_DENSE, IN_FAT], (0, 6, 42, 58)),
        (None, [IN_DENSE, IN_FAT], (0, 6, 42, 58)),
        ("full", [IN_DENSE, IN_FAT, IN_AIR], (0, 0, 64, 64)),
    ],
)
def test_the_chosen_region_is_looked_at_and_pasted_back(
    engine: Engine, roi: str | None, found: list[Any], looked: tuple[int, int, int, int]
) -> None:
    answer = ask(engine, roi)
    assert near(boxes(answer), found)
    stage = answer.result.stages[1]
    (look,) = stage.regions
    assert look.region.box == looked
    chosen = roi or "breast"
    wide = roi == "full"
    assert (stage.localisation, look.label) == (("whole_image", None) if wide else ("found", chosen))
    assert ("whole_image_asked" in codes(answer)) == wide
    preprocessing = answer.provenance["preprocessing"]
    assert isinstance(preprocessing, dict)
    assert preprocessing["roi"] == chosen


def test_stage_1_stays_as_it_is(engine: Engine) -> None:
    image = picture(tiny.breast(), modality="MG")
    masks = [engine.segment(image, Request(roi=roi, stage="tissue")).result.mask for roi in tiny.REGIONS]
    for mask in masks:
        np.testing.assert_array_equal(mask.labels, masks[0].labels)


def test_no_such_tissue_is_a_miss_and_said(engine: Engine) -> None:
    plane = np.zeros((64, 64), np.uint8)
    plane[10:30, 10:30] = tiny.PECTORAL
    answer = ask(engine, "fibroglandular", plane)
    assert answer.result.stages[1].localisation == "whole_image"
    assert "whole_image_fallback" in codes(answer)


@pytest.mark.parametrize("roi", ["armpit", "lesion"])
def test_an_unknown_choice_is_told_with_what_is_offered(engine: Engine, roi: str) -> None:
    with pytest.raises(BadParameter, match=rf"Found roi={roi}; wanted one of fibroglandular, breast, full, for pipel"):
        ask(engine, roi)


def test_a_pipeline_without_regions_offers_none() -> None:
    run = cascade((spec("lesion"), threshold(SIZE)))
    with pytest.raises(BadParameter, match="Found roi=breast; wanted no roi: it leaves no such choice, for pipeline"):
        run.run(picture(tiny.breast()), Ask(roi="breast"))


def test_a_given_box_goes_before_the_region(engine: Engine) -> None:
    request = Request(boxes=(Region(16, 44, 30, 54),))
    answer = engine.segment(picture(tiny.breast(), modality="MG"), request)
    assert near(boxes(answer), [IN_FAT])
    assert answer.result.stages[1].localisation == "given"


@given(st.integers(0, 2**32 - 1))
def test_the_largest_component_of_all_labels_together_is_kept(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (24, 30)).astype(np.uint8) * (rng.random((24, 30)) < 0.6)
    certainty = rng.random((24, 30)).astype(np.float32)
    canvas = Canvas(Region(0, 0, 30, 24), {1: "fat", 2: "gland", 3: "muscle"}, [1, 2, 3])
    canvas.put(Decided(Region(0, 0, 30, 24), labels.astype(np.uint8), certainty))
    found = chosen_regions(canvas, "breast", ("fat", "gland"))
    wanted = np.isin(labels, (1, 2))
    components = _flooded(wanted)
    if not components:
        assert found == []
        return
    (one,) = found
    most = max(len(pixels) for pixels in components)
    fitting = [pixels for pixels in components if len(pixels) == most]
    boxes_ = [(min(x), min(y), max(x) + 1, max(y) + 1) for y, x in (zip(*pixels, strict=True) for pixels in fitting)]
    assert one.region.box in boxes_
    means = [float(np.mean([certainty[at] for at in pixels])) for pixels in fitting]
    assert any(one.score == pytest.approx(mean, abs=1e-5) for mean in means)
    assert one.label == "breast"


def _flooded(plane: np.ndarray) -> list[list[tuple[int, int]]]:
    """8-connected components, the slow way."""
    left, found = set(zip(*np.nonzero(plane), strict=True)), []
    while left:
        waiting, pixels = [left.pop()], []
        while waiting:
            y, x = waiting.pop()
            pixels.append((int(y), int(x)))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            waiting += near
        found.append(pixels)
    return found


def _volume_cascade() -> Any:
    parts = FakeNetwork(lambda x: {"logits": 9 * np.concatenate([0.3 - x, x * 0, x - 0.6], 1)}, (1, *SIZE), batch=2)
    regions = {"gland": ("gland",), "all": ("fat", "gland"), "full": ()}
    return cascade(
        (spec("tissue", labels=("fat", "gland"), exclusive=True), parts),
        (spec("lesion", on="tissue", regions=regions, region="all"), threshold(SIZE, 0.8)),
    )


@pytest.mark.parametrize("roi", ["gland", "all", "full"])
def test_a_volume_has_a_region_in_each_slice_also_after_a_restart(roi: str) -> None:
    slices = np.zeros((5, 64, 64), np.uint8)
    for z in (0, 1, 3, 4):
        slices[z, 8 : 40 + z, 8:40] = 115
        slices[z, 16:30, 12 : 24 + z] = 200
    run, image = _volume_cascade(), volume(slices)
    undisturbed = run.run(image, Ask(roi=roi))
    looks = [(look.region.z0, look.label) for look in undisturbed.stages[1].regions]
    assert looks == [(z, None if roi == "full" else roi) for z in (0, 1, 3, 4)]
    with at_every_batch():
        for step in range(1, 6):
            desk = Desk(step)
            with pytest.raises(Ended):
                run.run(image, Ask(roi=roi), desk)
            assert told(run.run(image, Ask(roi=roi), Desk(kept=desk.kept))) == told(undisturbed)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"region": "armpit"}, "stage lesion has no region armpit, wanted one of"),
        ({"region": None}, "stage lesion has regions and needs region"),
        ({"regions": {}}, "stage lesion has no region breast, wanted one of"),
        ({"label": "adipose"}, "it must look at an earlier stage, at no label of it"),
        ({"on": "image"}, "it must look at an earlier stage, at no label of it"),
        ({"regions": {"breast": ["skin"]}}, "region breast of stage lesion wants labels that tissue does not outline"),
    ],
)
def test_wrong_regions_are_refused(tmp_path: Path, changes: dict[str, Any], found: str) -> None:
    root = tiny.write(tmp_path)
    edited(root / tiny.NAME / tiny.VERSION, lambda raw: raw["stages"][1].update(changes))
    with pytest.raises(ManifestError, match=found):
        Engine.open((root,), "cpu")
