"""A pipeline that somebody trained, served beside the one that ships: the page lists both and asks the chosen one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from service.engine import BUNDLED, Engine
from service.settings import Settings
from tests import tiny_pipeline
from tests.e2e.looking import try_sample, wait_for_answer
from tests.serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAME = "ultrasound_own"


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with a further pipeline in its folder, as the setting pipelines_dir names it."""
    root = tiny_pipeline.write(tmp_path_factory.mktemp("pipelines"), name=NAME)
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), pipelines_dir=root)
    assert settings.pipeline_roots == (BUNDLED, root)
    with serving(settings, Engine.open(settings.pipeline_roots, "cpu", 1)) as running:
        yield str(running.client.base_url).rstrip("/")


def test_the_own_pipeline_is_listed_chosen_and_asked(page: Page) -> None:
    listed = page.locator("#pipeline option").all_inner_texts()
    assert {"Ultrasound 1.0.0", "Ultrasound own 1.0.0"} <= set(listed)
    assert try_sample(page)["pipeline"] == "ultrasound"
    with page.expect_response("**/segment") as caught:
        page.select_option("#pipeline", label="Ultrasound own 1.0.0")
    wait_for_answer(page)
    assert (caught.value.json()["pipeline"], caught.value.json()["version"]) == (NAME, "1.0.0")
    sink = io.BytesIO()
    Image.fromarray(tiny_pipeline.square(16, 20, 24)).save(sink, "PNG")
    with page.expect_response("**/segment") as caught:
        page.set_input_files("#file", {"name": "own.png", "mimeType": "image/png", "buffer": sink.getvalue()})
    wait_for_answer(page)
    assert caught.value.json()["pipeline"] == NAME
    assert caught.value.json()["findings"][0]["box"] == [16, 20, 40, 44]
