"""Files on the page: uploads, drops, downloads, what the browser cannot show, a service that fails."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from tests.e2e.looking import SAMPLE, pixels, try_sample, wait_for_answer

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.conftest import Watch

HOSTILE = "<img src=x onerror=alert(1)>.png"


def upload(page: Page, name: str, content: bytes, media_type: str = "image/png") -> dict[str, Any]:
    """Choose a file in the file dialog; what the service said of it."""
    with page.expect_response("**/segment") as caught:
        page.set_input_files("#file", {"name": name, "mimeType": media_type, "buffer": content})
    wait_for_answer(page)
    return dict(caught.value.json())


def png(array: np.ndarray) -> bytes:
    """An array as a PNG file."""
    sink = io.BytesIO()
    Image.fromarray(array).save(sink, "PNG")
    return sink.getvalue()


def test_an_uploaded_file_with_a_hostile_name_is_shown_as_text(page: Page) -> None:
    upload(page, HOSTILE, SAMPLE.read_bytes())
    assert page.inner_text("#picture-facts").startswith(HOSTILE)
    assert HOSTILE in (page.text_content("#progress") or "")
    assert page.locator("img[src=x]").count() == 0
    assert page.locator(".status").count() == 1


def test_a_dropped_file_is_segmented(page: Page) -> None:
    content = base64.b64encode(SAMPLE.read_bytes()).decode()
    with page.expect_response("**/segment"):
        page.evaluate(
            """(content) => {
                 const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
                 const carried = new DataTransfer();
                 carried.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
                 const how = { dataTransfer: carried, bubbles: true, cancelable: true };
                 for (const type of ["dragenter", "dragover", "drop"])
                   document.querySelector("#stage").dispatchEvent(new DragEvent(type, how));
               }""",
            content,
        )
    wait_for_answer(page)
    assert page.inner_text("#picture-facts").startswith("dropped.png")


def test_a_text_file_is_refused_in_words_and_the_next_picture_works(page: Page, watch: Watch) -> None:
    watch.expected.append("status of 415")
    try_sample(page)
    upload(page, "notes.png", b"Dear colleague, this is no picture.")
    problem = page.inner_text("#problem")
    for part in ("Found", "Wanted", "What to do", "unknown_format"):
        assert part in problem
    assert page.get_attribute("#problem", "role") == "alert"
    assert page.locator(".status").count() == 0, "an earlier answer must not stand beside the refusal"
    assert page.locator("#downloads-block").is_hidden()
    assert page.locator("#box-draw").is_disabled()
    try_sample(page)
    assert page.inner_text("#problem") == ""
    assert page.locator(".status").count() == 1


def _tiff() -> bytes:
    sink = io.BytesIO()
    Image.open(SAMPLE).save(sink, "TIFF")
    return sink.getvalue()


def _deep_png() -> bytes:
    grey = np.asarray(Image.open(SAMPLE).convert("L")).astype(np.uint16) * 16  # 12 bits of 16
    return png(grey)


@pytest.mark.parametrize(("name", "make"), [("scan.tif", _tiff), ("deep.png", _deep_png)])
def test_what_the_browser_cannot_show_is_drawn_by_the_service(page: Page, name: str, make: Callable[[], bytes]) -> None:
    upload(page, name, make())
    assert "the service’s own overlay is shown" in page.inner_text("#picture-note")
    assert page.locator(".status").count() == 1
    assert pixels(page)[..., :3].max() > 60


def _volume() -> bytes:
    """A phantom through four slices of 2 mm, its axes as a picture has them."""
    plane = np.asarray(Image.open(SAMPLE).convert("L"))
    volume = nibabel.Nifti1Image(np.repeat(plane.T[..., None], 4, axis=2), np.diag([-0.1, -0.1, 2, 1]))
    volume.header.set_xyzt_units("mm")
    return bytes(volume.to_bytes())


def cells(page: Page) -> dict[str, str]:
    """The first finding's row by the heads of the table."""
    heads = page.locator(".findings thead th").all_inner_texts()
    return dict(zip(heads, page.locator(".findings tbody tr").first.locator("th, td").all_inner_texts(), strict=True))


def test_of_a_volume_the_longest_diameter_in_space_is_shown(page: Page) -> None:
    answer = upload(page, "volume.nii", _volume(), "application/octet-stream")
    finding = answer["findings"][0]
    assert finding["slices"] == [0, 4]
    assert finding["longest_mm"] > finding["long_axis_mm"]
    shown = cells(page)
    assert shown["Longest in 3-D"] == f"{finding['longest_mm']:.1f} mm"
    assert shown["Long × short"] == f"{finding['long_axis_mm']:.1f} × {finding['short_axis_mm']:.1f} mm"
    assert shown["Volume"] == f"{finding['volume_ml']:.2f} mL"
    assert "those of the largest slice" in page.inner_text("#report")
    try_sample(page)
    assert "Longest in 3-D" not in cells(page)
    assert "those of the largest slice" not in page.inner_text("#report")


def test_a_turned_photograph_has_the_same_size_here_and_there(page: Page) -> None:
    upright = Image.open(SAMPLE).convert("L")
    sink = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: turn by 90 degrees to show
    upright.transpose(Image.Transpose.ROTATE_90).save(sink, "JPEG", exif=exif, quality=95)
    upload(page, "turned.jpg", sink.getvalue(), "image/jpeg")
    assert f"{upright.width} × {upright.height} px" in page.inner_text("#picture-facts")
    assert page.locator("#picture-note").is_hidden()


def test_downloads_are_the_services_own_files(page: Page, server_url: str) -> None:
    answer = try_sample(page)
    size = (answer["image"]["width"], answer["image"]["height"])
    for title, suffix in {"Mask PNG": "-mask.png", "Overlay PNG": "-overlay.png"}.items():
        with page.expect_download() as caught:
            page.click(f"#downloads button:text-is('{title}')")
        assert caught.value.suggested_filename == SAMPLE.stem + suffix
        with Image.open(caught.value.path()) as image:
            assert image.size == size
    with page.expect_download() as caught:
        page.click("#downloads button:text-is('JSON')")
    assert json.loads(Path(caught.value.path()).read_text())["findings"] == answer["findings"]
    assert f"{server_url}/segment?pipeline=ultrasound" in (page.text_content("#curl") or "")


def test_a_busy_service_is_reported_with_its_waiting_time(page: Page, watch: Watch) -> None:
    watch.expected.append("status of 429")
    problem = {"title": "The waiting line is full", "code": "busy", "found": "a full line", "wanted": "a free place"}
    page.route(
        "**/segment", lambda route: route.fulfill(status=429, headers={"Retry-After": "3"}, body=json.dumps(problem))
    )
    page.click(".sample >> nth=0")
    page.wait_for_selector(".problem")
    assert "3 s" in page.inner_text("#problem")
    assert "The waiting line is full" in page.inner_text("#problem")


def test_a_service_that_is_gone_is_reported_as_such(page: Page, watch: Watch) -> None:
    watch.expected.append("net::ERR_")
    page.route("**/segment", lambda route: route.abort())
    page.click(".sample >> nth=0")
    page.wait_for_selector(".problem")
    assert "still running" in page.inner_text("#problem")


def test_a_newer_picture_ends_the_wait_for_an_older_one(page: Page) -> None:
    page.route("**/segment", lambda _: None)  # never answered
    page.click(f".sample:has(img[src$='{SAMPLE.name}'])")
    page.wait_for_selector("body.asking")
    page.unroute("**/segment")
    try_sample(page, "ultrasound_phantom_2.png")
    assert page.inner_text("#picture-facts").startswith("ultrasound_phantom_2.png")
    assert page.inner_text("#problem") == ""
