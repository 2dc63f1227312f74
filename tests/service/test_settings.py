"""Settings from the environment, and cores from the quota."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import onnxruntime
import pytest

from service.engine import BUNDLED
from service.errors import SetupError
from service.settings import PREFIX, Settings, available_threads, read_settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/share")
    settings = read_settings()
    assert settings.data_dir == Path("/srv/share/breast-cascade")
    assert (settings.device, settings.access) == ("auto", "on")
    assert settings.pipeline_roots == (BUNDLED,)
    assert settings.limits.max_bytes == settings.max_bytes


def test_data_lies_in_the_home_without_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert read_settings().data_dir == Path.home() / ".local" / "share" / "breast-cascade"


def test_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts = {"DATA_DIR": str(tmp_path), "PIPELINES_DIR": "/srv/pipelines", "DEVICE": "cuda:1", "ACCESS": "off"}
    texts |= {"THREADS": "3", "SLOTS": "4", "GPU_MEMORY": "2147483648"}
    for name, text in texts.items():
        monkeypatch.setenv(PREFIX + name, text)
    settings = read_settings()
    assert (settings.data_dir, settings.device, settings.access) == (tmp_path, "cuda:1", "off")
    # The later one wins.
    assert settings.pipeline_roots == (BUNDLED, Path("/srv/pipelines"))
    assert (settings.network_threads, settings.slots, settings.gpu_memory) == (3, 4, 2**31)


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "PIPELINES_DIR", "")
    assert read_settings().pipelines_dir is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DEVICE", "tpu"),
        ("ACCESS", "maybe"),
        ("MAX_BYTES", "0"),
        ("MAX_PIXELS", "90000000"),
        ("SLOTS", "0"),
        ("GPU_MEMORY", "4"),
        ("THREADS", "many"),
        ("QUEUE_LENGTH", "-1"),
        ("JOBS_DEVICE", "auto"),
        ("WORKERS_EMBEDDED", "2"),
        ("LEASE_SECONDS", "0.1"),
        ("ITEM_SECONDS", "0"),
        ("MAX_WAITING_ITEMS", "0"),
        ("KEEP_DAYS", "0"),
        ("KEEP_BYTES", "-1"),
        ("MIN_FREE_BYTES", "-1"),
    ],
)
def test_wrong_value_names_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(PREFIX + name, text)
    with pytest.raises(SetupError, match=rf"BREAST_CASCADE_{name}='{text}'.*Set BREAST_CASCADE_{name}"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BROKER_URL", "amqp://user:secret@host"),
        ("DATABASE_URL", "mysql://user:secret@host/db"),
        ("DATABASE_URL", "sqlite:///relative/secret"),
        ("STORE_URL", "https://user:secret@host"),
    ],
)
def test_wrong_address_is_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(PREFIX + name, text)
    with pytest.raises(SetupError, match=rf"BREAST_CASCADE_{name}=\.\.\..*Set BREAST_CASCADE_{name}") as caught:
        read_settings()
    shown = "".join(traceback.format_exception(caught.value))
    assert "secret" not in shown


def test_jobs_lie_under_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(PREFIX + "DATA_DIR", str(tmp_path / "with space"))
    settings = read_settings()
    assert settings.jobs_database == f"sqlite:///{tmp_path}/with space/jobs/jobs.sqlite"
    assert settings.jobs_store == f"file://{tmp_path}/with%20space/jobs/files"
    assert settings.embeds_worker


def test_addresses_of_jobs_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = {"BROKER": "rediss://:p@host/1", "DATABASE": "postgresql+psycopg://host/db", "STORE": "s3://bucket/p"}
    for name, text in addresses.items():
        monkeypatch.setenv(f"{PREFIX}{name}_URL", text)
    settings = read_settings()
    assert settings.broker_url == addresses["BROKER"]
    assert (settings.jobs_database, settings.jobs_store) == (addresses["DATABASE"], addresses["STORE"])
    assert not settings.embeds_worker
    monkeypatch.setenv(PREFIX + "WORKERS_EMBEDDED", "1")
    assert read_settings().embeds_worker


def test_secrets_come_as_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "BREAST_CASCADE_BROKER_URL").write_text("redis://:from-a-file@host/0\n")
    assert read_settings(tmp_path).broker_url == "redis://:from-a-file@host/0"
    monkeypatch.setenv(PREFIX + "BROKER_URL", "redis://host/2")
    assert read_settings(tmp_path).broker_url == "redis://host/2"


@pytest.mark.parametrize(("device", "expected"), [("cpu", "cpu"), ("cuda", "cuda"), ("cuda:1", "cuda")])
def test_class_of_a_device(device: str, expected: str) -> None:
    assert Settings(device=device).device_class == expected


def test_class_of_any_device_is_what_the_runtime_was_built_for() -> None:
    built = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    assert Settings(device="auto").device_class == ("cuda" if built else "cpu")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 4),
        ({"cpu.max": "max 100000"}, 4),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "250000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "900000 100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "300000"}, 4),
    ],
)
def test_threads_follow_the_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_threads(tmp_path) == expected


def test_threads_of_this_machine() -> None:
    assert 1 <= Settings().network_threads <= len(os.sched_getaffinity(0))
