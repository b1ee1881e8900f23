"""Fixtures of the conformance tests: the kinds' tiny data, on one thread as in every other process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.kinds.conftest import tiny

__all__ = ["tiny"]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
