"""The tiny dataset of each kind, which every method of it must manage with its defaults."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

Tiny = Callable[[str], Path]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """`tiny(kind)` is the folder of the canonical files of that kind's tiny dataset, which must not be changed.

    `tests.kinds.<kind>.tiny.build(folder)` writes them for the first test of a process that asks.
    """

    @cache
    def canonical(kind: str) -> Path:
        return import_module(f"tests.kinds.{kind}.tiny").build(tmp_path_factory.mktemp(kind))

    return canonical
