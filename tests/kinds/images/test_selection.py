"""Pickers and scores against brute force and known answers."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.kinds.images.small import small_digits
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.images.budget import SizeParams, balanced, counts_of
from worker.kinds.images.dataset import TEST, TRAIN, Images
from worker.kinds.images.networks import build
from worker.kinds.images.selection import proxies
from worker.kinds.images.selection.by_score import by_score, kept
from worker.kinds.images.selection.facility_location import facility_location
from worker.kinds.images.selection.pickers import best_of_clusters, clusters, herding, k_center, medoids, nearest_rows
from worker.kinds.images.selection.proxies import Said, el2n, errors, forgetting, grand
from worker.runtime.registry import discover

RNG = np.random.default_rng(0)


def test_herding_takes_the_row_that_brings_the_mean_of_those_taken_nearest_to_the_mean():
    x = RNG.normal(size=(40, 3)).astype(np.float32)
    taken: list[int] = []
    for t in range(8):
        left = [row for row in range(40) if row not in taken]
        away = [np.linalg.norm((t + 1) * x.mean(0) - x[taken].sum(0) - x[row]) for row in left]
        taken.append(left[int(np.argmin(away))])
    assert herding(x, 8, RNG).tolist() == taken


def test_k_center_is_within_twice_the_least_radius():
    x = RNG.normal(size=(14, 2)).astype(np.float32)
    apart = np.linalg.norm(x[:, None] - x[None], axis=2)
    least = min(apart[:, list(some)].min(axis=1).max() for some in itertools.combinations(range(14), 3))
    chosen = k_center(x, 3, RNG)
    assert len(set(chosen.tolist())) == 3
    assert apart[:, chosen].min(axis=1).max() <= 2 * least + 1e-6


def test_medoids_of_separate_clusters_are_one_row_of_each():
    x = np.concatenate([RNG.normal(at, 0.1, size=(20, 2)) for at in (0, 5, 10)]).astype(np.float32)
    assert sorted(row // 20 for row in medoids(x, 3, np.random.default_rng(1))) == [0, 1, 2]
    centres, sizes = clusters(x, 3, np.random.default_rng(1))
    assert sizes.tolist() == [20, 20, 20]
    assert len(set(nearest_rows(x, np.repeat(centres, 2, axis=0)).tolist())) == 6


def test_facility_location_when_greedy_is_lazy_then_chooses_what_plain_greedy_chooses_and_counts_the_nearest():
    g = RNG.normal(size=(30, 4)).astype(np.float32)
    far = 2 * np.linalg.norm(g, axis=1).max() + 1e-6
    similar = far - np.linalg.norm(g[:, None].astype(np.float64) - g[None], axis=2)
    best, plain = np.zeros(30), list[int]()
    for _ in range(6):
        gains = np.maximum(similar - best[:, None], 0).sum(axis=0)
        gains[plain] = -1
        plain.append(int(gains.argmax()))
        best = np.maximum(best, similar[:, plain[-1]])
    chosen, sizes = facility_location(g, 6)
    assert chosen.tolist() == plain
    assert sizes.tolist() == np.bincount(similar[:, plain].argmax(axis=1), minlength=6).tolist()


def test_facility_location_reaches_the_bound_of_greedy_choice():
    g = RNG.normal(size=(12, 2)).astype(np.float32)
    far = 2 * np.linalg.norm(g, axis=1).max() + 1e-6
    similar = far - np.linalg.norm(g[:, None] - g[None], axis=2)
    most = max(similar[:, list(some)].max(axis=1).sum() for some in itertools.combinations(range(12), 3))
    assert similar[:, facility_location(g, 3)[0]].max(axis=1).sum() >= (1 - 1 / np.e) * most


def test_grand_is_the_length_of_the_gradient_of_the_last_layer():
    network = build("convnet", 1, (8, 8), 3, seed=0, width=8)
    x, y = torch.randn(5, 1, 8, 8), np.array([0, 1, 2, 0, 1])
    with torch.no_grad():
        features = network.features(x)
        probability = torch.softmax(network.head(features), dim=1).numpy()
    said = Said(probability, features.norm(dim=1).numpy(), np.zeros(5, np.int64))
    for row in range(5):
        network.zero_grad()
        functional.cross_entropy(network(x[row : row + 1]), torch.tensor(y[row : row + 1])).backward()
        gradient = torch.cat([network.head.weight.grad.ravel(), network.head.bias.grad])
        assert grand([said], y)[row] == pytest.approx(float(gradient.norm()), rel=1e-4)
        assert el2n([said], y)[row] == pytest.approx(float(np.linalg.norm(errors(said, y)[row])), rel=1e-5)


def test_forgetting_counts_losses_of_what_was_right_and_what_was_never_learned_comes_first():
    said = [
        Said(np.zeros((3, 2)), np.zeros(3), np.array([2, 0, -1])),
        Said(np.zeros((3, 2)), np.zeros(3), np.array([0, 0, -1])),
    ]
    assert forgetting(said).tolist() == [1.0, 0.0, np.inf]


def test_scores_keep_the_hardest_less_those_likely_mislabelled_or_the_easiest():
    score, y = np.arange(20.0), np.repeat([0, 1], 10)
    counts = np.array([2, 3])
    assert sorted(by_score(score, y, counts, "easiest", 0.1, RNG)) == [0, 1, 10, 11, 12]
    assert sorted(by_score(score, y, counts, "hardest", 0.1, RNG)) == [7, 8, 16, 17, 18]
    assert sorted(by_score(score, y, np.array([10, 1]), "hardest", 0.5, RNG))[:10] == list(range(10))
    assert kept("auto", counts, 20) == "hardest"
    assert kept("auto", counts, 26) == "easiest"


def test_sizes_when_given_in_any_form_then_come_to_images_of_each_class(tmp_path: Path):
    data = small_digits(tmp_path)
    assert counts_of(data, SizeParams()).tolist() == [1] * 4
    assert counts_of(data, SizeParams(ipc=3)).tolist() == [3] * 4
    assert counts_of(data, SizeParams(budget=6)).sum() == 6
    assert counts_of(data, SizeParams(budget="10%")).sum() == round(0.1 * len(data.train))
    assert counts_of(data, SizeParams(budget="660B")).sum() == 10
    assert balanced(10, np.array([2, 9, 9])).tolist() == [2, 4, 4]
    with pytest.raises(ValueError, match="not both"):
        SizeParams(ipc=1, budget=3)
    for params, pointer in ((SizeParams(ipc=500), "/params/ipc"), (SizeParams(budget=2), "/params/budget")):
        with pytest.raises(JobError) as refused:
            counts_of(data, params)
        assert refused.value.pointer == pointer
        assert refused.value.hint


@pytest.mark.parametrize("name", ["el2n", "craig", "herding"])
def test_selection_when_run_twice_then_keeps_the_same_training_images(name: str, tmp_path: Path):
    data = small_digits(tmp_path)
    method = discover()["images", name]
    first, second = (method.run(data, method.params(ipc=2), Context(seed=3)) for _ in range(2))
    assert first.rows is not None
    assert first.rows.tolist() == second.rows.tolist()
    assert (data.split[first.rows] == 0).all()
    assert (first.x == data.pixels[first.rows]).all()
    assert np.bincount(first.y).tolist() == [2] * 4


def test_proxies_when_they_watch_a_training_then_learn_and_count(tmp_path: Path):
    data = small_digits(tmp_path)
    said = proxies.said_by_proxies(data, proxies.ProxyParams(ipc=1), Context(seed=1))
    assert len(said) == proxies.EFFORTS["quick"].networks
    right = said[0].probability.argmax(axis=1) == data.train.y
    assert right.mean() > 0.7
    assert (said[0].forgotten >= -1).all()
    assert said[0].forgotten[right].max() >= 0


def test_auto_when_asked_then_follows_share_side_values_and_machine(tmp_path: Path):
    from worker.kinds.images.methods.auto import choice

    data = small_digits(tmp_path)  # 64 training images of 8 x 8

    def of(count: int, side: int) -> Images:
        pixels = np.broadcast_to(np.uint8(0), (count, side, side, 3))
        label = np.arange(count) % 10
        return replace(data, pixels=pixels, label=label, split=np.zeros(count, np.int8))

    assert choice(data, 7, "cpu")[0] == "el2n"
    assert choice(data, 6, "cpu")[0] == "kip-fc"
    assert choice(of(10_000, 128), 100, "cpu")[0] == "rded"
    assert choice(of(10_000, 32), 50, "cuda")[0] == "dm"
    assert choice(of(10_000, 32), 50, "cpu")[0] == "kip-fc"
    assert choice(of(10_000, 32), 800, "cpu")[0] == "k-medoids"
    assert choice(of(10_000, 48), 50, "cpu")[0] == "k-medoids"
    assert choice(of(10_000, 48), 50, "cpu")[1].endswith("takes long on this machine")


def test_images_per_class_when_too_many_then_the_cure_is_the_most_there_may_be(tmp_path: Path):
    data = small_digits(tmp_path)
    assert set(data.counts) == {data.counts[0]}, "as many in every class: all of them would be no summary"
    with pytest.raises(JobError) as refused:
        counts_of(data, SizeParams(ipc=500))
    most = int(refused.value.hint.split("ipc=")[1].split(",")[0].rstrip("."))
    assert counts_of(data, SizeParams(ipc=most)).sum() == 4 * (data.counts[0] - 1)
    first = np.searchsorted(data.train.y[np.argsort(data.train.y, kind="stable")], np.arange(4))
    rows = np.flatnonzero(data.split == TRAIN)[np.argsort(data.train.y, kind="stable")[first]]
    with pytest.raises(JobError, match="comes to 4 images; the dataset has 4") as single:
        counts_of(replace(data, split=np.where(np.isin(np.arange(len(data)), rows), TRAIN, TEST)), SizeParams(ipc=1))
    assert "Upload more images" in single.value.hint


def test_the_best_of_every_cluster_and_where_points_are_equal_of_the_others():
    rng = np.random.default_rng(0)
    apart = np.repeat(np.array([[0, 0], [9, 0], [0, 9]], np.float32), 4, axis=0) + rng.random((12, 2), np.float32)
    loss = rng.permutation(12).astype(float)
    least_of_each = [4 * k + int(np.argmin(loss[4 * k : 4 * k + 4])) for k in range(3)]
    assert sorted(best_of_clusters(apart, loss, 3, rng).tolist()) == least_of_each
    equal = np.zeros((12, 2), np.float32)
    assert sorted(loss[best_of_clusters(equal, loss, 3, rng)].tolist()) == [0, 1, 2]
    assert sorted(best_of_clusters(apart, loss, 20, rng).tolist()) == list(range(12))
