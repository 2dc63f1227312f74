"""The page of a service that wants a key, in a real browser."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.api.keys import add_key
from service.engine import Engine
from service.settings import Settings
from tests.e2e.conftest import WAIT_MS, Watch
from tests.serving import Running, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def outer_address() -> str:
    """An address of this computer that is not its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this computer has no address but its loopback")
        return str(probe.getsockname()[0])


@pytest.fixture
def keyed(tiny_engine: Engine, tmp_path: Path) -> Iterator[tuple[Running, str]]:
    """A service that other computers reach, and a key for it."""
    key = add_key(tmp_path / "keys.txt", "anna")
    settings = Settings(data_dir=tmp_path / "data", access_keys=tmp_path / "keys.txt")
    with serving(settings, tiny_engine, host=outer_address()) as running:
        yield running, key


@pytest.fixture
def page(browser: Browser, keyed: tuple[Running, str]) -> Iterator[Page]:
    """Its page, as somebody sees it who has given no key yet."""
    url = str(keyed[0].client.base_url).rstrip("/")
    watch = Watch(url, expected=["401 (Unauthorized)"])
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    watch.follow(page)
    page.goto(url)
    yield page
    context.close()
    assert watch.unexpected == []


def give(page: Page, key: str) -> None:
    page.wait_for_selector("#key-form:not([hidden])")
    page.fill("#key", key)
    page.keyboard.press("Enter")


def test_the_page_asks_for_a_key_and_works_with_it(page: Page, keyed: tuple[Running, str]) -> None:
    give(page, "not a key")
    page.wait_for_selector("#problem:has-text('no key of this service')")
    give(page, keyed[1])
    page.wait_for_selector(".sample img[src^='blob:']")
    assert page.locator("#key-form").is_hidden()
    assert page.inner_text("#problem") == ""
    with page.expect_response("**/segment") as caught:
        page.click(".sample >> nth=0")
    assert caught.value.status == 200
    page.wait_for_selector("#result[aria-busy=false]")
    curl = page.text_content("#curl") or ""
    assert "Bearer $BREAST_CASCADE_KEY" in curl
    assert keyed[1] not in page.content()


def test_the_key_lasts_as_long_as_the_tab(page: Page, keyed: tuple[Running, str], browser: Browser) -> None:
    give(page, keyed[1])
    page.wait_for_selector(".sample")
    page.reload()
    page.wait_for_selector(".sample")
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector("#key-form:not([hidden])")
