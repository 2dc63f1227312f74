"""Figures of jobs for Prometheus: names, units and labels by its conventions, nothing of a patient."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from service.api.metrics import Metrics
from service.api.runner import Runner
from service.engine import Engine
from service.errors import DatabaseAway
from service.jobs.rows import Rows
from service.settings import Settings
from tests.service.jobs_over_http import PICTURE, Counter, counter

# Every label and its values: no more series than these can ever come.
LABELS = {
    "device": {"cpu", "cuda"},
    "state": {"queued", "running", "idle", "busy"},
    "outcome": {"succeeded", "failed", "cancelled"},
    "reason": {"lease_expired", "worker_died"},
}
OURS = ("breast_cascade_job_", "breast_cascade_workers")


@pytest.fixture
def at(tiny_engine: Engine, tmp_path: Path) -> Iterator[Counter]:
    with counter(tiny_engine, Settings(data_dir=tmp_path)) as opened:
        yield opened


def figures(text: str) -> dict[str, Metric]:
    found = {one.name: one for one in text_string_to_metric_families(text)}
    return {name: one for name, one in found.items() if name.startswith(OURS)}


def value(at: Counter, name: str, **labels: str) -> float:
    found = [one for metric in figures(at.client.get("/metrics").text).values() for one in metric.samples]
    [sample] = [one for one in found if one.name == f"breast_cascade_{name}" and one.labels == labels]
    return sample.value


def test_a_job_from_its_receipt_to_its_end(at: Counter) -> None:
    assert value(at, "job_database_up") == 1
    at.made(("a.png", PICTURE), ("b.png", PICTURE[:90]), ("c.txt", b"no picture"))
    at.desk.rows.beat("w", "cpu", False, 0)
    assert value(at, "job_items", device="cpu", state="queued") == 2
    assert value(at, "job_oldest_waiting_seconds", device="cpu") > 0
    assert value(at, "workers", device="cpu", state="idle") == 1
    assert value(at, "job_worker_last_seen_timestamp_seconds", device="cpu") > 1.7e9
    assert 0 <= value(at, "job_worker_longest_silence_seconds", device="cpu") < 60
    at.work()
    assert value(at, "job_items", device="cpu", state="queued") == 0
    assert value(at, "job_oldest_waiting_seconds", device="cpu") == 0
    assert value(at, "job_items_ended_total", device="cpu", outcome="succeeded") == 1
    assert value(at, "job_items_ended_total", device="cpu", outcome="failed") == 2
    assert value(at, "job_attempts_total", device="cpu") == 2
    assert value(at, "job_attempts_lost_total", device="cpu", reason="lease_expired") == 0


def test_names_units_and_labels_are_by_convention_and_few(at: Counter) -> None:
    at.done(("ZZCANARY.png", PICTURE))
    at.desk.rows.beat("zzcanary_1_2-3_4", "cuda", True, 0)
    text = at.client.get("/metrics").text
    assert "zzcanary" not in text.lower()
    found = figures(text)
    assert len(found) == 9
    for metric in found.values():
        assert metric.documentation.endswith(".") or "; " in metric.documentation
        for sample in metric.samples:
            assert sample.name.endswith("_total") == (metric.type == "counter")
            assert not {"age", "time", "ms", "milliseconds"} & set(sample.name.split("_"))
            assert all(text in LABELS[name] for name, text in sample.labels.items()), sample
    assert sum(len(one.samples) for one in found.values()) < 40


def test_a_database_that_does_not_answer_costs_its_figures_alone(monkeypatch: pytest.MonkeyPatch, at: Counter) -> None:
    def away(*_: object) -> None:
        raise DatabaseAway("a", "b", "c")

    monkeypatch.setattr(Rows, "figures", away)
    assert value(at, "job_database_up") == 0
    text = at.client.get("/metrics").text
    assert [*figures(text)] == ["breast_cascade_job_database_up"]
    assert "breast_cascade_requests_total" in text


def test_before_jobs_are_open_there_is_nothing_to_tell() -> None:
    runner = Runner(1, 1)
    assert "breast_cascade_job_database_up 0.0" in Metrics(runner).text().decode()
    runner.close()
