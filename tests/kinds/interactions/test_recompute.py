"""Every figure can be computed again from what the API delivers: files of the version, report and its archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kinds.interactions import recompute
from tests.kinds.interactions.recompute import Stored, Version
from worker.contract.context import Context
from worker.evidence.report import build
from worker.kinds.interactions import dataset
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.judge import evaluate_params, judge
from worker.kinds.interactions.methods.head_users import HeadUsersParams, head_users
from worker.kinds.interactions.splits import clean

METRICS = ("ndcg@10", "hr@100")


def tastes(users: int = 260, items: int = 150, seed: int = 0) -> Interactions:
    """Five tastes, popular and rare items, rows of 8 to 24 events; more items than the longest list."""
    rng = np.random.default_rng(seed)
    popular = 1 / (1 + np.arange(items)) ** 0.5
    user, item = [], []
    for number in range(users):
        weights = popular * np.where(np.arange(items) % 5 == number % 5, 8.0, 1.0)
        chosen = rng.choice(items, int(rng.integers(8, 25)), replace=False, p=weights / weights.sum())
        user += [number] * len(chosen)
        item += chosen.tolist()
    who = np.array(user)
    return Interactions.from_columns(
        who,
        np.array(item),
        clean(who, seed=seed),
        user_ids=np.array([f"u{number:03d}" for number in range(users)]),
        item_ids=np.array([f"i{number:03d}" for number in range(items)]),
    )


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user downloads it: `version/` and `report/`."""
    folder = tmp_path_factory.mktemp("delivered")
    (folder / "version").mkdir()
    data = tastes()
    dataset.save(data, folder / "version")
    ctx = Context(seed=4)
    summary = head_users(data, HeadUsersParams(budget=40), ctx)
    params = evaluate_params()(learners=["popularity", "ease"], bootstrap=200)
    build(judge(data, [summary], params, ctx), {"method": "head-users", "seed": 4}).write(folder / "report")
    return folder


@pytest.fixture(scope="module")
def version(delivered: Path) -> Version:
    return Version.read(delivered / "version")


@pytest.fixture(scope="module")
def stored(delivered: Path) -> Stored:
    (file,) = (delivered / "report").rglob("measurements.npz")
    return Stored.read(file)


@pytest.fixture(scope="module")
def report(delivered: Path) -> dict[str, Any]:
    return json.loads((delivered / "report" / "report.json").read_text())


@pytest.fixture(scope="module")
def tested(version: Version, stored: Stored) -> tuple[np.ndarray, np.ndarray]:
    """What test users are fed, and what they should be recommended, in the order of the stored ids."""
    place = [version.users.index(user) for user in stored.arrays["ids/test"].tolist()]
    return (version.train + version.validation)[place], version.test[place]


def rows_of(version: Version, stored: Stored, name: str, result: dict[str, Any]) -> np.ndarray:
    if name == "full":
        return version.train
    seeds = stored.arrays[f"draw_seeds/{name}"][result["draw"]]
    return recompute.draw(version, seeds, int(stored.arrays[f"draw_users/{name}"][result["draw"]]))


@pytest.mark.parametrize("name", ["full", "random-users", "random-users-bytes"])
def test_scores_of_popularity_are_exactly_those_of_a_count(
    name: str, version: Version, stored: Stored, tested: tuple[np.ndarray, np.ndarray]
) -> None:
    inputs, targets = tested
    results = stored.results("popularity", name)
    assert len(results) == (1 if name == "full" else 3)
    for result in results:
        rows = rows_of(version, stored, name, result)
        found = recompute.metrics(recompute.popularity(rows, inputs), inputs, targets)
        for metric in METRICS:
            np.testing.assert_allclose(stored.scores(result, metric), found[metric], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["full", "random-users"])
def test_scores_of_ease_are_those_of_its_formula_at_the_chosen_ridge(
    name: str, version: Version, stored: Stored, tested: tuple[np.ndarray, np.ndarray]
) -> None:
    inputs, targets = tested
    for result in stored.results("ease", name):
        rows = rows_of(version, stored, name, result)
        found = recompute.metrics(recompute.ease(rows, inputs, result["chosen"]["ridge"]), inputs, targets)
        for metric in METRICS:
            apart = np.abs(stored.scores(result, metric) - found[metric]) > 1e-6
            assert not (apart & ~found["near"]).any()
            assert apart.mean() < 0.02
            assert np.ptp(found[metric]) > 0.3, "users differ, so agreement says something"


def test_auc_of_popularity_is_that_of_the_stated_negatives(
    version: Version, stored: Stored, tested: tuple[np.ndarray, np.ndarray]
) -> None:
    inputs, targets = tested
    (result,) = stored.results("popularity", "full")
    found = recompute.auc(recompute.popularity(version.train, inputs), inputs, targets, seed=4)
    np.testing.assert_allclose(stored.scores(result, "auc_user"), found, rtol=0, atol=1e-12)


def test_chosen_ridge_is_the_best_of_all_that_were_tried(stored: Stored) -> None:
    for result in stored.results("ease", "full") + stored.results("ease", "random-users"):
        values = [stored.arrays[one["validation"]["array"]].mean() for one in result["tried"]]
        assert result["tried"][int(np.argmax(values))]["settings"] == result["chosen"]
        assert result["validation"] == pytest.approx(max(values), rel=1e-12)


def test_means_shares_and_intervals_are_those_printed(stored: Stored, report: dict[str, Any]) -> None:
    labels = {one["name"]: one["label"] for one in stored.index["sets"]}
    (table,) = (table for table in report["tables"] if table["name"] == "fidelity")
    printed = {(row["learner"], row["set"]): row for row in table["rows"]}
    assert len(printed) == 2 * len(labels) - 1, "a Gram matrix trains EASE alone"
    for learner, shown in (("popularity", "popularity"), ("ease", "EASE")):
        full, all_full = recompute.resampled(stored, learner, "full", "ndcg@10")
        for name, label in labels.items():
            if (shown, label) not in printed:
                assert name == "gram-bytes"
                continue
            row = printed[shown, label]
            mean, values = recompute.resampled(stored, learner, name, "ndcg@10")
            expected = [100 * mean, *(100 * end for end in recompute.interval(values))]
            assert [row["metric"], row["metric_low"], row["metric_high"]] == pytest.approx(expected, rel=1e-9)
            share = [100 * mean / full, *(100 * end for end in recompute.interval(values / all_full))]
            assert [row["kept"], row["kept_low"], row["kept_high"]] == pytest.approx(share, rel=1e-9)
            assert row["n"] == len(stored.arrays["ids/test"])


def test_report_says_by_which_protocol(stored: Stored, report: dict[str, Any]) -> None:
    assert stored.index["protocol"] == report["protocol"]["hash"]
    assert "permutation" in report["protocol"]["text"]
