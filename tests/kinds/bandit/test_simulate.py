from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from tests.kinds.bandit.uploads import refusal, upload, write_csv
from tests.planted import planted_csv
from tests.shared_data import shared
from worker.contract.context import Context
from worker.kinds.bandit import canonical
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.ingest import ingest
from worker.kinds.bandit.policies import Policy, SparseTable, dense
from worker.kinds.bandit.simulate import cut, draw, factorise, softmax


def simulated(path: Path, out: Path, options: dict[str, Any]) -> tuple[BanditLog, dict[str, Any]]:
    told = ingest([(path.name, path)], options, out, Context())
    return canonical.load(out), told


def is_what_it_says(log: BanditLog, told: dict[str, Any]) -> None:
    """Propensities are the policy's, rewards scatter around the truth, and IPS of the logging policy hits its value."""
    assert log.logging is not None
    assert log.truth is not None
    np.testing.assert_allclose(log.propensity, log.logging.at(log.action), rtol=1e-12)
    expected = log.truth.at(log.truth.rows, log.action)
    error = (log.reward - expected).mean()
    assert abs(error) <= 4 * (log.reward - expected).std() / np.sqrt(log.n) + 1e-6
    value = told["statistics"]["true_values"]["logging"]
    assert abs(log.reward.mean() - value) <= 4.5 * log.reward.std() / np.sqrt(log.n)


def test_draw_when_many_rounds_then_the_policys_frequencies_and_never_a_zero() -> None:
    table = np.array([[0.5, 0.0, 0.5, 0.0], [0.0, 0.1, 0.2, 0.7], [0.0, 0.0, 1.0, 0.0]])
    index = np.repeat(np.arange(3, dtype=np.int32), 20_000)
    for policy in (dense(table, index), Policy(SparseTable(sparse.csr_array(table)), index)):
        drawn = draw(policy, np.random.default_rng(0))
        found = np.stack([np.bincount(drawn[index == row], minlength=4) / 20_000 for row in range(3)])
        np.testing.assert_allclose(found, table, atol=0.015)
        assert policy.at(drawn).min() > 0


def test_cut_when_a_threshold_then_small_probabilities_vanish_and_rows_sum_to_one() -> None:
    found = cut(np.array([[0.9, 0.06, 0.04], [0.34, 0.33, 0.33]]), 0.5)
    np.testing.assert_allclose(found, [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(softmax(np.log([[1.0, 2.0, 1.0]]), 1.0, 0.25), [[0, 1, 0]])


def test_factorise_when_ratings_are_of_low_rank_then_they_are_found() -> None:
    rng = np.random.default_rng(0)
    full = 3 + rng.normal(size=(60, 1)) + rng.normal(size=30) + 2 * rng.normal(size=(60, 2)) @ rng.normal(size=(2, 30))
    seen = sparse.csr_array(np.where(rng.random((60, 30)) < 0.7, full, 0))
    found = factorise(seen, 4, 0, Context()).predictions
    hidden = seen.toarray() == 0
    assert np.corrcoef(found[hidden], full[hidden])[0, 1] > 0.95


@pytest.mark.parametrize("options", [{"simulate": "popularity"}, {"simulate": "factors", "simulated_threshold": 0.01}])
def test_simulate_when_from_interactions_then_a_log_with_its_truth(tmp_path: Path, options: dict[str, Any]) -> None:
    path = planted_csv(tmp_path / "planted.csv", users=150, items=40)
    out = upload(tmp_path)
    log, told = simulated(path, out, options | {"simulated_rounds": 5000})
    is_what_it_says(log, told)
    assert log.embeddings is not None
    assert log.action_ids is not None
    assert told["statistics"]["propensity"]["source"] == "simulated"
    assert told["statistics"]["true_values"]["target"] > told["statistics"]["true_values"]["logging"]


def letters(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 5, 3000)
    x = np.eye(5)[label] * 2 + rng.normal(size=(3000, 5))
    table = {f"f{d}": x[:, d] for d in range(5)} | {"label": np.array(list("abcde"))[label]}
    return write_csv(folder / "classes.csv", table)


def test_multiclass_when_mixture_then_alpha_on_the_guess_and_the_rest_uniform(tmp_path: Path) -> None:
    log, told = simulated(
        letters(tmp_path), upload(tmp_path), {"multiclass_to_bandit": "mixture", "simulated_alpha": 0.7}
    )
    is_what_it_says(log, told)
    assert log.action_ids is not None
    assert log.action_ids.tolist() == list("abcde")
    np.testing.assert_allclose(np.unique(log.propensity.round(12)), [0.06, 0.76])


def test_multiclass_when_softmax_is_cut_then_support_is_deficient(tmp_path: Path) -> None:
    options = {"multiclass_to_bandit": "softmax", "simulated_beta": 3, "simulated_threshold": 0.01}
    log, told = simulated(letters(tmp_path), upload(tmp_path), options)
    is_what_it_says(log, told)
    assert log.logging is not None
    probabilities = log.logging.dense(np.arange(log.n))
    assert (probabilities == 0).mean() > 0.3
    assert probabilities[probabilities > 0].min() >= 0.01


def test_simulate_when_a_split_by_time_is_asked_for_then_refused(tmp_path: Path) -> None:
    letters(upload(tmp_path))
    refused = refusal(tmp_path / "up", {"multiclass_to_bandit": "softmax", "split": "time"})
    assert refused.pointer == "/options/split"


def test_multiclass_when_letter_then_a_useful_deficient_log(tmp_path: Path) -> None:
    path = shared("letter") / "letter-recognition.data.gz"
    options = {"multiclass_to_bandit": "softmax", "columns": {"label": "Letter"}, "simulated_threshold": 0.01}
    log, told = simulated(path, tmp_path, options)
    is_what_it_says(log, told)
    assert (log.n, log.n_actions, log.contexts.shape[1]) == (10_000, 26, 16)
    assert told["statistics"]["true_values"]["target"] > 0.6


def test_simulate_when_movielens_then_the_whole_catalogue_as_actions(tmp_path: Path) -> None:
    path = shared("ml-100k") / "ml-100k.inter"
    log, told = simulated(path, tmp_path, {"simulate": "factors"})
    is_what_it_says(log, told)
    assert (log.n, log.n_actions) == (10_000, 1682)
    values = told["statistics"]["true_values"]
    assert 0.4 < values["logging"] < 0.6
    assert values["target"] > 0.9
    assert log.embeddings is not None
    assert log.embeddings.shape == (1682, 17)
