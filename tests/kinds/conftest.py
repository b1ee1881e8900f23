"""The tiny dataset of each kind, which every method of it must manage with its defaults."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.kinds.tiny import tiny_of
from worker.contract.context import Context
from worker.runtime.registry import load_kind


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny(kind)` is the folder of the canonical files of that kind's tiny dataset, which must not be changed.

    `tiny(kind, method)`: in the form that a method needs. They are written for the first test of a process that asks.
    """

    @cache
    def canonical(kind: str, method: str = "") -> Path:
        given = tiny_of(kind).of(method)
        if method and given is tiny_of(kind):
            return canonical(kind)
        folder = tmp_path_factory.mktemp(kind)
        (folder / "upload").mkdir()
        (folder / "canonical").mkdir()
        load_kind(kind).ingest.run(given.upload(folder / "upload"), given.options, folder / "canonical", Context(), {})
        return folder / "canonical"

    return canonical
