"""A made-up log of ML-1M's size: what people watched one after another, with a realistic power law.

Items have a popularity by Zipf and a vector near that of their genre. What a user watches next is drawn by popularity,
by a taste of the user's own and by what was watched last; nothing is watched twice.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from worker.contract.context import Context
from worker.kinds.sequences import dataset, ingest
from worker.kinds.sequences.dataset import Sequences

SHORTEST = 20


@dataclass(frozen=True)
class World:
    """`mean_events` a user, log-normal with `spread`; `taste` and `recent`: how much both move what comes next;
    `memory`: the share of what was recent before that stays after an event."""

    users: int = 6040
    items: int = 3416
    mean_events: float = 165.0
    spread: float = 0.9
    zipf: float = 0.8
    genres: int = 100
    width: int = 32
    taste: float = 0.8
    recent: float = 1.2
    memory: float = 0.8

    def columns(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """user and item int32 (N,), in the order of watching. O(N items) time, O(users items) memory."""
        rng = np.random.default_rng(seed)
        raw = rng.lognormal(0.0, self.spread, self.users)
        lengths = np.clip(raw * self.mean_events / raw.mean(), SHORTEST, self.items // 4).astype(np.int64)
        lengths = -np.sort(-lengths)  # those who still watch are the first ones
        genre = rng.normal(size=(self.genres, self.width))[rng.integers(self.genres, size=self.items)]
        vector = (genre + 0.7 * rng.normal(size=genre.shape)) / self.width**0.5
        popular = -self.zipf * np.log(1 + rng.permutation(self.items))
        taste = rng.normal(size=(self.users, self.width))
        recent, seen = np.zeros_like(taste), np.zeros((self.users, self.items), bool)
        chosen: list[np.ndarray] = []
        for step in range(int(lengths[0])):
            still = int((lengths > step).sum())
            logits = popular + (self.taste * taste[:still] + self.recent * recent[:still]) @ vector.T
            mass = np.cumsum(np.where(seen[:still], 0.0, np.exp(logits)), axis=1)
            drawn = rng.random(still) * mass[:, -1]
            item = np.minimum((mass <= drawn[:, None]).sum(axis=1), self.items - 1)
            seen[np.arange(still), item] = True
            recent[:still] = self.memory * recent[:still] + vector[item] * self.width**0.5 * (1 - self.memory)
            chosen.append(item)
        user = np.concatenate([np.arange(len(items)) for items in chosen])
        order = np.argsort(user, kind="stable")
        return user[order].astype(np.int32), np.concatenate(chosen)[order].astype(np.int32)

    def sequences(self, max_len: int = 50, seed: int = 0) -> Sequences:
        """The log read as an upload is, leave-one-out; learners read `max_len` events."""
        user, item = self.columns(seed)
        with tempfile.TemporaryDirectory() as folder:
            file, out = Path(folder) / "log.parquet", Path(folder) / "canonical"
            table = {"user_id": user, "item_id": item, "timestamp": np.arange(len(user))}
            pyarrow.parquet.write_table(pa.table(table), file)
            out.mkdir()
            options = {"split": "leave_one_out", "max_len": max_len}
            ingest.ingest([("log.parquet", file)], options, out, Context(), {})
            return dataset.load(out)
