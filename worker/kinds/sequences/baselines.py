"""What a summary of sequences is compared with: the full data, its own forms, and cheap sets of equal size.

Random, longest and k-centre sequences are measured with as many rows as the summary and, for every delivered form that
is smaller than the source, with as many bytes; random ones also with soft labels of a teacher that saw all the data.
Bytes are those of the arrays that would be delivered; what they take compressed stands beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from worker.contract.context import Context
from worker.evidence.measurements import Role
from worker.evidence.measurements import TrainingSet as Record
from worker.evidence.training import Contender
from worker.kinds.sequences import sizes
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.picks import PICKS
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.summary import SequenceSummary
from worker.kinds.sequences.teacher import Teacher

Equal = Literal["rows", "bytes", "events"]


@dataclass
class Pool:
    """The training sequences that picks are made of; an order is computed once."""

    data: Sequences
    ctx: Context
    orders: dict[tuple[str, int, int], np.ndarray] = field(default_factory=dict[tuple[str, int, int], np.ndarray])

    @property
    def rows(self) -> Rows:
        """Training sequences."""
        return self.data.training().rows

    def order(self, method: str, most: int, seed: int) -> np.ndarray:
        """Numbers of rows, the first `most` of them chosen."""
        known = self.orders.get((method, most, seed))
        if known is None:
            known = PICKS[method][1](self.rows, self.data.n_items, most, seed, self.ctx)
            self.orders[method, most, seed] = known
        return known

    def set(self, chosen: np.ndarray) -> TrainingSet:
        """These rows as they are trained on."""
        train = self.data.training()
        weight = None if train.weights is None else train.weights[chosen]
        return TrainingSet.of(train.rows.take(chosen), self.data.n_items, self.data.max_len, weight=weight)

    def arrays(self, chosen: np.ndarray) -> Mapping[str, np.ndarray]:
        """These rows as they would be delivered."""
        train = self.data.training()
        weight = None if train.weights is None else train.weights[chosen]
        return sizes.hard_arrays(train.rows.take(chosen), self.data.n_items, weight)

    def within(self, order: np.ndarray, size: int) -> np.ndarray:
        """As many of the first rows as fit into so many bytes, one at least."""
        cost = np.cumsum(sizes.row_bytes(self.rows, self.data.n_items, self.data.training().weights)[order])
        return order[: max(1, int(np.searchsorted(cost, size, side="right")))]


def contenders(
    data: Sequences,
    summaries: Sequence[SequenceSummary],
    baselines: Sequence[str],
    *,
    draws: int,
    seed: int,
    ctx: Context,
    teacher: Teacher | None = None,
) -> list[Contender]:
    """Everything a learner is trained on: the full data, the summaries with their forms, and cheap sets.

    A random pick is drawn `draws` times. `teacher`: whose labels the baseline `teacher-labels` carries.
    """
    pool = Pool(data, ctx)
    everything = np.arange(len(pool.rows))
    source = pool.arrays(everything)
    whole = Contender(
        _record("full", "full data", "full", [(pool.set(everything), source)], "hard"), (pool.set(everything),)
    )
    found = [whole]
    for number, summary in enumerate(summaries):
        name = "summary" if not number else f"summary-{number + 1}"
        forms = list(_forms(summary, name, alone=len(summaries) == 1))
        found += forms
        smaller = [form.record for form in forms if form.record.bytes < whole.record.bytes]
        for method in baselines:
            if method == "teacher-labels":
                if teacher is not None:
                    found.append(_labelled(pool, teacher, summary, draws, seed, name))
                continue
            repeats = draws if method == "random" else 1
            found.append(_of_equal_rows(pool, summary, method, repeats, seed, name))
            for form in smaller:
                found.append(_of_equal_bytes(pool, form, method, repeats if form.role == "summary" else 1, seed))
    return found


def _forms(summary: SequenceSummary, name: str, *, alone: bool) -> Iterator[Contender]:
    made = summary.origin.method or "given"
    for number, (form, data) in enumerate(summary.delivered().items()):
        said = sizes.LABELS[form]
        label = f"this summary ({said})" if alone else f"{name.replace('-', ' ')}: {made} ({said})"
        drawn = [(data, summary.arrays(form))]
        if number == 0:
            record = _record(name, label, "summary", drawn, form, method=summary.origin.method, rows=summary.n_rows)
        else:
            label = f"as {said}" if alone else f"{name.replace('-', ' ')} as {said}"
            record = _record(f"{name}-{form}", label, "form", drawn, form, of=name, rows=summary.n_rows)
        yield Contender(record, (data,))


def _record(
    name: str,
    label: str,
    role: Role,
    draws: Sequence[tuple[TrainingSet, Mapping[str, np.ndarray]]],
    form: str,
    *,
    method: str = "",
    equal: Equal = "rows",
    of: str = "",
    rows: int | None = None,
) -> Record:
    return Record(
        name=name,
        label=label,
        role=role,
        rows=round(float(np.mean([one.units for one, _ in draws]))) if rows is None else rows,
        events=float(np.mean([_events(one) for one, _ in draws])),
        bytes=max(sizes.plain_bytes(arrays) for _, arrays in draws),
        compressed=max(sizes.compressed_bytes(arrays) for _, arrays in draws),
        encoding=sizes.ENCODINGS[form],
        method=method,
        equal=equal,
        of=of,
    )


def _events(data: TrainingSet) -> float:
    """Events of all rows: those that are predicted, and those that rows begin with."""
    return float(data.places + (np.count_nonzero(data.lengths) if data.first is None else data.first.sum()))


def _drawn(
    pool: Pool, draws: Sequence[np.ndarray]
) -> tuple[tuple[TrainingSet, ...], list[tuple[TrainingSet, Mapping[str, np.ndarray]]]]:
    sets = tuple(pool.set(chosen) for chosen in draws)
    return sets, [(one, pool.arrays(chosen)) for one, chosen in zip(sets, draws, strict=True)]


def _of_equal_rows(pool: Pool, summary: SequenceSummary, method: str, draws: int, seed: int, name: str) -> Contender:
    count = min(summary.n_rows, len(pool.rows))
    sets, drawn = _drawn(pool, [pool.order(method, count, seed + draw)[:count] for draw in range(draws)])
    suffix, label = ("" if name == "summary" else f"-{name}"), PICKS[method][0] + _beside(name)
    return Contender(_record(f"{method}{suffix}", label, "baseline", drawn, "hard", method=method), sets)


def _of_equal_bytes(pool: Pool, form: Record, method: str, draws: int, seed: int) -> Contender:
    shortest = max(1, int(sizes.row_bytes(pool.rows, pool.data.n_items, pool.data.training().weights).min()))
    most = min(len(pool.rows), form.bytes // shortest + 1)
    chosen = [pool.within(pool.order(method, most, seed + draw), form.bytes) for draw in range(draws)]
    sets, drawn = _drawn(pool, chosen)
    suffix = "" if form.name == "summary" else f"-{form.name}"
    label = f"{PICKS[method][0]} of equal bytes{_beside(form.name)}"
    record = _record(f"{method}-bytes{suffix}", label, "baseline", drawn, "hard", method=method, equal="bytes")
    return Contender(record, sets)


def _labelled(pool: Pool, teacher: Teacher, summary: SequenceSummary, draws: int, seed: int, name: str) -> Contender:
    """Random sequences of equal rows whose next events are a teacher's probabilities."""
    count = min(summary.n_rows, len(pool.rows))
    sets = tuple(
        teacher.labelled(pool.rows.take(pool.order("random", count, seed + draw)[:count]), pool.data.max_len)
        for draw in range(draws)
    )
    drawn = [(one, sizes.soft_arrays(one)) for one in sets]
    suffix = "" if name == "summary" else f"-{name}"
    label = f"random sequences with a teacher's labels{_beside(name)}"
    return Contender(_record(f"teacher-labels{suffix}", label, "baseline", drawn, "soft"), sets)


def _beside(name: str) -> str:
    """What a set is made equal to, where that is not plainly the one summary."""
    if name == "summary":
        return ""
    form = name.removeprefix("summary-")
    return f" ({sizes.LABELS[form]})" if form in sizes.LABELS else f" (as {name.replace('-', ' ')})"
