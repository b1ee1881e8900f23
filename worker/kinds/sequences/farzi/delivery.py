"""The forms in which synthetic sequences are handed over: soft, the k most probable items, rows of items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from worker.kinds.sequences.farzi.synthetic import Synthetic
from worker.kinds.sequences.forms import Events, Ids, TopK, TrainingSet
from worker.kinds.sequences.rows import Rows, bounds

_AT_ONCE = 4096
Tick = Callable[[], None]


def silent() -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Delivery:
    """What every form of synthetic sequences is: of `topk` the `k` most probable items; of `hard` rows that are drawn
    by `seed`, the same every time, without an item twice in a row unless `repeats`."""

    k: int
    repeats: bool
    seed: int

    def __call__(self, form: str, made: Synthetic, tick: Tick = silent) -> TrainingSet:
        """A form as learners get it; `tick` is called while rows are drawn."""
        if form == "hard":
            return TrainingSet.of(self.rows(made, tick), made.items, made.max_len)
        soft = made.delivered()
        return soft if form == "soft" else top_k(soft, self.k)

    def rows(self, made: Synthetic, tick: Tick = silent) -> Rows:
        """The rows of items of the form `hard`."""
        return hard_rows(made.delivered(), np.random.default_rng(self.seed), repeats=self.repeats, tick=tick)


def top_k(data: TrainingSet, k: int) -> TrainingSet:
    """The k most probable items of every soft event, with their shares in half precision. Learners take them relative
    to their sum; what is missing to one is the mass that was left out."""
    if data.whole is not None:
        return TrainingSet.tied(_top(data.whole, k, data.items), data.lengths + 1, data.items, data.max_len)
    return replace(data, inputs=_top(data.inputs, k, data.items), targets=_top(data.targets, k, data.items))


def _top(events: Events, k: int, items: int) -> Events:
    if isinstance(events, Ids):
        return events
    k = min(k, items)
    ids = np.zeros((len(events), k), np.int32)
    share = np.zeros((len(events), k), np.float16)
    for start in range(0, len(events), _AT_ONCE):
        at = np.arange(start, min(start + _AT_ONCE, len(events)))
        table = events.probabilities(at, items)
        found = np.argsort(-table, axis=1, kind="stable")[:, :k]
        ids[at] = found
        share[at] = np.take_along_axis(table, found, axis=1)
    return TopK(ids, np.maximum(share, np.finfo(np.float16).tiny))


def hard_rows(data: TrainingSet, rng: np.random.Generator, *, repeats: bool, tick: Tick = silent) -> Rows:
    """Rows of items that are drawn from a soft set, each one event longer than its places.

    Of items that are read, a walk: the next event is drawn from what comes next at a place where the present item is
    read, its own row's place where there is none such. Of soft events, each is drawn by itself. Without `repeats`, no
    item comes twice in a row as long as another has any probability. `tick` is called at every row.
    """
    read = data.inputs
    by_item: dict[int, np.ndarray] = {}
    if isinstance(read, Ids):
        order = np.argsort(read.items, kind="stable")
        cuts = np.flatnonzero(np.diff(read.items[order])) + 1
        by_item = {int(read.items[part[0]]): part for part in np.split(order, cuts) if len(part)}
    found: list[np.ndarray] = []
    for number in range(len(data)):
        tick()
        places = np.arange(data.indptr[number], data.indptr[number + 1])
        seen = np.ones(data.items)
        first = int(read.items[places[0]]) if isinstance(read, Ids) else _draw(read, places[0], data, seen, rng)
        row = [first]
        for own in places.tolist():
            if not repeats:
                seen[row[-1]] = 0
            at = own
            if isinstance(read, Ids) and (alike := by_item.get(row[-1])) is not None:
                at = int(rng.choice(alike))
            row.append(_draw(data.targets, at, data, seen, rng))
        found.append(np.array(row, np.int32))
    return Rows(bounds(np.array([len(row) for row in found])), np.concatenate(found))


def _draw(events: Events, at: int, data: TrainingSet, open_: np.ndarray, rng: np.random.Generator) -> int:
    """One item of the event at a place, in proportion to its probability, among those that are `open_` (V,)."""
    share = events.probabilities(np.array([at]), data.items)[0].astype(np.float64)
    left = share * open_
    left = share if left.sum() <= 0 else left
    return int(rng.choice(data.items, p=left / left.sum()))


def duplicates(rows: Rows) -> int:
    """How many rows repeat an earlier one."""
    return len(rows) - len({rows.row(number).tobytes() for number in range(len(rows))})


def repeats(rows: Rows) -> bool:
    """Whether an item comes twice within any row."""
    codes = rows.owners() * (int(rows.items.max(initial=0)) + 1) + rows.items
    return len(np.unique(codes)) < len(codes)
