"""What schemathesis sends as a file: pictures, pictures that were tampered with, and mere bytes."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies as st

from tests.hostile.seeds import SEEDS
from tests.hostile.tampering import tampered

FILES = st.sampled_from([build() for build in SEEDS.values()])
CONTENT = st.one_of(FILES, FILES.flatmap(tampered), st.binary(max_size=200))

schemathesis.openapi.format("binary", CONTENT)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Jobs of files alone name a pipeline that is there: what is invented alone would make no job at all."""
    is_plain = isinstance(case.body, dict) and set(case.body) == {"files"}
    if case.operation.label == "POST /jobs" and is_plain and case.meta and case.meta.generation.mode.is_positive:
        case.query, case.headers = {"pipeline": "tiny"}, {}


for media_type in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, CONTENT)
