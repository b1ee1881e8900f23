"""label-mix: what it learns, what each of its views is for, and that its inner validation does not leak."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.kinds.labels.topics import FIELDS, halves, topics
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.contract.learner import learners_of
from worker.evidence.measurements import Ratio
from worker.kinds.labels.dataset import LabelSet, csr
from worker.kinds.labels.learners import label_mix
from worker.kinds.labels.metrics import inverse_propensities, measure
from worker.kinds.labels.mixture import Views
from worker.kinds.labels.reranker import Candidates, Reranker, candidates


def fitted(training: LabelSet, seed: int = 0) -> label_mix.LabelMixModel:
    """Trained as the judge does it."""
    prepare = learners_of("labels")["label-mix"].prepare
    assert prepare is not None
    return prepare(training, None, Context(seed=seed)).fit({}, Context(seed=seed))


def figures(model: object, training: LabelSet, test: LabelSet) -> tuple[float, float]:
    """P@1 and PSP@1."""
    labels, _ = model.top(test, 5)  # pyright: ignore
    scores = measure(labels, test.targets, inverse_propensities(training.counts, len(training)))
    p, psp = scores["p1"], scores["psp1"]
    assert isinstance(psp, Ratio)
    return float(np.mean(p)), float(psp.numerator.sum() / psp.denominator.sum())  # pyright: ignore


@pytest.fixture(scope="module")
def of_text() -> tuple[LabelSet, LabelSet, label_mix.LabelMixModel]:
    training, test = halves(topics())
    return training, test, fitted(training)


def test_words_of_labels_are_learnt_of_rare_labels_too(
    of_text: tuple[LabelSet, LabelSet, label_mix.LabelMixModel],
) -> None:
    training, test, model = of_text
    p, psp = figures(model, training, test)
    frequent = np.tile(np.argsort(-training.counts, kind="stable")[:5].astype(np.int32), (len(test), 1))
    floor = measure(frequent, test.targets, inverse_propensities(training.counts, len(training)))["p1"]
    assert p > 0.9 > float(np.mean(floor)) + 0.4  # pyright: ignore
    assert psp > 0.7
    # The tail: documents whose topic has at most eight training documents have it among their first three labels.
    labels, _ = model.top(test, 3)
    rare = np.flatnonzero((training.counts <= 8) & (training.counts > 0) & (np.arange(training.labels) >= FIELDS))
    asked = [(row, label) for row in range(len(test)) for label in test.targets[row].indices if label in rare]
    assert len(asked) >= 15
    assert np.mean([label in labels[row] for row, label in asked]) > 0.6


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    of_text: tuple[LabelSet, LabelSet, label_mix.LabelMixModel],
) -> None:
    training, test, model = of_text
    first, again, other = model.top(test, 5), fitted(training).top(test, 5), fitted(training, seed=1).top(test, 5)
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1].tobytes() == again[1].tobytes()
    assert (first[1] != other[1]).any()


def test_rankings_hold_each_label_once_and_candidates_alone(
    of_text: tuple[LabelSet, LabelSet, label_mix.LabelMixModel],
) -> None:
    training, test, model = of_text
    labels, scores = model.top(test, training.labels + 3)
    known = int((training.counts > 0).sum())
    for row, best in zip(labels, scores, strict=True):
        kept = row[row >= 0]
        assert len(set(kept.tolist())) == len(kept) == known
        assert (training.counts[kept] > 0).all()
        assert (np.diff(best[: len(kept)]) <= 0).all()
        assert np.isneginf(best[len(kept) :]).all()
    some = np.arange(training.labels) % 2 == 0
    labels, _ = model.top(replace(test, candidates=some), 3)
    assert some[labels[labels >= 0]].all()
    assert model.top(test.take(np.arange(0)), 3)[0].shape == (0, 3)
    alone = np.concatenate([model.top(test.take(np.array([row])), 3)[0] for row in range(5)])
    assert (alone == model.top(test, 3)[0][:5]).all()


def test_a_document_without_a_known_word_gets_labels_all_the_same(
    of_text: tuple[LabelSet, LabelSet, label_mix.LabelMixModel],
) -> None:
    _, test, model = of_text
    strange = replace(test.take(np.arange(2)), titles=["", "zzz"], bodies=["", "qqq"])
    labels, scores = model.top(strange, 3)
    assert (labels >= 0).all()
    assert np.isfinite(scores).all()


def test_features_and_many_labels_are_learnt_by_a_hidden_layer() -> None:
    training, test = halves(topics(800, per=7, text=False))
    model = fitted(training)
    assert training.targets.nnz / len(training) > 6
    assert not model.fitted.mixture.network.recipe.softmax  # pyright: ignore
    assert model.fitted.mixture.network.recipe.hidden  # pyright: ignore
    assert figures(model, training, test)[0] > 0.9


def test_small_sets_are_learnt_without_a_re_ranker() -> None:
    training, test = halves(topics(100))
    model = fitted(training.take(np.arange(60)))
    assert model.reranker is None
    assert figures(model, training, test)[0] > 0.4


def test_weights_count_like_copies_in_votes_and_centroids() -> None:
    training, _ = halves(topics(100))
    half = training.take(np.arange(40))
    twice = half.take(np.repeat(np.arange(40), 2))
    weighted = replace(half, weights=np.full(40, 2.0))
    for first, second in ((fitted(half), fitted(weighted)), (fitted(half), fitted(twice))):
        one, other = first.fitted.mixture.centroids, second.fitted.mixture.centroids
        assert len(one.values) == len(other.values)
    uneven = replace(half, weights=np.where(np.arange(40) < 20, 1.0, 3.0))
    copies = half.take(np.concatenate([np.arange(20), np.repeat(np.arange(20, 40), 3)]))
    view = [fitted(given).fitted for given in (uneven, copies)]
    direction = [v.mixture.centroids.products(v.other_terms.of_rows(np_rows(v, half))) for v in view]
    assert np.corrcoef(direction[0].ravel(), direction[1].ravel())[0, 1] > 0.99


def np_rows(view: object, documents: LabelSet) -> object:
    """Rows of documents under the vocabulary of a model: the same for both, whose texts are the same."""
    from worker.kinds.labels.encoding import encode
    from worker.kinds.labels.text_features import rich

    return encode(documents, rich, Context()).documents


def test_labels_whose_points_were_split_are_no_candidates_of_the_inner_validation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training, _ = halves(topics(600))
    seen: list[tuple[Candidates, np.ndarray]] = []
    original = Reranker.of

    def recorded(given: Candidates, truth: np.ndarray, weights: np.ndarray, ctx: Context) -> Reranker:
        seen.append((given, truth))
        return original(given, truth, weights, ctx)

    monkeypatch.setattr(Reranker, "of", staticmethod(recorded))
    ctx = Context(seed=0)
    label_mix.label_mix(training, None, ctx).fit({}, ctx)  # pyright: ignore
    held = np.sort(ctx.rng.permutation(len(training))[: label_mix.held_out(len(training))])
    rest = np.bincount(training.take(np.setdiff1d(np.arange(len(training)), held)).targets.indices, minlength=60)
    assert (rest < 2).any()
    for given, truth in seen:
        labels = given.labels[given.labels >= 0]
        assert (rest[labels] >= 2).all()
        assert truth.any()


def test_documents_that_others_repeat_are_not_held_out() -> None:
    training, _ = halves(topics())
    count = len(training)
    twice = training.take(np.concatenate([np.arange(count), np.arange(10)]))
    held = np.array([2, 5, 20, 30, count + 2, count + 7])
    # 2 is held out with its copy, 5 and the copy of 7 are said by documents that are not.
    assert label_mix.unseen(twice, held).tolist() == [2, 20, 30, count + 2]


def test_alpha_is_the_largest_gain_in_psp_that_costs_one_point_of_p() -> None:
    # Two candidates a document, a frequent and a rare one (q = e), log p apart by 0.3: from alpha 0.375 on the rare one
    # leads. In the first 50 documents it is right, in the others the frequent one.
    scores, q = np.tile([0.0, -0.3], (101, 1)), np.tile([1.0, np.e], (101, 1))
    truth = np.zeros((101, 2), bool)
    truth[:50, 1], truth[50:, 0] = True, True
    weights = np.ones(101)
    assert label_mix.best_alpha(scores, truth, q, weights) == 0.375  # P@1 51 to 50 of 101 is within the point
    weights[50:] = 1.1
    assert label_mix.best_alpha(scores, truth, q, weights) == 0  # and now it is not
    assert label_mix.best_alpha(scores, truth, np.ones((101, 2)), weights) == 0


def test_a_tenth_is_held_out_and_of_small_sets_more() -> None:
    assert [label_mix.held_out(count) for count in (38_641, 1000, 200)] == [3864, 300, 100]


def test_candidates_are_the_best_of_each_view_once() -> None:
    rng = np.random.default_rng(0)
    network, votes, cosine = (rng.random((4, 200)).astype(np.float32) for _ in range(3))
    votes[:, 10:] = 0
    views = Views(network, votes, cosine, rng.random(4).astype(np.float32))
    allowed = np.arange(200) != 7
    found = candidates(views, allowed, rng.integers(0, 9, 200), None, least=3)
    for row in range(4):
        labels = found.labels[row][found.labels[row] >= 0].tolist()
        assert labels == sorted(set(labels))
        network_best = [label for label in np.argsort(-network[row]) if label != 7][:30]
        cosine_best = [label for label in np.argsort(-cosine[row]) if label != 7][:15]
        assert set(labels) == {*network_best, *cosine_best, *(label for label in range(10) if label != 7)}
        first = found.features[row, 0]
        assert first[0] == pytest.approx(np.log(network[row, labels[0]] + 1e-5), abs=1e-6)
    assert candidates(views, allowed, np.zeros(200), None, least=100).labels.shape[1] >= 100


def test_the_mixture_by_hand() -> None:
    views = Views(*(np.array([[value]], np.float32) for value in (0.4, 0.2, 0.5)), np.zeros(1, np.float32))
    assert float(views.mixed(6.0)[0, 0]) == pytest.approx(np.log(0.65 * 0.4 + 0.35 * 0.2 + 1e-5) + 3, abs=1e-6)


def test_a_stop_is_obeyed() -> None:
    training, _ = halves(topics(400))

    class Stopping(Context):
        def report_progress(self, *given: object, **more: object) -> None:
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 10:
                self.stop()

    ctx = Stopping(seed=0)
    with pytest.raises(Cancelled):
        label_mix.label_mix(training, None, ctx).fit({}, ctx)  # pyright: ignore


def test_documents_that_say_nothing_are_refused() -> None:
    training, _ = halves(topics(60))
    silent = replace(
        training, titles=[""] * len(training), bodies=[""] * len(training), label_titles=None, label_bodies=None
    )
    with pytest.raises(JobError, match="features"):
        fitted(silent)
    unlabelled = replace(training, targets=csr(np.zeros(training.targets.shape)))
    with pytest.raises(JobError):
        fitted(unlabelled)
