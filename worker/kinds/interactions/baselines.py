"""What a summary of interactions is compared with: the full data, its other forms, and cheap picks of equal size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worker.evidence.measurements import Role, TrainingSet
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.export import size_bytes
from worker.kinds.interactions.methods.head_users import head_users_of
from worker.kinds.interactions.methods.random_users import random_users_of
from worker.kinds.interactions.summary import InteractionsSummary

Rows = sparse.csr_array
FORM_LABELS = {
    "soft": "soft rows",
    "soft8": "soft rows, 8 bit",
    "soft4": "soft rows, 4 bit",
    "hard": "hard rows",
}
# A soft summary this many times the bytes of as many head users is also compared with head users of equal bytes.
_BYTES_APART = 1.5


@dataclass(frozen=True)
class Contender:
    """A training set with its rows; `draws` holds one CSR (n, I) per repetition (several for random picks)."""

    record: TrainingSet
    draws: tuple[Rows, ...]


def contenders(
    data: Interactions, summary: InteractionsSummary, baselines: Sequence[str], *, draws: int, seed: int
) -> list[Contender]:
    """Everything a learner is trained on, full data first, then the summary, its other forms, the baselines.

    Baselines have as many rows as the summary; where a summary thins rows out (far fewer events a row than the
    data has) they have as many events instead.
    """
    full = data.training_rows()
    found = [_contender("full", "full data", "full", full, "hard")]
    for number, (form, rows) in enumerate(summary.delivered().items()):
        if number == 0:
            found.append(_contender("summary", f"this summary ({FORM_LABELS[form]})", "summary", rows, form))
        else:
            found.append(_contender(f"summary-{form}", f"as {FORM_LABELS[form]}", "form", rows, form))
    equal = "events" if _thins_out(summary, full) else "rows"
    if "random-users" in baselines:
        found.append(_random_users(data, summary, equal, draws, seed))
    if "head-users" in baselines:
        found.append(_head_users(data, summary, equal))
        found += _head_users_of_equal_bytes(data, found[1].record, found[-1].record, found[0].record)
    return found


def _contender(
    name: str, label: str, role: Role, rows: Rows, form: str, *, method: str = "", equal: str = "rows"
) -> Contender:
    record = TrainingSet(
        name, label, role, int(rows.shape[0]), float(rows.sum()), size_bytes(rows, form), _encoding(rows, form),
        method, equal,
    )  # fmt: skip
    return Contender(record, (rows,))


def _encoding(rows: Rows, form: str) -> str:
    index = "uint16" if rows.shape[1] <= 1 << 16 else "uint32"
    named = {
        "hard": f"CSR, {index} items",
        "soft": f"CSR, {index} items, float32 weights",
        "soft8": "8-bit codes and a scale per row",
        "soft4": "4-bit codes and a scale per row",
    }
    return named[form]


def _thins_out(summary: InteractionsSummary, full: Rows) -> bool:
    if summary.form != "hard" or not full.shape[0] or not summary.n_rows:
        return False
    return summary.n_events / summary.n_rows < 0.5 * full.nnz / full.shape[0]


def _random_users(data: Interactions, summary: InteractionsSummary, equal: str, draws: int, seed: int) -> Contender:
    lengths = np.diff(data.train.indptr)
    able = np.flatnonzero(lengths)
    picked = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        if equal == "events":
            users = np.sort(_until(rng.permutation(able), lengths, summary.n_events))
        else:
            users = random_users_of(lengths, min(summary.n_rows, len(able)), rng)
        picked.append(Rows(data.train[users]))
        if len(users) == len(able):
            break
    first = _contender("random-users", _label("random users", equal), "baseline", picked[0], "hard",
                       method="random-users", equal=equal)  # fmt: skip
    return Contender(first.record, tuple(picked))


def _head_users(data: Interactions, summary: InteractionsSummary, equal: str) -> Contender:
    lengths = np.diff(data.train.indptr)
    able = int(np.count_nonzero(lengths))
    users = head_users_of(lengths, data.user_ids, min(summary.n_rows, able))
    if equal == "events":
        users = np.sort(_until(_longest_first(lengths, data.user_ids), lengths, summary.n_events))
    rows = Rows(data.train[users])
    return _contender("head-users", _label("head users", equal), "baseline", rows, "hard",
                      method="head-users", equal=equal)  # fmt: skip


def _head_users_of_equal_bytes(
    data: Interactions, summary: TrainingSet, heads: TrainingSet, full: TrainingSet
) -> list[Contender]:
    """Head users that fill the summary's bytes, where rows alone would flatter a dense summary."""
    if not _BYTES_APART * heads.bytes < summary.bytes < full.bytes / _BYTES_APART:
        return []
    lengths = np.diff(data.train.indptr)
    order = _longest_first(lengths, data.user_ids)
    index = 2 if data.n_items <= 1 << 16 else 4
    filled = np.cumsum(index * lengths[order] + 4)
    users = np.sort(order[: max(1, int(np.searchsorted(filled, summary.bytes, side="right")))])
    rows = Rows(data.train[users])
    return [_contender("head-users-bytes", "head users of equal bytes", "baseline", rows, "hard",
                       method="head-users", equal="bytes")]  # fmt: skip


def _label(name: str, equal: str) -> str:
    return name if equal == "rows" else f"{name} of equal {equal}"


def _longest_first(lengths: np.ndarray, user_ids: np.ndarray) -> np.ndarray:
    return np.lexsort((user_ids, -lengths))[: np.count_nonzero(lengths)]


def _until(order: np.ndarray, lengths: np.ndarray, events: int) -> np.ndarray:
    """The first users of an order whose rows together reach a number of events."""
    return order[: int(np.searchsorted(np.cumsum(lengths[order]), events)) + 1]
