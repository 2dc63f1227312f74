"""Which slices are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.datasets.slice_policy import chosen

TUMOUR = st.lists(st.booleans(), max_size=60)


@given(TUMOUR)
def test_all_keeps_all_and_tumour_only_the_tumour(tumour: list[bool]) -> None:
    assert chosen(tumour, "all", "k") == list(range(len(tumour)))
    assert chosen(tumour, "tumour_only", "k") == [index for index, one in enumerate(tumour) if one]


@given(TUMOUR, st.floats(0, 5), st.text(max_size=5))
def test_a_ratio_keeps_every_tumour_slice_and_k_times_as_many_others(tumour: list[bool], k: float, key: str) -> None:
    kept = chosen(tumour, f"ratio:{k}", key)
    assert kept == sorted(set(kept))
    assert {index for index, one in enumerate(tumour) if one} <= set(kept)
    assert len(kept) - sum(tumour) == min(round(k * sum(tumour)), len(tumour) - sum(tumour))
    assert kept == chosen(tumour, f"ratio:{k}", key)


def test_the_volumes_name_draws_the_others() -> None:
    tumour = [index == 0 for index in range(50)]
    assert len({tuple(chosen(tumour, "ratio:3", str(key))) for key in range(8)}) > 4


def test_more_of_a_ratio_only_adds() -> None:
    tumour = [index % 10 == 0 for index in range(50)]
    assert set(chosen(tumour, "ratio:1", "k")) < set(chosen(tumour, "ratio:2", "k"))


@pytest.mark.parametrize("policy", ["", "none", "ratio", "ratio:", "ratio:-1", "ratio:nan", "ratio:inf", "all:2"])
def test_another_policy_is_refused(policy: str) -> None:
    with pytest.raises(ValueError, match=f"Found the slice policy '{policy}'; wanted all, tumour_only or ratio:K"):
        chosen([True], policy, "k")
