"""Three benchmarks of 8 runs, and 30 answers of each."""

from __future__ import annotations

from pathlib import Path

from tests.kinds.scores.planted import answers, rows, write_csv
from tests.kinds.tiny import Tiny


def _upload(folder: Path) -> list[tuple[str, Path]]:
    table = rows(runs=8, each=1)
    write_csv(folder / "scores.csv", table)
    write_csv(folder / "answers.csv", answers(table))
    return [(name, folder / name) for name in ("scores.csv", "answers.csv")]


TINY = Tiny(_upload)
