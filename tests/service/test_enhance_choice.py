"""How a request may have the picture enhanced: what is offered, what the networks then see, what the answer says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.cascade import Ask, Cascade
from service.choices import as_asked
from service.engine import Engine, Request
from service.errors import BadParameter, ManifestError
from service.manifest import Manifest
from service.preprocess import prepare
from service.stages import build_stage
from tests import tiny_mammography as tiny
from tests.fakes import FakeNetwork, manifest, picture, spec

SIZE = (32, 32)
OFFERED = ("none", "clahe", "adaptive_clahe")


def card(trained: str, offered: tuple[str, ...] = OFFERED) -> Manifest:
    one = manifest([spec("lesion", input={"enhance": trained})])
    return Manifest.model_validate({**one.model_dump(by_alias=True), "enhance": offered})


def noise() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 90, (32, 32)).astype(np.uint8)


@pytest.mark.parametrize(
    ("trained", "asked", "used"),
    [
        ("median_clahe", None, "median_clahe"),
        ("median_clahe", "clahe", "median_clahe"),
        ("clahe", "clahe", "clahe"),
        ("none", "clahe", "clahe"),
        ("median_clahe", "none", "none"),
        ("median_clahe", "adaptive_clahe", "adaptive_clahe"),
        ("adaptive_clahe", "clahe", "clahe"),
    ],
)
def test_the_network_sees_what_was_asked_and_another_choice_is_flagged(
    trained: str, asked: str | None, used: str
) -> None:
    seen: list[Any] = []
    network = FakeNetwork(lambda x: (seen.append(x.copy()), {"logits": x})[1], (1, *SIZE))
    made = card(trained)
    run = Cascade(made, (build_stage(made.stages[0], {"network": network}),))
    flags = run.run(picture(noise()), Ask(enhance=asked)).flags
    wanted, _ = prepare(noise()[..., np.newaxis], spec("lesion", input={"enhance": used}).input)
    np.testing.assert_array_equal(seen[0][0], wanted)
    texts = [flag.text for flag in flags if flag.code == "enhancement_changed"]
    said = f"stage lesion with {used}, its weights learned with {trained}"
    assert (len(texts), all(said in text for text in texts)) == (int(used != trained), True)
    assert as_asked(made, None, asked).stages[0].input.enhance == used


def test_the_answer_tells_the_enhancement(tmp_path: Path) -> None:
    engine = Engine.open((tiny.write(tmp_path),), "cpu")
    answer = engine.segment(picture(tiny.breast(), modality="MG"), Request(enhance="adaptive_clahe"))
    preprocessing = answer.provenance["preprocessing"]
    assert isinstance(preprocessing, dict)
    assert {one["enhance"] for one in preprocessing["stages"].values()} == {"adaptive_clahe"}
    (flag,) = (flag for flag in answer.flags if flag.code == "enhancement_changed")
    assert flag.text == (
        "Enhanced otherwise than in training: stage tissue with adaptive_clahe, its weights learned with none; stage "
        "lesion with adaptive_clahe, its weights learned with none. The card's figures do not hold for this answer."
    )


@pytest.mark.parametrize(
    ("offered", "found"),
    [
        (("none", "clahe"), r"Found enhance=adaptive_clahe; wanted one of none, clahe, for pipeline fake 1\.0\.0"),
        ((), r"Found enhance=adaptive_clahe; wanted no enhance: it leaves no such choice, for pipeline fake 1\.0\.0"),
    ],
)
def test_what_is_not_offered_is_refused(offered: tuple[str, ...], found: str) -> None:
    with pytest.raises(BadParameter, match=found):
        as_asked(card("none", offered), None, "adaptive_clahe")


def test_nothing_asked_is_the_same_pipeline() -> None:
    made = card("clahe")
    assert as_asked(made, None, None) is made
    assert as_asked(made, None, "clahe") is made


def test_a_manifest_offers_what_the_contract_names(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"field enhance\.0 = 'sharpen'; wanted Input should be 'none', 'clahe' or"):
        Engine.open((tiny.write(tmp_path, enhance=["sharpen"]),), "cpu")
