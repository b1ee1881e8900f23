"""What a summary of interactions is compared with: the full data, its own forms, and cheap picks of equal size.

Random users and head users are measured with as many rows as the summary, and, for every delivered form that is smaller
than the source, with as many bytes. Bytes are those of the arrays; each file is compressed when it is delivered, and
what it then takes stands beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from worker.evidence.measurements import TrainingSet
from worker.evidence.training import Contender
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import ENCODINGS, LABELS, arrays, file_bytes, index_bytes, plain_bytes
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.summary import InteractionsSummary

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

    @property
    def form(self) -> str:
        """The form in which picks would be delivered."""
        return "hard" if self.data.weights is None else "weighted"

    def rows(self, users: np.ndarray) -> UserRows:
        """The training rows of these users, in the order of their numbers."""
        return UserRows(self.data.train, self.data.weights).take(np.sort(users))

    def first_within(self, order: np.ndarray, size: int) -> UserRows:
        """The rows of the first users of an order that take at most `size` bytes when delivered; one at least."""
        each = 4 + (self.form == "weighted") + index_bytes(self.data.n_items) * self.lengths[order]
        fixed = plain_bytes(arrays(self.rows(order[:0]), self.form))
        count = int(np.searchsorted(np.cumsum(each), size - fixed, side="right"))
        return self.rows(order[: max(1, count)])


def contenders(
    data: Interactions, summaries: Sequence[InteractionsSummary], picks: Sequence[str], *, draws: int, seed: int
) -> list[Contender]:
    """Everything a learner is trained on: the full data, the summaries with their forms, and the cheap picks.

    Where a summary thins rows out (far fewer events a row than the data has), picks have as many events instead of as
    many rows. A random pick is drawn `draws` times.
    """
    pool = Pool.of(data)
    full = data.training()
    whole = Contender(_record("full", "full data", "full", [full], pool.form), (full,))
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
    draws: Sequence[UserRows],
    form: str,
    *,
    method: str = "",
    equal: Equal = "rows",
    of: str = "",
) -> TrainingSet:
    stored = [arrays(rows, form) for rows in draws]
    return TrainingSet(
        name=name,
        label=label,
        role=role,
        rows=round(float(np.mean([len(rows) for rows in draws]))),
        events=float(np.mean([rows.matrix.sum() for rows in draws])),
        bytes=max(plain_bytes(one) for one in stored),
        compressed=max(file_bytes(one) for one in stored),
        encoding=ENCODINGS[form],
        method=method,
        equal=equal,
        of=of,
    )


def _of_equal_rows(
    pool: Pool, summary: InteractionsSummary, full: UserRows, method: str, draws: int, seed: int, name: str
) -> Contender:
    equal: Equal = "events" if _thins_out(summary, full) else "rows"
    picked: list[UserRows] = []
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
    record = _record(
        f"{method}{suffix}", label + _beside(name), "baseline", picked, pool.form, method=method, equal=equal
    )
    return Contender(record, tuple(picked))


def _of_equal_bytes(pool: Pool, form: TrainingSet, method: str, draws: int, seed: int) -> Contender:
    picked = [pool.first_within(pool.order(method, (seed, draw)), form.bytes) for draw in range(draws)]
    suffix = "" if form.name == "summary" else f"-{form.name}"
    label = f"{PICKS[method]} of equal bytes{_beside(form.name)}"
    return Contender(
        _record(f"{method}-bytes{suffix}", label, "baseline", picked, pool.form, method=method, equal="bytes"),
        tuple(picked),
    )


def _beside(name: str) -> str:
    """What a pick is made equal to, where that is not plainly the one summary."""
    if name == "summary":
        return ""
    form = name.removeprefix("summary-")
    return f" ({LABELS[form]})" if form in LABELS else f" (as {name.replace('-', ' ')})"


def _thins_out(summary: InteractionsSummary, full: UserRows) -> bool:
    if summary.form != "hard" or not len(full) or not summary.n_rows:
        return False
    return summary.n_events / summary.n_rows < 0.5 * full.matrix.nnz / len(full)
