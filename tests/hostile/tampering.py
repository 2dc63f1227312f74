"""Small changes to a good file: bytes flipped, taken out, put in, doubled, cut off."""

from __future__ import annotations

from hypothesis import strategies as st

NASTY = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)


def tampered(content: bytes) -> st.SearchStrategy[bytes]:
    """The content after one to six changes."""
    place = st.integers(0, max(0, len(content) - 1))
    value = st.one_of(st.sampled_from(NASTY), st.integers(0, 255))
    flip = st.builds(lambda at, byte: lambda old: old[:at] + bytes([byte]) + old[at + 1 :], place, value)
    drop = st.builds(lambda at, count: lambda old: old[:at] + old[at + count :], place, st.integers(1, 9))
    put = st.builds(lambda at, new: lambda old: old[:at] + new + old[at:], place, st.binary(min_size=1, max_size=9))
    double = st.builds(lambda at, count: lambda old: old[: at + count] + old[at:], place, st.integers(1, 99))
    cut = st.builds(lambda at: lambda old: old[:at], place)
    # Headers decide: half of all changes fall into the first bytes.
    early = st.builds(
        lambda at, byte: lambda old: old[:at] + bytes([byte]) + old[at + 1 :],
        st.integers(0, min(700, len(content) - 1)),
        value,
    )
    changes = st.lists(st.one_of(early, early, early, flip, flip, drop, put, double, cut), min_size=1, max_size=6)
    return changes.map(lambda steps: _after(content, steps))


def _after(content: bytes, steps: list) -> bytes:
    for step in steps:
        content = step(content)
    return content
