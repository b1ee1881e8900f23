"""Each kind that is installed has a tiny dataset, built once in a test process."""

from __future__ import annotations

import pytest

from tests.kinds.conftest import Tiny
from worker.runtime.registry import discover, load_kind

KINDS = sorted({kind for kind, _ in discover()})


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_dataset_when_asked_for_twice_then_is_built_once_and_can_be_loaded(kind: str, tiny: Tiny):
    folder = tiny(kind)
    assert tiny(kind) is folder
    assert load_kind(kind).load(folder) is not None
