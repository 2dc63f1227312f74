"""The page in a real browser against the real service: what a person does with it, and what it must never do."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
from PIL import Image

import service
from tests.e2e.looking import SAMPLE, SAMPLES, pixels, try_sample, wait_for_answer

if TYPE_CHECKING:
    from playwright.sync_api import Page


WEB = Path(service.__file__).parent / "web"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
NOTICE = "Research use only. Not a medical device."


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
