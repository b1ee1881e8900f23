"""What a summary of interactions is compared with: the full data, its own forms, and cheap picks of equal size.

Random users, head users and, where users share histories, the most frequent ones with their counts are measured with as
many rows as the summary, and, for every delivered form that is smaller than the source, with as many bytes. Bytes are
those of the arrays; what they take compressed stands beside them. Where EASE is trained, a sparse Gram matrix of as
many bytes as the summary shows how far one comes who delivers no rows at all: a bound, which trains nothing else and
decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from worker.evidence.measurements import Role, TrainingSet
from worker.evidence.training import Contender
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import ENCODINGS, LABELS, arrays, compressed_bytes, plain_bytes
from worker.kinds.interactions.picks import Pool, sparse_gram
from worker.kinds.interactions.rows import ItemGram, UserRows
from worker.kinds.interactions.summary import InteractionsSummary

Equal = Literal["rows", "bytes", "events"]
PICKS = {
    "random-users": "random users",
    "head-users": "head users",
    "frequent-histories": "frequent histories with counts",
}


def contenders(
    data: Interactions, summaries: Sequence[InteractionsSummary], picks: Sequence[str], *, draws: int, seed: int
) -> list[Contender]:
    """Everything a learner is trained on: the full data, the summaries with their forms, cheap picks, and a bound.

    Where a summary thins rows out (far fewer events a row than the data has), picks have as many events instead of as
    many rows. A random pick is drawn `draws` times. Without picks there is no bound either.
    """
    pool = Pool(data)
    full = data.training()
    whole = Contender(_record("full", "full data", "full", [full], pool.form), (full,))
    found = [whole]
    for number, summary in enumerate(summaries):
        name = "summary" if not number else f"summary-{number + 1}"
        forms = list(_forms(summary, name, alone=len(summaries) == 1))
        found += forms
        smaller = [form.record for form in forms if form.record.bytes < whole.record.bytes]
        for method in picks:
            if method == "frequent-histories" and not pool.repeats:
                continue  # then they are head users
            repeats = draws if method == "random-users" else 1
            found.append(_of_equal_rows(pool, summary, full, method, repeats, seed, name))
            for form in smaller:
                found.append(_of_equal_bytes(pool, form, method, repeats if form.role == "summary" else 1, seed))
        if picks:
            found += [bound for form in smaller if form.role == "summary" for bound in _gram_of_equal_bytes(full, form)]
    return found


def _gram_of_equal_bytes(full: UserRows, form: TrainingSet) -> Iterator[Contender]:
    bound = sparse_gram(full, form.bytes)
    if bound is not None:
        suffix = "" if form.name == "summary" else f"-{form.name}"
        label = f"sparse Gram matrix of equal bytes{_beside(form.name)}"
        record = _record(f"gram-bytes{suffix}", label, "bound", [bound], "gram", equal="bytes")
        yield Contender(record, (bound,), learners=("ease",))


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
    role: Role,
    draws: Sequence[UserRows | ItemGram],
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
        rows=round(float(np.mean([len(rows) for rows in draws]))),
        events=float(np.mean([rows.matrix.sum() if isinstance(rows, UserRows) else 0 for rows in draws])),
        bytes=max(plain_bytes(arrays(rows, form)) for rows in draws),
        compressed=max(compressed_bytes(rows, form) for rows in draws),
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
    form = ""
    for draw in range(draws):
        queue = pool.queue(method, (seed, draw))
        count, form = min(summary.n_rows, len(queue.order)), queue.form
        if equal == "events":
            count = int(np.searchsorted(np.cumsum(queue.lengths), summary.n_events)) + 1
        picked.append(queue.first(count))
        if count >= len(queue.order):
            break
    label = PICKS[method] if equal == "rows" else f"{PICKS[method]} of equal events"
    suffix = "" if name == "summary" else f"-{name}"
    label += _beside(name)
    record = _record(f"{method}{suffix}", label, "baseline", picked, form, method=method, equal=equal)
    return Contender(record, tuple(picked))


def _of_equal_bytes(pool: Pool, form: TrainingSet, method: str, draws: int, seed: int) -> Contender:
    queues = [pool.queue(method, (seed, draw)) for draw in range(draws)]
    picked = [queue.within(form.bytes) for queue in queues]
    suffix = "" if form.name == "summary" else f"-{form.name}"
    label = f"{PICKS[method]} of equal bytes{_beside(form.name)}"
    record = _record(f"{method}-bytes{suffix}", label, "baseline", picked, queues[0].form, method=method, equal="bytes")
    return Contender(record, tuple(picked))


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
