"""The one thing PyYAML would get wrong in a manifest."""

from __future__ import annotations

import pytest
import yaml

from service.yaml12 import read_yaml


def test_on_is_a_word_and_true_a_boolean() -> None:
    assert read_yaml("{on: localise, off: no, a: true, b: False}") == {
        "on": "localise",
        "off": "no",
        "a": True,
        "b": False,
    }


def test_other_readers_are_left_alone() -> None:
    assert yaml.safe_load("on: 1") == {True: 1}


def test_nothing_but_plain_values() -> None:
    with pytest.raises(yaml.constructor.ConstructorError, match="could not determine a constructor"):
        read_yaml("!!python/object/apply:os.getcwd []")
