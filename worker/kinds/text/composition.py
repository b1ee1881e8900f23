"""What a report shows of the sets: what learners saw of each, what it is made of, and how each source fares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from worker.contract.text import storable
from worker.evidence.measurements import Ratio, TrainedResult
from worker.evidence.table import Cell, Column, Table
from worker.kinds.text.baselines import DocumentSet, Drawn
from worker.kinds.text.held_out import BITS, HeldOut
from worker.kinds.text.training_text import TrainingText

_WORDS, _SOURCES = 3, 8


def training_table(sets: Sequence[DocumentSet]) -> Table:
    """What a learner saw of each set: documents, distinct bytes, and how often it read them."""
    rows: list[dict[str, Cell]] = [
        {
            "set": one.record.label,
            "documents": _mean(one, lambda draw: len(draw.text.documents)),
            "distinct": _mean(one, lambda draw: draw.text.distinct),
            "seen": one.draws[0].text.bytes,
            "epochs": _mean(one, lambda draw: draw.text.epochs),
            "draws": len(one.draws),
        }
        for one in sets
    ]
    return Table(
        "training",
        "What every learner saw of each set: equal bytes of training text",
        (
            Column("set", "Training set", "text"),
            Column("documents", "Documents read", unit="documents", decimals=0),
            Column("distinct", "Distinct bytes", unit="B", decimals=0),
            Column("seen", "Bytes seen", unit="B", decimals=0),
            Column("epochs", "Epochs", decimals=2),
            Column("draws", "Draws", unit="per set", decimals=0),
        ),
        tuple(rows),
        note="Epochs: bytes seen over distinct bytes. The n-gram counts a document once however often it is read.",
        highlight=_summaries(sets),
        heading="What was read",
    )


def composition_table(sets: Sequence[DocumentSet]) -> Table:
    """What each set is made of: sources, duplicates, repeated phrases, lengths."""
    sourced = any((draw.corpus.source >= 0).any() for one in sets[:1] for draw in one.draws)
    rows: list[dict[str, Cell]] = [
        {
            "set": one.record.label,
            "entropy": _mean(one, source_entropy) if sourced else None,
            "duplicates": 100 * _mean(one, duplicate_share),
            "distinct_ngrams": 100 * distinct_share(one.draws[0].text),
            "tokens": _mean(one, lambda draw: float(draw.corpus.tokens[draw.rows].mean())),
            "bytes": _mean(one, lambda draw: float(draw.corpus.bytes[draw.rows].mean())),
        }
        for one in sets
    ]
    return Table(
        "composition",
        "What each set is made of",
        (
            Column("set", "Training set", "text"),
            Column("entropy", "Entropy of sources", unit="bits", decimals=2),
            Column("duplicates", "Exact duplicates", unit="%", decimals=2),
            Column("distinct_ngrams", "Distinct word triples", unit="%"),
            Column("tokens", "Mean length", unit="tokens"),
            Column("bytes", "Mean bytes", unit="B", decimals=0),
        ),
        tuple(rows),
        note="Entropy of the shares of sources among documents: 0 where all are of one. Exact duplicates: documents "
        "that equal an earlier one. Distinct word triples: of the text that was read, hence of equal bytes.",
        highlight=_summaries(sets),
        heading="What it is made of",
    )


def coverage_table(sets: Sequence[DocumentSet], held: HeldOut, results: Sequence[TrainedResult]) -> Table:
    """For each of the largest sources: its share of every set, and the bits per byte of its held-out documents under
    the first learner."""
    corpus = sets[0].draws[0].corpus
    largest = np.argsort(-np.bincount(corpus.source[corpus.source >= 0], minlength=len(corpus.sources)))
    rows: list[dict[str, Cell]] = []
    for source in map(int, largest[: _SOURCES if len(corpus.sources) > 1 else 0]):
        asked = held.test.source == source
        name = storable(corpus.sources[source])[:60]
        for one in sets:
            bits = _bits(one, asked, results)
            share = 100 * _mean(one, lambda draw, name=corpus.sources[source]: _share_of(draw, name))
            rows.append({"source": name, "set": one.record.label, "share": share, "bits": bits, "n": int(asked.sum())})
    return Table(
        "sources",
        "How each source fares",
        (
            Column("source", "Source", "text"),
            Column("set", "Training set", "text"),
            Column("share", "Of its bytes", unit="%"),
            Column("bits", "Bits per byte on the source's held-out documents", unit="bits", decimals=3),
            Column("n", "n", unit="test documents", decimals=0),
        ),
        tuple(rows),
        note="Under the first learner, mean over draws. A set that leaves a source out pays for it here, whatever it "
        "gains on others.",
        group="source",
        folded=True,
        heading="Source by source",
    )


def source_entropy(drawn: Drawn) -> float:
    """Entropy in bits of the sources of documents; those without one count as of one more."""
    counts = np.unique(drawn.corpus.source[drawn.rows], return_counts=True)[1]
    shares = counts / max(1, counts.sum())
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


def duplicate_share(drawn: Drawn) -> float:
    """Share of documents whose text equals that of an earlier one."""
    return 1 - len(np.unique(drawn.corpus.hash[drawn.rows])) / max(1, len(drawn.rows))


def distinct_share(text: TrainingText) -> float:
    """Distinct word triples over all of them, within documents; 1 where there are none."""
    found: Counter[tuple[str, ...]] = Counter()
    for number in range(len(text.documents)):
        words = text.documents.text(number).lower().split()
        found.update(zip(*(words[at:] for at in range(_WORDS)), strict=False))
    return len(found) / max(1, found.total()) if found else 1.0


def _share_of(drawn: Drawn, source: str) -> float:
    names = drawn.corpus.sources
    if source not in names:
        return 0.0
    sizes = drawn.corpus.bytes[drawn.rows].astype(np.float64)
    return float(sizes[drawn.corpus.source[drawn.rows] == names.index(source)].sum() / max(1.0, sizes.sum()))


def _bits(one: DocumentSet, asked: np.ndarray, results: Sequence[TrainedResult]) -> float | None:
    found = [r for r in results if r.set == one.record.name and r.learner == results[0].learner]
    values: list[float] = []
    for result in found:
        scores = result.scores["test"][BITS.name]
        if isinstance(scores, Ratio) and asked.any():
            values.append(float(scores.numerator[asked].sum() / scores.denominator[asked].sum()))
    return float(np.mean(values)) if values else None


def _mean(one: DocumentSet, of: Callable[[Drawn], float]) -> float:
    return float(np.mean([of(draw) for draw in one.draws]))


def _summaries(sets: Sequence[DocumentSet]) -> tuple[int, ...]:
    return tuple(at for at, one in enumerate(sets) if one.record.role == "summary")
