"""deploy.md names what is there: settings with their defaults, figures, fields of Kubernetes that YAML can read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.api.metrics import Metrics
from service.api.runner import Runner
from service.jobs.database import Database
from service.jobs.rows import Rows
from service.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
# Not of the service: what the compose file takes from the shell.
OF_COMPOSE = set(re.findall(r"\$\{BREAST_CASCADE_(\w+?):", COMPOSE))


def documents() -> list[dict[str, Any]]:
    """Of the Kubernetes sketch."""
    [block] = [one for one in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if "kind: Deployment" in one]
    return list(yaml.safe_load_all(block))


def deployment(name: str) -> dict[str, Any]:
    [found] = [one for one in documents() if one["metadata"]["name"] == name and one["kind"] == "Deployment"]
    return dict(found["spec"]["template"]["spec"])


def test_settings_that_are_named_are_there() -> None:
    named = {name.lower() for name in re.findall(rf"{PREFIX}([A-Z_]*[A-Z])", TEXT) if name not in OF_COMPOSE}
    assert named <= set(Settings.model_fields), named - set(Settings.model_fields)


@pytest.mark.parametrize("name", re.findall(rf"`{PREFIX}([A-Z_]+)`, [0-9]", TEXT))
def test_defaults_are_the_ones_that_are_named(name: str) -> None:
    [said] = {*re.findall(rf"`{PREFIX}{name}`, ([0-9]+(?: (?:[KMG]iB|s))?)", TEXT)}
    number, _, unit = said.partition(" ")
    assert Settings.model_fields[name.lower()].default == int(number) * UNITS.get(unit, 1)


def test_every_figure_is_told_of_and_there_are_no_others(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    database.upgrade()
    rows, runner = Rows(database), Runner(1, 1)
    rows.beat("w", "cpu", False, 0)
    families = list(text_string_to_metric_families(Metrics(runner, lambda: rows).text().decode()))
    told = set(re.findall(r"`(breast_cascade_\w+)`", TEXT))
    for family in families:
        assert {family.name, f"{family.name}_total"} & told, family.name
    rows_of_table = re.findall(r"^\| `(breast_cascade_\w+)` \| (\w+) \|", TEXT, re.MULTILINE)
    kinds = {f"{one.name}_total" if one.type == "counter" else one.name: one.type for one in families}
    assert all(kinds[name] == kind for name, kind in rows_of_table)
    assert len(rows_of_table) == 9
    runner.close()
    database.close()


def test_the_kubernetes_sketch_is_contained_and_has_time_to_end() -> None:
    for name in ("breast-cascade-api", "breast-cascade-worker"):
        pod = deployment(name)
        assert pod["terminationGracePeriodSeconds"] > 2 * Settings.model_fields["drain_timeout"].default
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        [container] = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        mounted = {one["name"] for one in container["volumeMounts"]}
        assert mounted == {one["name"] for one in pod["volumes"]} == {"tmp", "data", "pipelines", "secrets"}


def test_its_workers_have_a_gpu_and_live_by_their_work() -> None:
    [worker] = deployment("breast-cascade-worker")["containers"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert worker["command"] == ["python", "-m", "service.jobs"]
    for probe in ("startupProbe", "livenessProbe"):
        assert worker[probe]["exec"]["command"] == ["python", "-m", "service.jobs.alive"]


def test_its_secrets_are_files_that_the_service_reads() -> None:
    [secret] = [one for one in documents() if one["kind"] == "Secret"]
    names = {name for name in secret["stringData"] if name.startswith(PREFIX)}
    assert {name.removeprefix(PREFIX).lower() for name in names} <= set(Settings.model_fields)
    given = {name.removeprefix(PREFIX).lower(): text for name, text in secret["stringData"].items() if name in names}
    assert Settings(**given).broker_url == given["broker_url"]
    files = {
        one["value"]
        for name in ("api", "worker")
        for one in deployment(f"breast-cascade-{name}")["containers"][0]["env"]
    }
    for path in (one for one in files if one.startswith("/run/secrets/")):
        assert path.removeprefix("/run/secrets/") in secret["stringData"]
