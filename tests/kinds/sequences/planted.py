"""Sequences with something to learn: items lie on circles, and whoever is at one mostly goes on to the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.splits import leave_one_out


def planted_rows(users: int, items: int = 30, circle: int = 10, seed: int = 0, least: int = 4, most: int = 9) -> Rows:
    """Rows of `least` to `most` different items: the next of the circle with probability 0.85, else any other."""
    rng = np.random.default_rng(seed)
    found: list[list[int]] = []
    for _ in range(users):
        row = [int(rng.integers(items))]
        for _ in range(int(rng.integers(least, most + 1)) - 1):
            ahead = row[-1] // circle * circle + (row[-1] + 1) % circle
            following = ahead if rng.random() < 0.85 and ahead not in row else int(rng.integers(items))
            if following not in row:
                row.append(following)
        while len(row) < least:
            other = int(rng.integers(items))
            if other not in row:
                row.append(other)
        found.append(row)
    return Rows.of(found)


def planted(users: int = 120, items: int = 30, seed: int = 0) -> Sequences:
    """The same as a dataset, split leave-one-out."""
    rows = planted_rows(users, items, seed=seed)
    return Sequences.of(rows, items, leave_one_out(rows.indptr), options={"content": "events", "max_len": 20})


def planted_inter(file: Path, users: int = 120, seed: int = 0) -> Path:
    """The same as a RecBole `.inter` file."""
    rows = planted_rows(users, seed=seed)
    lines = [
        f"u{user}\ti{item}\t{1_500_000_000 + 60 * place}"
        for user in range(len(rows))
        for place, item in enumerate(rows.row(user).tolist())
    ]
    file.write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines]) + "\n")
    return file


def prose(lines: int, seed: int = 0) -> str:
    """The next word mostly follows from the last."""
    rng = np.random.default_rng(seed)
    words = ["the", "a", "dog", "cat", "man", "sees", "likes", "calls", "old", "young", "house", "garden"]
    found = []
    for _ in range(lines):
        at = int(rng.integers(12))
        row = []
        for _ in range(int(rng.integers(4, 9))):
            row.append(words[at])
            at = (at * 5 + 1) % 12 if rng.random() < 0.8 else int(rng.integers(12))
        found.append(" ".join(row))
    return "\n".join(found) + "\n"
