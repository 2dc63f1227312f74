"""The page in a real browser against the real service: what a person does with it, and what it must never do."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image

import service

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.conftest import Watch

WEB = Path(service.__file__).parent / "web"
SAMPLES = Path(service.__file__).parent / "samples"
SAMPLE = SAMPLES / "ultrasound_phantom_1.png"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
NOTICE = "Research use only. Not a medical device."
HOSTILE = "<img src=x onerror=alert(1)>.png"


# ---- doing and looking ----------------------------------------------------------------------------------------------


def wait_for_answer(page: Page) -> None:
    """Until the request under way is answered and drawn."""
    page.wait_for_selector("#result[aria-busy=false]")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def try_sample(page: Page, name: str = SAMPLE.name) -> dict[str, Any]:
    """Click a bundled phantom; the JSON answer the page got for it."""
    with page.expect_response("**/segment") as caught:
        page.click(f".sample:has(img[src$='{name}'])")
    wait_for_answer(page)
    return caught.value.json()


def upload(page: Page, name: str, content: bytes, media_type: str = "image/png") -> None:
    """Choose a file in the file dialog."""
    with page.expect_response("**/segment"):
        page.set_input_files("#file", {"name": name, "mimeType": media_type, "buffer": content})
    wait_for_answer(page)


def pixels(page: Page, canvas: str = "#picture-canvas") -> np.ndarray:
    """What a canvas shows, (height, width, 4)."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    address = page.evaluate("(canvas) => document.querySelector(canvas).toDataURL('image/png')", canvas)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA"))


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


def png(array: np.ndarray) -> bytes:
    """An array as a PNG file."""
    sink = io.BytesIO()
    Image.fromarray(array).save(sink, "PNG")
    return sink.getvalue()


# ---- first sight ----------------------------------------------------------------------------------------------------


def test_the_page_comes_with_its_strict_policy_and_its_notice(page: Page, server_url: str) -> None:
    answer = httpx.get(server_url, trust_env=False)
    assert answer.headers["content-security-policy"] == POLICY
    assert NOTICE in page.inner_text(".bar-notice")
    assert page.locator(".bar-notice").is_visible()


@pytest.mark.parametrize("width", [1440, 900, 400])
def test_nothing_sticks_out_and_the_notice_stays_at_every_width(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    try_sample(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    notice = page.locator(".bar-notice").bounding_box()
    assert notice
    assert 0 <= notice["y"] < 100


def test_every_control_has_a_name(page: Page) -> None:
    try_sample(page)
    nameless = page.evaluate(
        """() => {
             const labelled = (one) => [...(one.labels ?? [])].some((label) => label.textContent.trim());
             return [...document.querySelectorAll("button, input, select, summary, a")]
               .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || labelled(one)))
               .map((one) => one.outerHTML);
           }"""
    )
    assert nameless == []


def test_the_pipelines_card_is_shown_as_text(page: Page, server_url: str) -> None:
    card = httpx.get(f"{server_url}/pipelines/ultrasound", trust_env=False).json()["card"]
    page.click("#card-block summary")
    title = re.search(r"^#\s+(.*?)\s*$", card, re.MULTILINE)
    assert title
    assert page.inner_text("#card h3 >> nth=0") == re.sub(r"[*`]", "", title[1])
    assert page.locator("#card table").count() == len(
        re.findall(r"^\|?[ :|-]*-{2,}[ :|-]*\|[ :|-]*$", card, re.MULTILINE)
    )


# ---- answers --------------------------------------------------------------------------------------------------------


def test_a_phantom_shows_findings_and_mask(page: Page) -> None:
    answer = try_sample(page)
    assert answer["status"] == "found"
    assert page.locator(".findings tbody tr").count() == len(answer["findings"])
    with_mask = pixels(page)
    page.fill("#opacity", "0")
    page.uncheck("#contour")
    without = pixels(page)
    changed = (with_mask != without).any(axis=2)
    # Fill and outline cover the finding and hardly more; the picture is drawn at its own aspect ratio.
    left, top, right, bottom = answer["findings"][0]["box"]
    drawn_rows, drawn_columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if len(answer["findings"]) == 1:
        aspect = (drawn_columns[-1] - drawn_columns[0]) / (drawn_rows[-1] - drawn_rows[0])
        assert aspect == pytest.approx((right - left) / (bottom - top), rel=0.06)


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.glob("*.png")))
def test_the_page_says_what_the_service_said(page: Page, sample: str) -> None:
    answer = try_sample(page, sample)
    assert page.get_attribute(".status", "data-status") == answer["status"]
    assert page.locator(".findings tbody tr").count() == len(answer["findings"])
    assert page.locator(".stages > li").count() == len(answer["stages"])
    shown = page.inner_text("#report")
    for flag in answer["flags"]:
        assert flag["text"] in shown
    level = {"demonstration": "Demonstration: not validated on patients.", "validated": "Validated on held-out images"}
    assert level[answer["evidence"]] in shown
    scores = answer["classification"]["scores"]
    assert page.locator(".scores dt").count() == len(scores or {})
    if scores is None:
        assert answer["classification"]["reason"] in shown


def test_the_mask_decoded_in_the_browser_is_the_mask_of_the_service(page: Page, server_url: str) -> None:
    answer = try_sample(page)
    labels = base64.b64decode(
        page.evaluate(
            """async (mask) => {
                 const { decodeMask } = await import("/static/rle.js");
                 const { pipelines } = await (await fetch("/pipelines")).json();
                 const known = pipelines.find(({ name }) => name === "ultrasound").labels;
                 let text = "";
                 for (const value of decodeMask(mask, known).labels) text += String.fromCharCode(value);
                 return btoa(text);
               }""",
            answer["mask"],
        )
    )
    with SAMPLE.open("rb") as picture:
        reply = httpx.post(
            f"{server_url}/segment", files={"file": picture}, data={"format": "mask"}, trust_env=False, timeout=60
        )
    wanted = np.asarray(Image.open(io.BytesIO(reply.content)))
    assert wanted.any()
    assert np.array_equal(np.frombuffer(labels, np.uint8).reshape(wanted.shape), wanted)


@pytest.mark.parametrize("bad", ["?", "0", "[[[[[[[[[[[[["])
def test_run_lengths_that_do_not_fit_are_refused(page: Page, bad: str) -> None:
    refused = page.evaluate(
        """async (counts) => {
             const { decodeMask } = await import("/static/rle.js");
             try { decodeMask({ size: [4, 5], labels: { lesion: counts } }, []); return null; }
             catch (error) { return error.message; }
           }""",
        bad,
    )
    assert refused
    assert "mask of the answer" in refused


def test_the_three_kinds_of_no_finding_read_differently(page: Page) -> None:
    headlines = page.evaluate(
        """async () => {
             const { statusWords } = await import("/static/report.js");
             const headline = (status) => statusWords({ status, findings: [{}] })[1];
             return ["found", "none_found", "not_evaluated"].map(headline);
           }"""
    )
    assert headlines == ["One finding", "Nothing found", "Not evaluated"]


def test_a_pixel_size_turns_pixels_into_millimetres(page: Page) -> None:
    answer = try_sample(page)
    assert "No scale is known" in page.inner_text("#report")
    assert "mm" not in page.inner_text(".findings tbody")
    page.fill("#spacing", "0.1")
    with page.expect_response("**/segment"):
        page.press("#spacing", "Tab")
    wait_for_answer(page)
    assert f"{answer['findings'][0]['area_px'] * 0.01:.1f} mm²" in page.inner_text(".findings tbody")
    assert "the spacing that was given" in page.inner_text("#report")


# ---- the viewer -----------------------------------------------------------------------------------------------------


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


# ---- pointing with a box --------------------------------------------------------------------------------------------


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


# ---- files ----------------------------------------------------------------------------------------------------------


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


# ---- when the service fails -----------------------------------------------------------------------------------------


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


# ---- text stays text ------------------------------------------------------------------------------------------------


def test_markup_in_a_card_stays_text(page: Page) -> None:
    hostile = (
        "# <img src=x onerror=alert(1)>\n\n"
        "[go](javascript:alert(1)) <script>alert(1)</script>\n\n"
        "| <b>a</b> | b |\n|---|--:|\n| `x` | **y** |\n"
    )
    tags, text = page.evaluate(
        """async (hostile) => {
             const { renderMarkdown } = await import("/static/card.js");
             const box = document.createElement("div");
             box.append(...renderMarkdown(hostile));
             return [[...box.querySelectorAll("*")].map((node) => node.localName), box.textContent];
           }""",
        hostile,
    )
    assert set(tags) <= {"h3", "p", "div", "table", "thead", "tbody", "tr", "th", "td", "code", "strong"}
    assert "<img src=x onerror=alert(1)>" in text
    assert "<script>" in text


def test_the_sources_are_small_and_fetch_nothing_from_elsewhere() -> None:
    files = [path for path in WEB.iterdir() if path.suffix in {".js", ".css", ".html", ".svg"}]
    assert files
    for path in files:
        text = path.read_text()
        assert len(text.splitlines()) < 300, path.name
        assert "innerHTML" not in text, path.name
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path.name


# ---- without a mouse ------------------------------------------------------------------------------------------------


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
