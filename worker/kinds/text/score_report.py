"""What a report shows of scores: their histogram, how those of several methods agree, and who is at either end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from worker.contract.text import storable
from worker.evidence.plot import Plot, Series
from worker.evidence.table import Cell, Column, Table
from worker.kinds.text.dataset import TRAIN, Corpus
from worker.kinds.text.picks import shuffled
from worker.kinds.text.summary import TextSummary

_COMPARED, _BINS, _ENDS, _CHARS = 5_000, 40, 10, 240
_TAU: Any = kendalltau
NOISE = "random"
"""A score that is a drawn number and says nothing of its document."""


@dataclass(frozen=True)
class Scored:
    """Scores float64 (m,) of documents `rows` (sorted numbers in the dataset), NaN where there is none."""

    label: str
    rows: np.ndarray
    values: np.ndarray

    def of(self, rows: np.ndarray) -> np.ndarray:
        """The scores of some documents, NaN for those that have none."""
        at = np.searchsorted(self.rows, rows).clip(max=max(0, len(self.rows) - 1))
        there = self.rows[at] == rows if len(self.rows) else np.zeros(len(rows), bool)
        return np.where(there, self.values[at] if len(self.values) else np.nan, np.nan)


def all_scores(data: Corpus, summaries: Sequence[TextSummary], seed: int) -> list[Scored]:
    """The scores that summaries were selected by, and the score columns of the dataset on a sample of its documents."""
    found: list[Scored] = []
    for number, summary in enumerate(summaries):
        for name, values in summary.scores.items():
            method = summary.origin.method or "given"
            label = method if name in (method, "score") else f"{method}: {name}"
            if any(one.label == label for one in found):
                label = f"{label} ({number + 1})"
            found.append(Scored(label, summary.candidates, values.astype(np.float64)))
    if data.score_names:
        rows = np.sort(shuffled(data, data.rows(TRAIN), seed)[:_COMPARED])
        columns = [[column.to_numpy(zero_copy_only=False) for column in batch.columns]
                   for batch in data.read(rows, data.score_names)]  # fmt: skip
        for at, name in enumerate(data.score_names):
            values = np.concatenate([batch[at] for batch in columns]) if columns else np.empty(0)
            found.append(Scored(f"column {name}", rows, values.astype(np.float64)))
    return found


def agreement(data: Corpus, scores: Sequence[Scored], seed: int) -> np.ndarray:
    """Kendall's tau-b (k, k) of every two scores over at most 5,000 documents that both know; NaN where fewer than two
    are, or one is constant. Kendall, "The treatment of ties in ranking problems" (Biometrika, 1945)."""
    rows = np.sort(shuffled(data, data.rows(TRAIN), seed)[:_COMPARED])
    known = [one.of(rows) for one in scores]
    found = np.full((len(scores), len(scores)), np.nan)
    for a, first in enumerate(known):
        for b in range(a, len(known)):
            both = np.isfinite(first) & np.isfinite(known[b])
            if _varies(first[both]) and _varies(known[b][both]):
                found[a, b] = found[b, a] = _TAU(first[both], known[b][both]).statistic
    return found


def plots(data: Corpus, summaries: Sequence[TextSummary], seed: int) -> Iterator[Plot]:
    """A histogram of each summary's first score, and a heat map of how scores agree."""
    for number, summary in enumerate(summaries):
        if (first := _first(summary)) is not None:
            yield histogram(summary, *first, number)
    scores = all_scores(data, summaries, seed)
    if len(scores) < 2:
        return
    tau = agreement(data, scores, seed)
    labels = tuple(one.label for one in scores)
    said = ", ".join(
        f"{labels[a]} and {labels[b]} {tau[a, b]:.2f}"
        for a in range(len(labels))
        for b in range(a)
        if np.isfinite(tau[a, b])
    )
    yield Plot(
        "agreement",
        "How far scores order documents alike",
        f"Kendall's tau-b between scores: {said}.",
        "heatmap",
        "Kendall's tau-b",
        "",
        tuple(Series(label, labels, tuple(row.tolist())) for label, row in zip(labels, tau, strict=True)),
        n=min(_COMPARED, len(data.rows(TRAIN))),
    )


def histogram(summary: TextSummary, name: str, values: np.ndarray, number: int) -> Plot:
    """Scores of all candidates, and of those kept."""
    finite = np.isfinite(values)
    edges = np.histogram_bin_edges(values[finite], _BINS)
    kept = finite & np.isin(summary.candidates, summary.rows)
    series = [
        Series(label, tuple(edges.tolist()), tuple((100 * np.histogram(part, edges)[0] / max(1, len(part))).tolist()))
        for label, part in (("all candidates", values[finite]), ("kept", values[kept]))
    ]
    middle = np.median(values[finite]), np.median(values[kept]) if kept.any() else np.nan
    return Plot(
        "scores" if not number else f"scores-{number + 1}",
        f"Scores of {summary.origin.method or 'the selection'}",
        f"Per cent of documents by {name}; the median is {middle[0]:.3g} of all candidates and {middle[1]:.3g} of "
        "those kept.",
        "histogram",
        name,
        "% of documents",
        tuple(series),
        n=int(finite.sum()),
    )


def tables(data: Corpus, summaries: Sequence[TextSummary], seed: int) -> Iterator[Table]:
    """How scores agree, and the first summary's best and worst."""
    scores = all_scores(data, summaries, seed)
    if len(scores) > 1:
        yield agreement_table(data, scores, seed)
    if (first := _first(summaries[0])) is not None:
        yield examples(data, summaries[0], *first)


def agreement_table(data: Corpus, scores: Sequence[Scored], seed: int) -> Table:
    """Kendall's tau-b of every two scores."""
    tau = agreement(data, scores, seed)
    keys = [f"score_{at}" for at in range(len(scores))]
    return Table(
        "kendall",
        "How far scores order documents alike: Kendall's tau-b",
        (
            Column("score", "Score", "text"),
            *(Column(key, one.label, decimals=2) for key, one in zip(keys, scores, strict=True)),
        ),
        tuple(
            {"score": one.label} | dict(zip(keys, row.tolist(), strict=True))
            for one, row in zip(scores, tau, strict=True)
        ),
        note=f"1: the same order; 0: none of one in the other; over at most {_COMPARED:,} training documents.",
        heading="How scores agree",
    )


def examples(data: Corpus, summary: TextSummary, name: str, values: np.ndarray) -> Table:
    """The ten documents with the highest and with the lowest score, cut short."""
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.lexsort((data.key[summary.candidates[known]], -values[known]))]
    ends = dict.fromkeys([*order[:_ENDS].tolist(), *order[-_ENDS:].tolist()])
    kept = np.isin(summary.candidates, summary.rows)
    rank = {int(at): place + 1 for place, at in enumerate(order)}
    rows = np.array(sorted(int(summary.candidates[at]) for at in ends), np.int64)
    read = [one for batch in data.read(rows, ("id", "text")) for one in batch.to_pylist()]
    texts = dict(zip(rows.tolist(), read, strict=True))
    shown: list[dict[str, Cell]] = [
        {
            "rank": rank[at],
            "score": float(values[at]),
            "kept": "yes" if kept[at] else "no",
            "id": _cut(texts[int(summary.candidates[at])]["id"], 60),
            "text": _cut(texts[int(summary.candidates[at])]["text"], _CHARS),
        }
        for at in ends
    ]
    return Table(
        "examples",
        f"The highest and the lowest of {len(order):,} candidates by {name}",
        (
            Column("rank", "Rank", decimals=0),
            Column("score", "Score", decimals=3),
            Column("kept", "Kept", "text"),
            Column("id", "Document", "text"),
            Column("text", "Its beginning", "text"),
        ),
        tuple(shown),
        folded=True,
        heading="Best and worst",
    )


def _first(summary: TextSummary) -> tuple[str, np.ndarray] | None:
    """The score that a summary was selected by, unless it is noise or known of nobody."""
    for name, values in summary.scores.items():
        return None if name == NOISE or not np.isfinite(values).any() else (name, values.astype(np.float64))
    return None


def _varies(values: np.ndarray) -> bool:
    return len(values) > 1 and float(values.min()) < float(values.max())


def _cut(text: str | None, chars: int) -> str:
    words = " ".join(storable((text or "")[: 4 * chars]).split())
    return words if len(words) <= chars else words[:chars] + " …"
