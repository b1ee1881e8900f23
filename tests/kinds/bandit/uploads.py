"""Uploads of logs, written by hand and read back, and the refusal they end with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.planted_bandit import planted
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit import canonical
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.ingest import ingest


def read(folder: Path, options: dict[str, Any] | None = None) -> tuple[BanditLog, dict[str, Any]]:
    """Ingest every file of a folder (side tables by name) and load what was written."""
    sources = [(path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*")) if path.is_file()]
    out = folder.parent / f"{folder.name}-canonical"
    out.mkdir()
    result = ingest(sources, options or {}, out, Context())
    return canonical.load(out), result


def refusal(folder: Path, options: dict[str, Any] | None = None) -> JobError:
    """The error that reading the folder ends with."""
    with pytest.raises(JobError) as refused:
        read(folder, options)
    assert refused.value.detail
    assert refused.value.pointer or refused.value.hint
    return refused.value


def upload(folder: Path, name: str = "up") -> Path:
    """A fresh folder for the files of one upload."""
    made = folder / name
    made.mkdir()
    return made


def columns(rounds: int = 200, **changes: Any) -> dict[str, np.ndarray]:
    """Columns of the planted log; `changes` replace some, None leaves one out."""
    made = planted(rounds=rounds)
    user, action = made["user"], made["action"]
    table = {
        "action": action,
        "reward": made["reward"],
        "propensity": made["logging"][user, action],
        "user_id": user,
        **{f"context_{d}": made["x"][user, d] for d in range(made["x"].shape[1])},
    } | changes
    return {name: np.asarray(values) for name, values in table.items() if values is not None}


def write_csv(path: Path, table: dict[str, np.ndarray]) -> Path:
    """A CSV whose numbers keep every digit."""
    rows = zip(*(values.tolist() for values in table.values()), strict=True)
    path.write_text("\n".join([",".join(table), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path
