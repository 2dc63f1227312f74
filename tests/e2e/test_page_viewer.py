"""The page's viewer: opacity, contours, side by side, zoom, drawn boxes, the keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np

from tests.e2e.looking import pixels, try_sample, wait_for_answer

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.conftest import Watch


def picture_at(page: Page, share_x: float, share_y: float) -> tuple[float, float, int, int]:
    """Move the pointer over the canvas; its place on the screen and the picture's pixel that the page reads there."""
    area = page.locator("#picture-canvas").bounding_box()
    assert area
    x, y = area["x"] + area["width"] * share_x, area["y"] + area["height"] * share_y
    page.mouse.move(x, y)
    match = re.search(r"x (\d+)\s+y (\d+)", page.inner_text("#readout"))
    assert match
    return x, y, int(match[1]), int(match[2])


def to_screen(page: Page) -> Callable[[float, float], tuple[float, float]]:
    """From the picture's pixels to the screen, measured on the page itself."""
    x0, y0, column0, row0 = picture_at(page, 0.4, 0.4)
    x1, y1, column1, row1 = picture_at(page, 0.6, 0.6)
    scale_x, scale_y = (x1 - x0) / (column1 - column0), (y1 - y0) / (row1 - row0)
    return lambda x, y: (x0 + (x - column0) * scale_x, y0 + (y - row0) * scale_y)


def record_sent(page: Page) -> None:
    """From now on keep the fields of every form the page sends; the browser's own protocol hides those with files."""
    page.evaluate(
        """() => {
             const plain = window.fetch;
             window.fetch = (path, options) => {
               if (options?.body instanceof FormData) window.sent = Object.fromEntries(options.body);
               return plain(path, options);
             };
           }"""
    )


def last_sent(page: Page) -> dict[str, Any]:
    """Fields of the last form."""
    return page.evaluate("window.sent")


def tab_to(page: Page, selector: str, limit: int = 80) -> None:
    """Press Tab until the focus is on ``selector``, as somebody without a mouse would."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by Tab")


def test_the_opacity_slider_changes_the_picture_and_back(page: Page) -> None:
    try_sample(page)
    before = pixels(page)
    page.fill("#opacity", "90")
    strong = pixels(page)
    assert (strong != before).any()
    assert page.inner_text("#opacity-value") == "90 %"
    page.fill("#opacity", "35")
    assert np.array_equal(pixels(page), before)


def test_the_contour_can_be_switched_off(page: Page) -> None:
    try_sample(page)
    page.fill("#opacity", "0")
    outlined = pixels(page)
    page.uncheck("#contour")
    plain = pixels(page)
    changed = (outlined != plain).any(axis=2)
    assert changed.any()
    assert changed.mean() < 0.1  # a line, not an area


def test_side_by_side_shows_the_picture_untouched_and_the_mask_in_its_colour(page: Page, server_url: str) -> None:
    try_sample(page)
    page.check("input[name=mode][value=side]", force=True)
    page.uncheck("#contour")
    pipelines = httpx.get(f"{server_url}/pipelines", trust_env=False).json()["pipelines"]
    color = next(one for one in pipelines if one["name"] == "ultrasound")["labels"][0]["color"]
    mask = pixels(page, "#mask-canvas")
    assert (mask[..., :3] == color).all(axis=2).any()
    picture = pixels(page).astype(int)
    assert (abs(picture[..., 0] - picture[..., 2]) < 3).mean() > 0.97  # grey but for a number tag
    assert page.locator("#opacity").is_disabled()


def test_zoom_and_fit(page: Page) -> None:
    try_sample(page)
    fitted = pixels(page)
    page.click("#zoom-in")
    assert (pixels(page) != fitted).any()
    page.click("#zoom-fit")
    assert np.array_equal(pixels(page), fitted)


def test_a_row_lights_its_outline_and_a_click_in_the_picture_its_row(page: Page) -> None:
    finding = try_sample(page)["findings"][0]
    row = page.locator(f"tr[data-finding='{finding['id']}']")
    plain = pixels(page)
    row.hover()
    assert (pixels(page) != plain).any()
    x, y = to_screen(page)(*finding["contour"][0])
    cx, cy = to_screen(page)(*finding["centroid"][:2])
    page.mouse.click(x + (cx - x) * 0.1, y + (cy - y) * 0.1)
    assert "chosen" in (row.get_attribute("class") or "")
    assert row.locator("button").get_attribute("aria-pressed") == "true"
    page.mouse.click(*to_screen(page)(1, 1))
    assert row.locator("button").get_attribute("aria-pressed") == "false"


def test_a_drawn_box_is_sent_and_takes_the_place_of_stage_one(page: Page) -> None:
    box = try_sample(page)["findings"][0]["box"]
    record_sent(page)
    place = to_screen(page)
    page.click("#box-draw")
    page.mouse.move(*place(box[0], box[1]))
    page.mouse.down()
    page.mouse.move(*place(box[2], box[3]), steps=6)
    with page.expect_response("**/segment"):
        page.mouse.up()
    wait_for_answer(page)
    fields = last_sent(page)
    assert fields["box"] == ",".join(page.input_value(f"#box-{side}") for side in ("left", "top", "right", "bottom"))
    assert np.allclose([int(edge) for edge in fields["box"].split(",")], box, atol=3)
    assert page.locator("[data-localisation=given]").count() >= 1
    with page.expect_response("**/segment"):
        page.click("#box-clear")
    wait_for_answer(page)
    assert "box" not in last_sent(page)
    assert page.input_value("#box-left") == ""


def test_escape_leaves_the_drawing_of_a_box(page: Page) -> None:
    try_sample(page)
    page.click("#box-draw")
    assert page.get_attribute("#box-draw", "aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert page.get_attribute("#box-draw", "aria-pressed") == "false"


def test_half_a_box_is_explained_and_not_sent(page: Page) -> None:
    try_sample(page)
    page.fill("#box-left", "10")
    page.click("#box-apply")
    assert "Fill in all four fields" in page.inner_text("#problem")


def test_a_box_outside_the_picture_is_the_services_to_refuse(page: Page, watch: Watch) -> None:
    watch.expected.append("status of 422")
    try_sample(page)
    for side, value in {"left": 9000, "top": 9000, "right": 9100, "bottom": 9100}.items():
        page.fill(f"#box-{side}", str(value))
    with page.expect_response("**/segment"):
        page.click("#box-apply")
    wait_for_answer(page)
    assert "What to do" in page.inner_text("#problem")
    assert page.locator(".status").count() == 0


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    tab_to(page, "#file")
    tab_to(page, ".sample")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "focus must be seen"
    with page.expect_response("**/segment") as caught:
        page.keyboard.press("Enter")
    wait_for_answer(page)
    left, top, right, bottom = caught.value.json()["findings"][0]["box"]
    record_sent(page)
    tab_to(page, "#box-left")
    for edge in (left, top, right, bottom):
        page.keyboard.type(str(edge))
        page.keyboard.press("Tab")
    with page.expect_response("**/segment"):
        page.keyboard.press("Enter")  # the focus stands on "Segment box"
    wait_for_answer(page)
    assert last_sent(page)["box"] == f"{left},{top},{right},{bottom}"
    assert page.locator("[data-localisation=given]").count() >= 1
    if page.locator(".finding-name").count():
        plain = pixels(page)
        tab_to(page, ".finding-name")
        assert (pixels(page) != plain).any()
        page.keyboard.press("Enter")
        assert page.get_attribute(".finding-name", "aria-pressed") == "true"
    tab_to(page, "#card-block summary")
    page.keyboard.press("Enter")
    assert page.locator("#card").is_visible()
