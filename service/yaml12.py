"""YAML as people mean it: ``on``, ``off``, ``yes`` and ``no`` are words, only ``true`` and ``false`` are booleans.

PyYAML reads YAML 1.1, where the manifest's own field ``on`` would become the key True; the core schema of YAML 1.2
(yaml.org/spec/1.2.2, 10.3.2) does not do that.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

BOOL = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """SafeLoader with the booleans of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_yaml(text: str) -> Any:
    """The one document in ``text``. Raises yaml.YAMLError."""
    # The loader is a SafeLoader: it makes plain values only.
    return yaml.load(text, Loader=_Loader)  # noqa: S506
