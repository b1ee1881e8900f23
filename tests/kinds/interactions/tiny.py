"""Planted interactions with more users than the default budget of 500, and rows long enough for learned ones; each is
rated and has a text, which says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.kinds.tiny import Tiny
from tests.planted import planted_csv

WORDS = "fine loud soft long cheap steel wood blue".split()  # noqa: SIM905


def _upload(folder: Path) -> list[tuple[str, Path]]:
    file = planted_csv(folder / "planted.csv", users=700, items=60, timed=True)
    head, *lines = file.read_text().splitlines()
    rng = np.random.default_rng(1)
    said = (f"{line},{rng.integers(1, 6)},{' '.join(rng.choice(WORDS, 4))}" for line in lines)
    file.write_text("\n".join([f"{head},rating,text", *said]) + "\n")
    return [("planted.csv", file)]


def _loaded(summary: Any) -> tuple[str, float]:
    return "import load; print(load.rows.sum())", float(summary.rows.sum())


TINY = Tiny(
    _upload,
    _loaded,
    options={"keep_text": True},
    evaluate={"learners": ["popularity", "ease"], "draws": 2, "bootstrap": 100},
)
