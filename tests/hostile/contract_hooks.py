"""What schemathesis sends as a file: pictures, pictures that were tampered with, and mere bytes."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from tests.hostile.seeds import SEEDS
from tests.hostile.tampering import tampered

FILES = st.sampled_from([build() for build in SEEDS.values()])
CONTENT = st.one_of(FILES, FILES.flatmap(tampered), st.binary(max_size=200))

schemathesis.openapi.format("binary", CONTENT)
for media_type in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, CONTENT)
