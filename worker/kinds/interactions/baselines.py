"""What a summary of interactions is compared with: the full data, its own forms, and cheap picks of equal size.

Random users and head users are measured with as many rows as the summary, and, for every delivered form that is smaller
than the source, with as many bytes; each would be delivered as a compressed 0/1 form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

from worker.evidence.measurements import TrainingSet
from worker.evidence.training import Contender
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import ENCODINGS, LABELS, delivered_bytes
from worker.kinds.interactions.summary import InteractionsSummary

Rows = sparse.csr_array
Equal = Literal["rows", "bytes", "events"]
PICKS = {"random-users": "random users", "head-users": "head users"}


@dataclass(frozen=True)
class Pool:
    """Users with training events, to pick from. `lengths`: their events, 0 for the others (U,)."""

    data: Interactions
    lengths: np.ndarray

    @classmethod
    def of(cls, data: Interactions) -> Pool:
        """The users of a dataset."""
        return cls(data, np.diff(data.train.indptr))

    def order(self, method: str, seed: Sequence[int]) -> np.ndarray:
        """All users with events in the order in which a method takes them: the longest rows first, or at random."""
        if method == "head-users":
            return np.lexsort((self.data.user_ids, -self.lengths))[: np.count_nonzero(self.lengths)]
        return np.random.default_rng(list(seed)).permutation(np.flatnonzero(self.lengths))

    def rows(self, users: np.ndarray) -> Rows:
        """The training rows of these users, in the order of their numbers."""
        return Rows(self.data.train[np.sort(users)])

    def first_within(self, order: np.ndarray, size: int) -> Rows:
        """The rows of the first users of an order that take at most `size` bytes when delivered; one at least."""
        low, high = 1, len(order)
        guess = max(1, int(size / max(1.0, 1.5 * self.lengths.mean())))
        while low < high:
            tried = min(max(guess, low + 1), high)
            taken = delivered_bytes(self.rows(order[:tried]), "hard")
            low, high = (tried, high) if taken <= size else (low, tried - 1)
            # Bytes grow nearly in proportion to users: aim at the size, and by halves once that no longer helps.
            aim = int(tried * size / taken)
            guess = aim if low < aim < high else (low + high + 1) // 2
        return self.rows(order[:low])


def contenders(
    data: Interactions, summaries: Sequence[InteractionsSummary], picks: Sequence[str], *, draws: int, seed: int
) -> list[Contender]:
    """Everything a learner is trained on: the full data, the summaries with their forms, and the cheap picks.

    Where a summary thins rows out (far fewer events a row than the data has), picks have as many events instead of as
    many rows. A random pick is drawn `draws` times.
    """
    pool = Pool.of(data)
    full = data.training_rows()
    whole = Contender(_record("full", "full data", "full", [full], "hard"), (full,))
    found = [whole]
    for number, summary in enumerate(summaries):
        name = "summary" if not number else f"summary-{number + 1}"
        forms = list(_forms(summary, name, alone=len(summaries) == 1))
        found += forms
        for method in picks:
            repeats = draws if method == "random-users" else 1
            equal = _of_equal_rows(pool, summary, full, method, repeats, seed, name)
            found.append(equal)
            for form in forms:
                if form.record.bytes < whole.record.bytes:
                    more = repeats if form.record.role == "summary" else 1
                    found.append(_of_equal_bytes(pool, form.record, method, more, seed))
    return found


def _forms(summary: InteractionsSummary, name: str, *, alone: bool) -> Iterator[Contender]:
    made = summary.origin.method or "given"
    for number, (form, rows) in enumerate(summary.delivered().items()):
        label = f"this summary ({LABELS[form]})" if alone else f"{name.replace('-', ' ')}: {made} ({LABELS[form]})"
        if number == 0:
            yield Contender(_record(name, label, "summary", [rows], form, method=summary.origin.method), (rows,))
        else:
            label = f"as {LABELS[form]}" if alone else f"{name.replace('-', ' ')} as {LABELS[form]}"
            yield Contender(_record(f"{name}-{form}", label, "form", [rows], form, of=name), (rows,))


def _record(
    name: str,
    label: str,
    role: Literal["full", "summary", "form", "baseline"],
    draws: Sequence[Rows],
    form: str,
    *,
    method: str = "",
    equal: Equal = "rows",
    of: str = "",
) -> TrainingSet:
    return TrainingSet(
        name=name,
        label=label,
        role=role,
        rows=round(float(np.mean([rows.shape[0] for rows in draws]))),
        events=float(np.mean([rows.sum() for rows in draws])),
        bytes=max(delivered_bytes(rows, form) for rows in draws),
        encoding=ENCODINGS[form],
        method=method,
        equal=equal,
        of=of,
    )


def _of_equal_rows(
    pool: Pool, summary: InteractionsSummary, full: Rows, method: str, draws: int, seed: int, name: str
) -> Contender:
    equal: Equal = "events" if _thins_out(summary, full) else "rows"
    picked: list[Rows] = []
    for draw in range(draws):
        order = pool.order(method, (seed, draw))
        count = min(summary.n_rows, len(order))
        if equal == "events":
            count = int(np.searchsorted(np.cumsum(pool.lengths[order]), summary.n_events)) + 1
        picked.append(pool.rows(order[:count]))
        if count >= len(order):
            break
    label = PICKS[method] if equal == "rows" else f"{PICKS[method]} of equal events"
    suffix = "" if name == "summary" else f"-{name}"
    record = _record(f"{method}{suffix}", label + _beside(name), "baseline", picked, "hard", method=method, equal=equal)
    return Contender(record, tuple(picked))


def _of_equal_bytes(pool: Pool, form: TrainingSet, method: str, draws: int, seed: int) -> Contender:
    picked = [pool.first_within(pool.order(method, (seed, draw)), form.bytes) for draw in range(draws)]
    suffix = "" if form.name == "summary" else f"-{form.name}"
    label = f"{PICKS[method]} of equal bytes{_beside(form.name)}"
    return Contender(
        _record(f"{method}-bytes{suffix}", label, "baseline", picked, "hard", method=method, equal="bytes"),
        tuple(picked),
    )


def _beside(name: str) -> str:
    """What a pick is made equal to, where that is not plainly the one summary."""
    if name == "summary":
        return ""
    form = name.removeprefix("summary-")
    return f" ({LABELS[form]})" if form in LABELS else f" (as {name.replace('-', ' ')})"


def _thins_out(summary: InteractionsSummary, full: Rows) -> bool:
    if summary.form != "hard" or not full.shape[0] or not summary.n_rows:
        return False
    return summary.n_events / summary.n_rows < 0.5 * full.nnz / full.shape[0]
