"""A real service in a process of its own and a real Chromium to look at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from service.demo import running_service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# No sandbox: tests run as root in containers. The rest keeps the browser from calling home during the test.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Long, for a machine that trains beside its tests; that the service is ready within 30 s is measured elsewhere.
WAIT_MS = 120_000
READY_WITHIN = 120.0


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Address of the service, started as `breast-cascade serve` starts it, on a free port and with its own data."""
    with running_service(READY_WITHIN) as client:
        yield str(client.base_url).rstrip("/")


# Not for the whole session: while it is open, playwright keeps an event loop running in this thread, and tests of other
# modules in the same process could start none.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Skips, and says so, where it or playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser tests")
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip("no Chromium on this machine: no browser tests (Debian: apt install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Watch:
    """What a page did that it must never do. ``expected`` are parts of console errors that a test provokes."""

    home: str
    offences: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        """Start watching."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.offences.append(f"uncaught: {error}"))
        page.on("request", self._request)
        page.on("dialog", lambda dialog: (self.offences.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.offences.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme != "blob" and f"{parts.scheme}://{parts.netloc}" != self.home:
            self.offences.append(f"request to another host: {request.url}")

    @property
    def unexpected(self) -> list[str]:
        """Offences that no test asked for; violations of the content security policy come as console errors."""
        return [one for one in self.offences if not any(part in one for part in self.expected)]


@pytest.fixture
def watch(server_url: str) -> Iterator[Watch]:
    """The watch over the page of this test; at its end nothing unexpected may have happened."""
    watch = Watch(server_url)
    yield watch
    assert watch.unexpected == []


@pytest.fixture
def page(browser: Browser, server_url: str, watch: Watch) -> Iterator[Page]:
    """The service's page, loaded and ready, on a desktop screen."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    watch.follow(page)
    page.goto(server_url)
    page.wait_for_selector(".sample")
    yield page
    context.close()
