"""Density sampling: by the inverse, the same whatever shards and processes there are, with honest inclusion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kinds.text.planted_topics import corpus, ids, topics
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.text.dataset import TRAIN, Corpus, Shard
from worker.kinds.text.methods.density import DensityParams, density


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpus(tmp_path_factory.mktemp("topics"), topics({"a": 150, "b": 50}, copies=100))


def params(**given: Any) -> DensityParams:
    return DensityParams(**{"rows": 200, "dimension": 16, **given})


def copies(summary: Any) -> int:
    return sum(name.startswith("copy") for name in ids(summary))


def test_near_copies_are_seldom_drawn_by_the_inverse_and_often_by_density(data: Corpus):
    """A third are near-copies of one document; the published last line draws in proportion to the density."""
    kept = {
        direction: np.mean([copies(density(data, params(k=60, direction=direction), Context(seed=s))) for s in (0, 1)])
        for direction in ("inverse", "direct")
    }
    assert kept["inverse"] <= 4
    assert kept["direct"] > 30
    assert copies(density(data, params(k=60, direction="top"), Context())) == 60
    assert copies(density(data, params(k=60, direction="bottom"), Context())) == 0


def test_the_selection_is_the_same_in_other_shards_and_another_order(data: Corpus, tmp_path: Path):
    expected = density(data, params(rate=0.3), Context(seed=3))
    documents = topics({"a": 150, "b": 50}, copies=100)
    shuffled = [documents[at] for at in np.random.default_rng(0).permutation(len(documents))]
    other = density(corpus(tmp_path, shuffled), params(rate=0.3), Context(seed=3))
    assert ids(other) == ids(expected)
    in_two = _in_shards(data, tmp_path / "shards")
    again = density(in_two, params(rate=0.3), Context(seed=3))
    np.testing.assert_array_equal(again.taken, expected.taken)
    for name in expected.scores:
        np.testing.assert_array_equal(again.scores[name], expected.scores[name])


def _in_shards(data: Corpus, folder: Path) -> Corpus:
    """The same documents in shards of 70."""
    import pyarrow.parquet as pq

    folder.mkdir()
    whole = pq.read_table(data.shards[0].path)
    shards = []
    for start in range(0, len(data), 70):
        path = folder / f"{start}.parquet"
        pq.write_table(whole.slice(start, 70), path, row_group_size=30)
        shards.append(Shard(path, start, min(70, len(data) - start)))
    return replace(data, shards=tuple(shards))


def test_everything_is_kept_when_all_is_asked_for_and_no_more_can_be(data: Corpus):
    everything = len(np.unique(data.hash[data.rows(TRAIN)]))
    kept = density(data, params(k=everything), Context())
    assert len(kept) == everything
    np.testing.assert_array_equal(kept.scores["inclusion_prob"], 1)
    for size in ({"k": everything + 1}, {"budget": everything + 1}):
        with pytest.raises(JobError, match=r"there are|at most|comes to"):
            density(data, params(**size), Context())
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        DensityParams(k=0)


@pytest.mark.parametrize("sampling", ["systematic", "poisson"])
def test_weights_of_fixed_inclusion_are_its_inverse_and_add_up(data: Corpus, sampling: str):
    made = density(data, params(k=80, sampling=sampling), Context(seed=1))
    inclusion = made.scores["inclusion_prob"]
    assert inclusion.sum() == pytest.approx(80, rel=1e-5)
    taken = np.isin(made.candidates, made.rows)
    np.testing.assert_allclose(made.weights, 1 / inclusion[taken], rtol=1e-5)
    assert len(made) == 80 if sampling == "systematic" else 50 < len(made) < 110
    totals = [density(data, params(k=80, sampling=sampling), Context(seed=s)).weights.sum() for s in range(6)]
    assert np.mean(totals) == pytest.approx(len(made.candidates), rel=0.25)
    with pytest.raises(JobError, match="draws nothing"):
        density(data, params(sampling=sampling, direction="top"), Context())
    with pytest.raises(JobError, match="cannot promise"):
        density(data, params(sampling=sampling, group_floor=0.1), Context())


def test_inclusion_is_said_of_a_number_of_documents_alone(data: Corpus):
    """Of long documents fewer fit into a size in tokens or bytes, so the weights alone do not say who is kept."""
    assert "inclusion_prob" in density(data, params(k=80), Context(seed=1)).scores
    for given in ({"token_budget": 2000}, {"budget": "20kB"}, {"rate": 0.2, "unit": "tokens"}):
        made = density(data, params(**given), Context(seed=1))
        assert "inclusion_prob" not in made.scores
        assert "inclusion" not in made.facts


def test_angles_have_no_width(data: Corpus):
    with pytest.raises(JobError, match="no width") as refused:
        density(data, params(kernel="angular", width=0.5), Context())
    assert refused.value.pointer == "/params/width"


def test_drawing_that_is_almost_uniform_is_warned_of(tmp_path: Path):
    plain = corpus(tmp_path, topics({"a": 120, "b": 120}))
    ctx = Context()
    made = density(plain, params(hashes=1, width=5.0, rows=1000), ctx)
    assert made.facts["coefficient_of_variation"] < 0.1
    assert "almost the same as drawing at random" in " ".join(made.warnings)
    with pytest.raises(JobError, match="more than ten times the median") as refused:
        density(plain, params(width=50.0), Context())
    assert refused.value.pointer == "/params/width"


def test_bandwidth_follows_from_the_data(data: Corpus):
    facts = density(data, params(), Context()).facts
    assert facts["width"] == pytest.approx(0.4 * facts["median_distance"])
    assert 1 <= facts["hashes"] <= 8
    assert facts["range"] == 20_000
    assert 1 < facts["effective_sample_size"] < len(data)


def test_uploaded_vectors_are_taken_and_unusable_ones_left_out_with_a_count(tmp_path: Path):
    rng = np.random.default_rng(0)
    documents = topics({"a": 100, "b": 30})
    for number, one in enumerate(documents):
        one["embedding"] = (rng.normal(size=4) + (20 if one["source"] == "b" else 0)).tolist()
        if number in (1, 2):
            one["embedding"] = [0.0] * 4
    given = corpus(tmp_path, documents, split="random")
    zeros = int(np.isin([1, 2], given.rows(TRAIN)).sum())
    ctx = Context()
    made = density(given, params(embedder="column", k=30, kernel="l1"), ctx)
    assert f"{zeros} of" in ctx.warnings[0]
    assert np.isnan(made.scores["density"]).sum() == zeros
    assert not {"a1", "a2"} & ids(made)


def test_embedders_that_cannot_be_had_are_refused(data: Corpus, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(JobError, match="no column of embeddings") as refused:
        density(data, params(embedder="column"), Context())
    assert refused.value.pointer == "/params/embedder"
    monkeypatch.setattr("worker.kinds.text.embedding.minilm.PACKAGE", "no_such_package")
    with pytest.raises(JobError, match="needs no_such_package"):
        density(data, params(embedder="minilm"), Context())
