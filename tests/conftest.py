"""What every test shares: how long hypothesis may search, and a pipeline small enough to predict."""

import logging
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest
from hypothesis import settings

from service.engine import Engine
from service.settings import Settings
from tests import tiny_pipeline
from tests.serving import DECODERS, serving
from tests.untraced import untraced

# No deadline: two busy cores make honest code slow now and then. The number of examples keeps the suite short.
settings.register_profile("house", deadline=None, max_examples=60, print_blob=True)
settings.load_profile("house")


# Coverage is asked of the service, which tests of its own cover. Tracing makes torch's exporter take twice as long.
UNTRACED = {"benchmarks", "chaos", "models", "training", "test_packaging.py"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Coverage looks away from `UNTRACED`, from their fixtures too."""
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    with untraced() if folder in UNTRACED else nullcontext():
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def data_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Services that are given no data folder keep their jobs where the session's files lie."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def decoders_closed() -> Iterator[None]:
    """The decoding processes that the servers of this session share end with it."""
    yield
    DECODERS.close()


@pytest.fixture
def loggers_restored() -> Iterator[None]:
    """For tests that send the service's log to a stderr which is gone after them."""
    loggers = [logging.getLogger(name) for name in ("breast_cascade", "uvicorn")]
    before = [(one.handlers, one.level, one.propagate) for one in loggers]
    yield
    for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
        one.handlers, one.propagate = handlers, propagate
        one.setLevel(level)


@pytest.fixture(scope="session")
def tiny_pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipelines directory that holds `tests.tiny_pipeline` alone."""
    return tiny_pipeline.write(tmp_path_factory.mktemp("pipelines"))


@pytest.fixture(scope="session")
def tiny_engine(tiny_pipelines: Path) -> Engine:
    """The engine over `tiny_pipelines`, on one thread."""
    return Engine.open([tiny_pipelines], "cpu", 1)


@pytest.fixture(scope="session")
def tiny_client(tiny_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a real server over `tiny_engine`, for tests that leave it as it was."""
    data = tmp_path_factory.mktemp("data")
    with serving(Settings(data_dir=data, max_bytes=200_000, max_pixels=1_000_000), tiny_engine) as running:
        yield running.client
