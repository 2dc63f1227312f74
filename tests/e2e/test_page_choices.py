"""What a pipeline leaves to whoever asks, on the page: enhancement, region, and the by-products of the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from service.demo import running_service
from tests import tiny_mammography as tiny
from tests.e2e.conftest import READY_WITHIN
from tests.e2e.looking import wait_for_answer
from tests.e2e.test_page_viewer import last_sent, record_sent
from tests.service.asking import png

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

FILM = {"name": "film.png", "mimeType": "image/png", "buffer": png(tiny.breast())}


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that has the tiny mammography pipeline beside its own."""
    root = tiny.write(tmp_path_factory.mktemp("mammography"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BREAST_CASCADE_PIPELINES_DIR", str(root))
        with running_service(READY_WITHIN) as client:
            yield str(client.base_url).rstrip("/")


@pytest.fixture
def film(page: Page) -> Page:
    """The page after the film was answered, its requests recorded."""
    record_sent(page)
    page.select_option("#pipeline", label="Mammography 1.0.0")
    page.wait_for_selector("#enhance-line:not([hidden])")
    asked(page, lambda: page.set_input_files("#file", FILM))
    return page


def asked(page: Page, act: Callable[[], Any]) -> dict[str, Any]:
    """Do something that makes the page ask; the answer it got."""
    with page.expect_response("**/segment") as caught:
        act()
    wait_for_answer(page)
    return caught.value.json()


def test_the_switch_beside_the_picture_asks_again_and_the_answer_says_so(film: Page) -> None:
    assert film.locator(".tools #enhance").is_visible()
    assert film.locator("#enhance label").all_inner_texts() == ["As trained", "None", "CLAHE", "Adaptive CLAHE"]
    assert film.locator("#enhance input:checked").get_attribute("value") == ""
    assert "enhance" not in last_sent(film)
    answer = asked(film, lambda: film.click("#enhance label:has-text('Adaptive')"))
    assert last_sent(film)["enhance"] == "adaptive_clahe"
    assert answer["provenance"]["preprocessing"]["stages"]["lesion"]["enhance"] == "adaptive_clahe"
    assert "Enhanced otherwise than in training" in film.inner_text("#report .flags")
    assert "enhance=adaptive_clahe" in (film.text_content("#curl") or "")
    asked(film, lambda: film.click("#enhance label:has-text('As trained')"))
    assert "enhance" not in last_sent(film)
    assert film.locator("#report .flags", has_text="Enhanced otherwise").count() == 0


def test_the_switch_is_worked_by_the_keyboard(film: Page) -> None:
    film.focus("#enhance input:checked")
    asked(film, lambda: film.keyboard.press("ArrowRight"))
    assert last_sent(film)["enhance"] == "none"


def test_the_region_is_chosen_and_a_box_takes_its_place(film: Page) -> None:
    assert film.input_value("#roi") == "breast"
    answer = asked(film, lambda: film.select_option("#roi", "full"))
    assert (last_sent(film)["roi"], len(answer["findings"])) == ("full", 3)
    assert "looked at the whole picture" in film.inner_text("#report .stages")
    for side, value in {"left": 8, "top": 24, "right": 30, "bottom": 40}.items():
        film.fill(f"#box-{side}", str(value))
    answer = asked(film, lambda: film.click("#box-apply"))
    assert "roi" not in last_sent(film)
    assert answer["stages"][1]["localisation"] == "given"


def test_measurements_stand_with_what_they_are_not(film: Page) -> None:
    block = film.inner_text("#measurements")
    assert "percent density" in block.lower()
    assert "17.50 %" in block
    assert "no BI-RADS category" in block
    assert "not known" in block


def test_another_pipeline_offers_nothing_of_it(film: Page) -> None:
    asked(film, lambda: film.click("#enhance label:has-text('Adaptive')"))
    answer = asked(film, lambda: film.select_option("#pipeline", label="Ultrasound 1.0.0"))
    assert answer["pipeline"] == "ultrasound"
    assert "enhance" not in last_sent(film)
    film.wait_for_selector("#enhance-line", state="hidden")
    assert film.locator("#roi-line").is_hidden()


def test_nothing_sticks_out_of_a_narrow_window(film: Page) -> None:
    film.set_viewport_size({"width": 400, "height": 800})
    assert film.evaluate("document.documentElement.scrollWidth") <= 400
