"""The compose file, looked at without an engine, and the script that makes its secrets."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

import service
from service.api.keys import Keys
from service.settings import Settings, read_settings
from tests.docker.linters import linter
from tests.serving import until

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
APIS, WORKERS, OTHERS = ("api", "api-gpu"), ("worker-cpu", "worker-gpu"), ("redis", "postgres")
OURS = APIS + WORKERS

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)


def test_the_services() -> None:
    profiles = {name: one["profiles"] for name, one in SERVICES.items()}
    assert profiles == {
        "api": ["cpu"],
        "api-gpu": ["gpu"],
        "worker-cpu": ["cpu"],
        "worker-gpu": ["gpu"],
        "redis": ["cpu", "gpu"],
        "postgres": ["cpu", "gpu"],
    }


@each_service
def test_a_container_may_do_nothing_but_its_work(name: str) -> None:
    one = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", one["user"])
    assert (one["read_only"], one["cap_drop"], one["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])
    assert one["mem_limit"] == one["memswap_limit"]
    assert one["pids_limit"] <= 512
    assert one["ulimits"]["core"] == 0
    assert all("noexec" in mount and "size=" in mount for mount in one["tmpfs"])
    assert not {"privileged", "devices", "network_mode", "pid", "cap_add"} & set(one)
    assert not any("docker.sock" in volume for volume in one["volumes"])
    assert one["healthcheck"]["test"]


@each_of_ours
def test_ours_run_as_the_images_user_on_read_only_pipelines(name: str) -> None:
    one = SERVICES[name]
    assert one["user"] == "10001:10001"
    assert one["volumes"][0] == "data:/data"
    assert one["volumes"][1].endswith(":/pipelines:ro")


@pytest.mark.parametrize("name", WORKERS + OTHERS)
def test_what_nobody_outside_needs_cannot_be_reached_from_there(name: str) -> None:
    assert "ports" not in SERVICES[name]
    assert SERVICES[name]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


@pytest.mark.parametrize("name", APIS)
def test_the_port_is_published_on_loopback_and_asks_for_a_key(name: str) -> None:
    one = SERVICES[name]
    assert one["ports"] == ["${BREAST_CASCADE_ADDRESS:-127.0.0.1}:${BREAST_CASCADE_PORT:-8000}:8000"]
    assert one["environment"]["BREAST_CASCADE_ACCESS_KEYS"] == "/run/secrets/access_keys"
    assert "BREAST_CASCADE_ACCESS" not in one["environment"]


@each_service
def test_secrets_come_as_files(name: str) -> None:
    one = SERVICES[name]
    assert set(one["secrets"]) <= set(COMPOSE["secrets"])
    text = " ".join([*map(str, one.get("environment", {}).values()), str(one.get("command", ""))])
    assert not re.search(r"://|\bpassword=|requirepass", text)


@each_of_ours
def test_a_container_has_time_to_end_its_work(name: str) -> None:
    grace = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    # First running requests are waited for, then open connections, each as long.
    assert grace > 2 * Settings.model_fields["drain_timeout"].default


@pytest.mark.parametrize("name", APIS)
def test_the_health_check_is_the_images(name: str) -> None:
    one = SERVICES[name]
    assert one["healthcheck"]["test"] == ["CMD", "python", "/opt/breast-cascade/healthcheck.py"]
    dockerfile = (ROOT / one["build"]["dockerfile"]).read_text()
    assert f"--start-period={one['healthcheck']['start_period']}" in dockerfile


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_well_as_long_as_it_moves(name: str) -> None:
    assert SERVICES[name]["entrypoint"] == ["python", "-m", "service.jobs"]
    assert SERVICES[name]["healthcheck"]["test"] == ["CMD", "python", "-m", "service.jobs.alive"]


@each_of_ours
def test_an_image_is_named_by_this_version_and_never_fetched_by_that_name(name: str) -> None:
    one = SERVICES[name]
    stem = Path(one["build"]["dockerfile"]).stem
    assert one["image"] == f"breast-cascade-{stem}:{service.__version__}"
    assert one["pull_policy"] == "never"
    assert f"-t {one['image']} " in (ROOT / one["build"]["dockerfile"]).read_text()


@pytest.mark.parametrize("name", OTHERS)
def test_what_others_made_is_pinned(name: str) -> None:
    assert re.fullmatch(rf"{name}:\d+\.\d+(\.\d+)?-bookworm", SERVICES[name]["image"])


@each_of_ours
def test_every_setting_in_compose_is_one_of_ours(name: str) -> None:
    names = {one.removeprefix("BREAST_CASCADE_").lower() for one in SERVICES[name]["environment"]}
    assert names <= set(Settings.model_fields)
    assert SERVICES[name]["depends_on"].keys() == {*OTHERS}


@pytest.mark.parametrize("name", ["api-gpu", "worker-gpu"])
def test_a_gpu_service_insists_on_a_gpu(name: str) -> None:
    (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert SERVICES[name]["environment"]["BREAST_CASCADE_DEVICE"] == "cuda"
    assert SERVICES[name]["mem_limit"] == "8g"


def test_the_compose_schema_is_kept() -> None:
    command = [linter("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", FILE]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout


# ---- secrets --------------------------------------------------------------------------------------------------------


def make_secrets(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "docker" / "make-secrets"), str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, str]:
    """The folder and the key that was printed."""
    ended = make_secrets(tmp_path / "secrets", "anna")
    assert ended.returncode == 0, ended.stderr
    return tmp_path / "secrets", ended.stdout.strip()


def test_every_secret_of_compose_is_made(made: tuple[Path, str]) -> None:
    names = {Path(one["file"].rpartition("}")[2]).name for one in COMPOSE["secrets"].values()}
    assert names == {path.name for path in made[0].iterdir()}
    assert made[0].stat().st_mode & 0o777 == 0o700


def test_the_printed_key_lets_its_owner_in(made: tuple[Path, str]) -> None:
    folder, key = made
    assert Keys(folder / "access_keys").owner(key) == "anna"
    assert Keys(folder / "access_keys").owner(f"{key}x") is None
    assert key not in "".join(path.read_text() for path in folder.iterdir())


def test_settings_take_the_addresses_from_their_files(made: tuple[Path, str], tmp_path: Path) -> None:
    mounted = tmp_path / "run"
    mounted.mkdir()
    for name, about in COMPOSE["secrets"].items():
        (mounted / name).write_bytes((made[0] / Path(about["file"].rpartition("}")[2]).name).read_bytes())
    settings = read_settings(mounted)
    assert urlsplit(settings.broker_url or "").hostname == "redis"
    assert urlsplit(settings.jobs_database).hostname == "postgres"
    assert urlsplit(settings.jobs_database).password == (made[0] / "postgres_password").read_text()
    assert not settings.embeds_worker


def test_two_folders_share_nothing(made: tuple[Path, str], tmp_path: Path) -> None:
    assert make_secrets(tmp_path / "other").returncode == 0
    digests = [
        hashlib.sha256(path.read_bytes()).digest()
        for folder in ("secrets", "other")
        for path in (tmp_path / folder).iterdir()
    ]
    assert len(set(digests)) == len(digests) == 10


def test_secrets_are_never_replaced(made: tuple[Path, str]) -> None:
    ended = make_secrets(made[0])
    assert ended.returncode == 1
    assert f"Found {made[0]} already there; wanted a new folder. Move it away, or keep it." in ended.stderr


def test_a_name_that_no_key_can_have(tmp_path: Path) -> None:
    ended = make_secrets(tmp_path / "secrets", "anna maria")
    assert ended.returncode == 1
    assert "Found the name 'anna maria'; wanted letters, digits, . _ or -." in ended.stderr
    assert not (tmp_path / "secrets").exists()


@pytest.fixture
def redis(made: tuple[Path, str], tmp_path: Path) -> Iterator[str]:
    """Debian's Redis, started as compose starts it, on a socket of its own; the text of its secret."""
    program = linter("redis-server")
    secret = made[0] / "redis_conf"
    words = SERVICES["redis"]["command"].replace("/data", str(tmp_path)).split()
    assert words[:2] == ["redis-server", "/run/secrets/redis_conf"]
    places = ["--port", "0", "--unixsocket", str(tmp_path / "socket")]
    with subprocess.Popen([program, secret, *words[2:], *places], stdout=subprocess.DEVNULL) as process:
        try:
            until((tmp_path / "socket").exists)
            yield secret.read_text()
        finally:
            process.terminate()


def test_redis_takes_its_secret_and_the_health_check_gives_it(
    redis: str, made: tuple[Path, str], tmp_path: Path
) -> None:
    (_, check) = SERVICES["redis"]["healthcheck"]["test"]
    shell = check.replace("$$", "$").replace("/run/secrets", str(made[0]))
    shell = shell.replace("redis-cli", f"redis-cli -s {tmp_path}/socket")
    assert subprocess.run(["/bin/sh", "-c", shell], timeout=30, check=False).returncode == 0
    without = shell.partition(") ")[2]
    assert without.startswith("redis-cli")
    assert subprocess.run(["/bin/sh", "-c", without], timeout=30, check=False).returncode != 0
