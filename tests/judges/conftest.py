from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import transformers

from tests.judges.pool import documents
from tests.judges.served import Served
from tests.judges.train import random_t5, train_judge

TRAINED_ON = 200


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pool() -> tuple[list[str], list[bool]]:
    """440 made-up documents, and whether each is good; the judge was trained on the first of them."""
    return documents(440)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, pool: tuple[list[str], list[bool]], _quiet: None) -> Path:
    """A trained judge as transformers saves it."""
    folder = tmp_path_factory.mktemp("judge")
    return train_judge(folder, pool[0][:TRAINED_ON], pool[1][:TRAINED_ON], epochs=3, rate=3e-3)


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory, pool: tuple[list[str], list[bool]], _quiet: None) -> Path:
    """An encoder-decoder that says what chance has it say."""
    return random_t5(tmp_path_factory.mktemp("t5"), pool[0][:100])


@pytest.fixture(scope="session")
def served(checkpoint: Path) -> Iterator[Served]:
    with Served(checkpoint) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_fault(request: pytest.FixtureRequest) -> None:
    if "served" in request.fixturenames:
        request.getfixturevalue("served").fault()
