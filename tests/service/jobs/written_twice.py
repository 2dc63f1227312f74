"""A process that writes outputs: python written_twice.py STORE PIPELINES INPUT SEG_TYPE [INPUT SEG_TYPE ...]."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from service.answers.outputs import OFFERED
from service.engine import Engine, Request
from service.formats.read import read_image
from service.jobs.item_outputs import write_item
from service.jobs.model import Claim, NewItem, NewJob
from service.jobs.store import open_store


def main(store: str, pipelines: str, *inputs: str) -> None:
    """Write every format that is offered, item by item."""
    engine, files = Engine.open([Path(pipelines)], "cpu", 1), open_store(f"file://{store}")
    for n, (source, seg_type) in enumerate(zip(inputs[::2], inputs[1::2], strict=True)):
        answer = engine.segment(read_image(Path(source).read_bytes()), Request("tiny", masks=True))
        write_item(answer, tuple(OFFERED), files, claim(n, seg_type))


def claim(n: int, seg_type: str) -> Claim:
    """An item of a job whose row is always dated the same."""
    item = NewItem("scan.dcm", "image", f"jobs/j/{n}/input", "0" * 64, 1)
    job = NewJob("j", "", "tiny", "1.0.0", "0" * 64, tuple(OFFERED), {"seg_type": [seg_type]}, "0" * 64)
    return Claim("j", n, "worker", 1, 1, False, 60, item, job, datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC))


if __name__ == "__main__":
    main(*sys.argv[1:])
