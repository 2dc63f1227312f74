"""The web process is killed around its 202, and asked for the same fifty times at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.chaos.house import House, house
from tests.chaos.orders import Told, accepted, check, check_attempts, check_house, mixed, posted

pytestmark = pytest.mark.chaos
KEY = "c0ffee"
AT_ONCE = 50


def test_killed_right_after_its_202(tmp_path: Path, tiny_pipelines: Path, undisturbed: Told) -> None:
    with house(tmp_path, tiny_pipelines) as made:
        job_id = accepted(made, mixed(), KEY)
        _reopened(made)
        assert accepted(made, mixed(), KEY) == job_id
        check(made, job_id, undisturbed)
        assert len(made.rows.jobs("", 10, 0)) == 1


def test_killed_right_after_its_202_on_redis(on_redis: House, undisturbed: Told) -> None:
    job_id = accepted(on_redis, mixed())
    _reopened(on_redis)
    check(on_redis, job_id, undisturbed)


@pytest.mark.parametrize("point", ["received", "accepted"])
def test_killed_before_its_answer(tmp_path: Path, tiny_pipelines: Path, point: str, undisturbed: Told) -> None:
    with house(tmp_path, tiny_pipelines) as made:
        made.arm(point)
        # Who gets no answer cannot know, and sends the request again under its key.
        key = KEY if point == "accepted" else None
        with ThreadPoolExecutor(1) as other:
            answer = other.submit(posted, made, mixed(), key)
            made.halted(point)
            made.kill_web()
            with pytest.raises(httpx.TransportError):
                answer.result()
        made.release()
        _reopened(made)
        job_id = accepted(made, mixed(), key)
        check(made, job_id, undisturbed)
        assert len(made.rows.jobs("", 10, 0)) == 1


def test_fifty_equal_posts_at_once(tmp_path: Path, tiny_pipelines: Path, undisturbed: Told) -> None:
    with house(tmp_path, tiny_pipelines) as made, ThreadPoolExecutor(AT_ONCE) as others:
        answers = list(others.map(lambda _: posted(made, mixed(), KEY), range(AT_ONCE)))
        ids = {one.json()["id"] for one in answers if one.status_code == 202}
        refused = [one.json()["code"] for one in answers if one.status_code != 202]
        assert len(ids) == 1
        assert set(refused) <= {"idempotency_receiving"}
        (job_id,) = ids
        assert accepted(made, mixed(), KEY) == job_id
        check(made, job_id, undisturbed)
        check_attempts(made, job_id)
        assert len(made.rows.jobs("", 10, 0)) == 1


def _reopened(made: House) -> None:
    """Kill the web process; the kernel ends its own worker with it. Then start it again."""
    made.kill_web()
    made.until(lambda: made.orphans() == [])
    made.open()
    check_house(made)
