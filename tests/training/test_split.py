"""Splits: whole groups, disjoint parts, and nobody changes sides when others come or go."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from training.datasets.case import Case
from training.split import split


def case(number: int, group: str, fold: int) -> Case:
    return Case(f"case {number}", Path(f"{number}.png"), (), "benign", group, fold, False)


@st.composite
def _cases(draw: st.DrawFn) -> list[Case]:
    """Groups of 1 to 3 cases, each in one fold."""
    folds = draw(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=40))
    pairs = [(f"group {g}", fold) for g, (size, fold) in enumerate(folds) for _ in range(size)]
    return [case(number, *pair) for number, pair in enumerate(pairs)]


@given(_cases(), st.integers(0, 4), st.floats(0, 1))
def test_parts_are_disjoint_complete_and_of_whole_groups(cases: list[Case], fold: int, share: float) -> None:
    parts = split(cases, fold, share)
    assert sorted((*parts.train, *parts.validation, *parts.test), key=lambda one: one.name) == sorted(
        cases, key=lambda one: one.name
    )
    groups = [{one.group for one in part} for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert {one.fold for one in parts.test} <= {fold}
    assert fold not in {one.fold for one in (*parts.train, *parts.validation)}


@given(_cases(), st.floats(0, 1), st.data())
def test_a_case_stays_on_its_side_when_others_leave(cases: list[Case], share: float, data: st.DataObject) -> None:
    fewer = data.draw(st.lists(st.sampled_from(cases), unique_by=lambda one: one.name))
    assert set(split(fewer, 0, share).train) <= set(split(cases, 0, share).train)
    assert set(split(fewer, 0, share).validation) <= set(split(cases, 0, share).validation)


def test_the_share_is_met_about() -> None:
    cases = [case(n, f"group {n}", 1) for n in range(2000)]
    assert 0.10 < len(split(cases, 0, 0.12).validation) / 2000 < 0.14
    assert not split(cases, 0, 0.0).validation
    assert not split(cases, 0, 1.0).train


def test_sides_never_change_between_versions() -> None:
    """Golden: weights trained earlier must not meet their training cases in a later validation part."""
    cases = [case(n, f"group{n:04d}", 1) for n in range(30)]
    held = split(cases, 0, 0.2).validation
    assert [int(one.group.removeprefix("group")) for one in held] == [0, 6, 11, 14, 20, 21, 22, 25]
