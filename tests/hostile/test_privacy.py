"""A patient's name in every text, file name and entry of a zip: no answer, error, figure or log line repeats it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hostile.canaries import FILES, unpacked
from tests.hostile.corpus.common import CANARY
from tests.processes import Served, served
from tests.service.asking import png, square
from tests.serving import until

NAMES = ("ZZPHI", "CANARY", CANARY.encode("utf-16-le").decode("latin-1"))
# What goes wrong, and with what.
WRONG: dict[str, dict[str, str]] = {
    "slice": {"slice": "999"},
    "phase": {"phase": "99"},
    "stage": {"stage": "nothing"},
    "pipeline": {"pipeline": "nothing"},
    "format": {"format": "nothing"},
    "region": {"mask_outside_region": "true"},
    "box": {"box": "900,900,950,950"},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tiny_pipelines: Path) -> Iterator[Served]:
    """A service whose log and folders are searched in the end."""
    folder = tmp_path_factory.mktemp("privacy") / "service"
    with served(folder, tiny_pipelines) as service:
        yield service
        metrics = service.client.get("/metrics").text
        log = service.log.read_text(encoding="utf-8")
        assert log.count('"event": "request"') > len(FILES)
        assert named(metrics) == named(log) == []
        assert [str(one) for name in ("tmp", "work") for one in (folder / name).rglob("*")] == []
        kept = [one for one in (folder / "data").rglob("*") if one.is_file()]
        assert {one.relative_to(folder / "data").parts[0] for one in kept} <= {"jobs", "broker"}
        # Neither the jobs that were erased nor the messages about them.
        assert [str(one) for one in kept if named(unpacked(one.read_bytes()).decode("latin-1"))] == []


def named(text: str) -> list[str]:
    """Where in a text the patient is named."""
    return [text[max(0, text.find(name) - 80) :][:200] for name in NAMES if name in text]


def send(client: httpx.Client, kind: str, content: bytes | None = None, **fields: str) -> httpx.Response:
    """The file under the patient's name, from a client that calls itself so too."""
    files = {"file": (f"../{CANARY}.{kind}", FILES[kind] if content is None else content, f"image/{CANARY}")}
    data = {"pipeline": "tiny", **fields}
    return client.post("/segment", files=files, data=data, headers={"User-Agent": CANARY, "Referer": CANARY})


def formats(client: httpx.Client) -> list[str]:
    """All that the contract offers."""
    parameters: list[dict[str, Any]] = client.get("/openapi.json").json()["paths"]["/segment"]["post"]["parameters"]
    (schema,) = (one["schema"] for one in parameters if one["name"] == "format")
    return list(schema.get("examples") or schema["enum"])


def said(answer: httpx.Response) -> str:
    """Headers and body in the clear, as text in which every byte is a letter."""
    return repr(answer.headers.raw) + unpacked(answer.content).decode("latin-1")


@pytest.mark.parametrize("kind", FILES)
def test_answers(service: Served, kind: str) -> None:
    offered = formats(service.client)
    assert {"json", "mask", "overlay"} <= set(offered)
    for form in offered:
        answer = send(service.client, kind, format=form)
        assert answer.status_code in (200, 204) or refused(kind, form, answer), (form, answer.text)
        if answer.status_code == 200 and form.startswith("dicom-"):
            # They carry the patient because they must, but nothing that a system could run.
            assert answer.content[:128] == b"\0" * 128
            assert named(repr(answer.headers.raw)) == []
        else:
            assert named(said(answer)) == [], (form, answer.status_code)


def refused(kind: str, form: str, answer: httpx.Response) -> bool:
    """Whether the answer is the one refusal that the format has for a file of that kind."""
    if form.startswith("dicom-"):
        code = "needs_dicom" if kind not in ("dicom", "zip") else None
    else:
        code = "needs_one_slice" if form in ("overlay", "panel") and kind in ("nifti", "nrrd", "zip") else None
    return answer.status_code == 422 and answer.json()["code"] == code


@pytest.mark.parametrize("kind", FILES)
def test_errors(service: Served, kind: str) -> None:
    whole = FILES[kind]
    for cut in (0.1, 0.4, 0.7, 0.98):
        assert named(said(send(service.client, kind, whole[: int(len(whole) * cut)]))) == []
    for fields in WRONG.values():
        assert named(said(send(service.client, kind, **fields))) == [], fields
    # Each byte of the name itself, so that no reader finds what it looked for.
    assert named(said(send(service.client, kind, CANARY.encode() + whole))) == []


def test_jobs(service: Served) -> None:
    """Their items bear the names they were sent with, for their sender alone, until the job is erased."""
    client = service.client
    files = [("files", (f"../{CANARY}.{kind}", content, f"image/{CANARY}")) for kind, content in FILES.items()]
    answer = client.post("/jobs", files=files, data={"pipeline": "tiny"}, headers={"User-Agent": CANARY})
    assert answer.status_code == 202, answer.text
    address = answer.headers["location"]
    until(lambda: client.get(address).json()["progress"]["done"] == len(FILES))
    for path in (address, f"{address}/events", f"{address}/results", "/jobs"):
        assert named(repr(client.get(path).headers.raw)) == []
    for n in range(len(FILES)):
        assert named(said(client.get(f"{address}/items/{n}"))) == []
    for wrong in ({"pipeline": CANARY}, {"outputs": CANARY}, {"threshold": CANARY}, {CANARY: "1"}):
        assert client.post("/jobs", files=files, data=wrong).status_code in (404, 422)
    for path in (f"/jobs/{CANARY}", f"{address}/items/{CANARY}", f"{address}/items/0?format={CANARY}"):
        assert named(repr(client.get(path).headers.raw)) == []
    assert client.delete(address).status_code == 204


def test_addresses_are_not_logged(service: Served) -> None:
    for path in (f"/{CANARY}", f"/samples/{CANARY}", f"/pipelines/{CANARY}", f"/health/live?{CANARY}=1"):
        assert named(repr(service.client.get(path).headers.raw)) == []
    # A method that HTTP does not know: said by the server below ours, which has a log of its own.
    assert service.client.request(CANARY.replace("^", ""), "/segment").status_code == 400


def test_the_search_would_find_it() -> None:
    assert all(named(unpacked(content).decode("latin-1")) for content in FILES.values())
    assert named(said(httpx.Response(200, headers={"X": CANARY}))) != []
    assert named(unpacked(png(square(1, 1, 2))).decode("latin-1")) == []
