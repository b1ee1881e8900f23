"""What is held out, and how a model is measured on it: bits per byte of documents, and what it knows of their sources.

Bits per byte are -log2 of the probability of a document over its UTF-8 bytes. Documents are read each on its own, and
are what is resampled. The further task is to name the source of a document from frozen features of the model: a
logistic regression on them, fitted on validation documents, since filtering can help there while bits per byte stay
("The data-quality illusion", arXiv:2510.00866).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.measurements import Metric, Pooled, Ratio, Scores, TestSet
from worker.kinds.text.containment import contained
from worker.kinds.text.dataset import HQ, TEST, TRAIN, VALIDATION, Corpus
from worker.kinds.text.deduplication import near_any
from worker.kinds.text.evaluate_params import EvaluateParams
from worker.kinds.text.models import Model
from worker.kinds.text.needs import TEST_DOCUMENTS
from worker.kinds.text.picks import shuffled
from worker.kinds.text.summary import TextSummary
from worker.kinds.text.training_text import Documents

BITS = Metric("bits_per_byte", "bits per byte", "bits", 1.0, higher_is_better=False, decimals=3)
MACRO = Metric("macro_accuracy", "macro accuracy of the source")
_TOO_MUCH = 0.2  # of a document, in documents of an uploaded subset
_LEAST = 10  # documents of a source, to learn from and to ask about
_NAMES = ("test documents", "validation documents", "documents of the high-quality set")


@dataclass(frozen=True)
class Asked:
    """Held-out documents: `ids` text (n,), `source` int32 (n,), -1 where none is known."""

    documents: Documents
    ids: np.ndarray
    source: np.ndarray

    def __len__(self) -> int:
        return len(self.documents)

    def bits(self, model: Model) -> Ratio:
        """Bits per byte of every document.

        Raises `JobError` `diverged` where the model gives a byte no probability at all.
        """
        found = model.bits(self.documents)
        if not np.isfinite(found).all():
            raise JobError("diverged", "The learner gives a byte no probability at all.")
        return Ratio(found, self.documents.sizes.astype(np.float64))


@dataclass(frozen=True)
class Sources:
    """The task of naming sources: of `fitted` and of `asked` documents those of sources `names` that both have."""

    names: tuple[str, ...]
    fitted: Asked
    asked: Asked

    def measure(self, model: Model, seed: int) -> Pooled | None:
        """What a logistic regression on the model's features says; None where it has none."""
        given, questions = model.features(self.fitted.documents), model.features(self.asked.documents)
        if given is None or questions is None:
            return None
        classify: Any = make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced", random_state=seed % 2**32)
        )
        classify.fit(given, self.fitted.source)
        return Pooled(
            "balanced_accuracy",
            {"label": self.asked.source.astype(np.int64), "predicted": classify.predict(questions).astype(np.int64)},
        )


@dataclass(frozen=True)
class HeldOut:
    """Everything that is measured on. `hq`: a set of known quality, None where there is none."""

    validation: Asked
    test: Asked
    hq: Asked | None
    sources: Sources | None
    seed: int

    @cached_property
    def tests(self) -> tuple[TestSet, ...]:
        """The one that the verdict speaks of first: quality where it is known."""
        found = [TestSet("test", "held-out documents of the dataset", "documents", len(self.test), self.test.ids)]
        if self.hq is not None:
            found.insert(0, TestSet("hq", "the high-quality set", "documents", len(self.hq), self.hq.ids))
        if self.sources is not None:
            asked = self.sources.asked
            found.append(TestSet("source", "held-out documents of a source", "documents", len(asked), asked.ids))
        return tuple(found)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Bits per byte lead."""
        return (BITS,) if self.sources is None else (BITS, MACRO)

    def validate(self, model: Model) -> Scores:
        """Bits per byte of validation documents."""
        return self.validation.bits(model)

    def measure(self, model: Model) -> Mapping[str, Mapping[str, Scores]]:
        """All metrics on all test sets."""
        found: dict[str, Mapping[str, Scores]] = {"test": {BITS.name: self.test.bits(model)}}
        if self.hq is not None:
            found["hq"] = {BITS.name: self.hq.bits(model)}
        if self.sources is not None and (said := self.sources.measure(model, self.seed)) is not None:
            found["source"] = {MACRO.name: said}
        return found


def held_out(data: Corpus, summaries: Sequence[TextSummary], params: EvaluateParams, ctx: Context) -> HeldOut:
    """Read what is held out: the test and validation parts, and all that the version `hq` in `ctx.inputs` holds out,
    or else the documents of split `hq`.

    Documents that are trained on, or nearly, are left out with a warning: who read a near-copy of a question knows the
    answer. That may be all of them. Raises `JobError` `too_few_rows` without test documents.
    """
    if not len(data.rows(TEST)):
        raise TEST_DOCUMENTS.refusal()
    good, rows = _high_quality(data, summaries, ctx)
    drawn = [
        (data, _drawn(data, data.rows(TEST), params.test_bytes, ctx.seed)),
        (data, _drawn(data, data.rows(VALIDATION), params.tune_bytes, ctx.seed)),
        (good, _drawn(good, rows, params.test_bytes, ctx.seed)),
    ]
    with ctx.part("held out", 0, 4) as part:
        test, validation, hq = _without_copies(drawn, _trained_on(data, summaries), part)
    sources = _sources(data, validation, test)
    return HeldOut(validation, test, hq if len(hq) else None, sources, ctx.seed)


def _trained_on(data: Corpus, summaries: Sequence[TextSummary]) -> list[tuple[Corpus, np.ndarray]]:
    """The documents that any set may hold: the training part, and summaries that have others."""
    train = data.rows(TRAIN)
    others = [(one.corpus, np.sort(one.taken)) for one in summaries]
    strange = [(one, rows[~np.isin(one.hash[rows], data.hash[train])]) for one, rows in others]
    return [(data, train), *(one for one in strange if len(one[1]))]


def _high_quality(data: Corpus, summaries: Sequence[TextSummary], ctx: Context) -> tuple[Corpus, np.ndarray]:
    """Where the high-quality set lies, and which of its documents nobody is trained on; none where there is no set."""
    given = ctx.inputs.get("hq")
    corpus: Corpus = data if given is None else given
    rows = data.rows(HQ)
    if given is not None:
        rows = np.flatnonzero(given.split > TRAIN)
        if not len(rows):
            raise JobError(
                "too_few_rows",
                "The high-quality set has no held-out documents.",
                hint="Upload it with a column `split` that says `hq`; its training documents may be the target of a "
                "method, so they are never measured on.",
                pointer="/inputs/hq",
            )
    trained_on = np.concatenate([data.hash[data.rows(TRAIN)], *(one.corpus.hash[one.taken] for one in summaries)])
    known = np.isin(corpus.hash[rows], trained_on)
    if known.any():
        ctx.warn(
            f"{int(known.sum()):,} documents of the high-quality set are training documents of the dataset, too; they "
            "were left out of it."
        )
    return corpus, rows[~known]


def _drawn(data: Corpus, rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Whole documents drawn from `rows` that fit into so many bytes, one at least, sorted; without empty ones."""
    rows = rows[data.bytes[rows] > 0]
    order = shuffled(data, rows, seed)
    fits = np.cumsum(data.bytes[order], dtype=np.int64) <= most
    fits[:1] = True
    return np.sort(order[fits])


def _without_copies(
    drawn: Sequence[tuple[Corpus, np.ndarray]], trained_on: Sequence[tuple[Corpus, np.ndarray]], ctx: Context
) -> list[Asked]:
    """Test, validation and high-quality documents that are no near-copies of documents trained on, and do not stand in
    those of uploaded subsets piece by piece, with their texts."""
    near = near_any(drawn, trained_on, ctx, "held-out documents")
    within = np.zeros(len(near), bool)
    if len(trained_on) > 1:  # documents that the dataset does not have may be pieces of those it holds out
        within = ~near & (contained(drawn, trained_on[1:], ctx) >= _TOO_MUCH)
    ends = np.cumsum([len(rows) for _, rows in drawn])[:-1]
    found: list[Asked] = []
    for (corpus, rows), copies, parts, name in zip(
        drawn, np.split(near, ends), np.split(within, ends), _NAMES, strict=True
    ):
        if parts.any():
            ctx.warn(
                f"A fifth or more of each of {int(parts.sum()):,} of {len(rows):,} {name} stands word for word in the "
                "documents of an uploaded subset; they were left out, since it holds the answers."
            )
        if copies.any():
            ctx.warn(
                f"{int(copies.sum()):,} of {len(rows):,} {name} are near-copies of training documents; they were left "
                "out, since who was trained on one knows the other."
            )
        found.append(_asked(corpus, rows[~copies & ~parts], ctx))
    return found


def _asked(data: Corpus, rows: np.ndarray, ctx: Context) -> Asked:
    """Documents (sorted int64) with their texts."""
    ids: list[str] = []
    texts: list[str] = []
    for batch in data.read(rows, ("id", "text")):
        ctx.progress(0, 1, phase="reading")
        ids += batch.column(0).to_pylist()
        texts += batch.column(1).to_pylist()
    return Asked(Documents.of(texts), np.array(ids, np.str_), np.asarray(data.source[rows]))


def _sources(data: Corpus, fitted: Asked, asked: Asked) -> Sources | None:
    """The task, where at least two sources have enough documents on both sides."""
    count = len(data.sources)
    if count < 2:
        return None
    enough = [np.bincount(one.source[one.source >= 0], minlength=count) >= _LEAST for one in (fitted, asked)]
    kept = np.flatnonzero(enough[0] & enough[1])
    if len(kept) < 2:
        return None
    return Sources(tuple(data.sources[at] for at in kept), *(_only(one, kept) for one in (fitted, asked)))


def _only(one: Asked, kept: np.ndarray) -> Asked:
    """The documents of some sources, numbered anew."""
    rows = np.flatnonzero(np.isin(one.source, kept))
    buffer, offsets = one.documents.buffer, one.documents.offsets
    documents = Documents.of(buffer[offsets[row] : offsets[row + 1]].tobytes() for row in rows)
    return Asked(documents, one.ids[rows], np.searchsorted(kept, one.source[rows]))
