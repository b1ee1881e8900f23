"""What methods must hold: allocation, leakage, determinism, edge cases, bundles that load and run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kinds.graph.training import accuracy
from tests.planted_graph import planted
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.graph.allocation import allocate
from worker.kinds.graph.clustering.propagated_means import class_means
from worker.kinds.graph.dataset import TEST, TRAIN, VALIDATION, Graph
from worker.kinds.graph.features import dense
from worker.kinds.graph.methods.pagerank import ranks
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.summary import CondensedGraph, adopt
from worker.kinds.graph.training_graph import TrainingGraph
from worker.runtime.registry import discover

SELECTS = ["random", "degree", "pagerank", "herding", "k-center"]
TRAIN_ONLY = [*SELECTS, "averaging", "k-means-prop"]
TEACHER = {"teacher_epochs": 30, "teachers": 1}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return planted(200, classes=3, features=8)


def made(
    graph: Graph, method: str, seed: int = 1, inputs: dict[str, Any] | None = None, **params: Any
) -> CondensedGraph:
    known = discover()["graph", method]
    return known.run(graph, known.params(**params), Context(seed=seed, inputs=inputs or {}))


def same(a: CondensedGraph, b: CondensedGraph) -> bool:
    return np.array_equal(dense(a.x), dense(b.x)) and np.array_equal(a.y, b.y)


@pytest.mark.parametrize("method", SELECTS)
def test_selection_then_is_of_distinct_train_nodes_in_their_shares(method: str, graph: Graph):
    found = made(graph, method, n_nodes=17, output_features="raw")
    assert found.source is not None
    assert len(set(found.source.tolist())) == 17
    assert (graph.split[found.source] == TRAIN).all()
    assert np.array_equal(graph.y[found.source], found.y)
    assert np.array_equal(np.bincount(found.y), allocate(graph.train_counts, 17))
    assert (np.diff(found.y) >= 0).all()
    assert np.array_equal(dense(found.x), graph.x[found.source])
    assert found.adjacency is not None
    assert (found.adjacency != graph.adjacency[found.source][:, found.source]).nnz == 0
    smooth = made(graph, method, n_nodes=17)
    assert smooth.adjacency is None
    assert dense(smooth.x) == pytest.approx(propagated(graph.operator, graph.x, 2, smooth.source), abs=1e-5)


def test_degree_and_pagerank_then_are_the_largest(graph: Graph):
    degrees = np.diff(graph.adjacency.indptr)
    for method, score in (("degree", degrees.astype(float)), ("pagerank", ranks(graph, 0.85))):
        found = made(graph, method, n_nodes=12)
        for c in range(3):
            nodes = graph.train[graph.y[graph.train] == c]
            chosen = found.source[found.y == c]
            assert score[chosen].min() >= max((score[n] for n in nodes if n not in chosen), default=0)


def test_pagerank_of_a_star_by_hand():
    from worker.kinds.graph.dataset import symmetric

    star = replace(planted(4, classes=2), adjacency=symmetric(np.array([[0, 0, 0], [1, 2, 3]]), 4))
    found = ranks(star, 0.85)
    centre = (0.15 / 4 + 0.85 * 3 * 0.15 / 4) / (1 - 0.85**2)
    assert found[0] == pytest.approx(centre, abs=1e-3)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("method", [*TRAIN_ONLY, "teacher-k-means"])
def test_labels_outside_train_then_change_nothing_but_the_choice_of_epoch(method: str, graph: Graph):
    params = TEACHER if method == "teacher-k-means" else {}
    other = replace(graph, y=np.where(graph.split == TEST, (graph.y + 1) % 3, graph.y))
    assert same(made(graph, method, n_nodes=12, **params), made(other, method, n_nodes=12, **params))


@pytest.mark.parametrize("method", TRAIN_ONLY)
def test_test_features_of_an_inductive_graph_then_change_nothing(method: str):
    graph = planted(200, classes=3, features=8, setting="inductive")
    x = graph.x.copy()
    x[graph.split != TRAIN] = 99
    assert same(made(graph, method, n_nodes=12), made(replace(graph, x=x), method, n_nodes=12))
    found = made(graph, method, n_nodes=12)
    assert found.source is None or (graph.split[found.source] == TRAIN).all()


@pytest.mark.parametrize("method", [*TRAIN_ONLY, "teacher-k-means"])
def test_seed_then_decides_everything(method: str, graph: Graph):
    params = TEACHER if method == "teacher-k-means" else {}
    assert same(made(graph, method, n_nodes=12, **params), made(graph, method, n_nodes=12, **params))
    if method in ("random", "k-means-prop", "teacher-k-means"):
        assert not same(made(graph, method, n_nodes=12, **params), made(graph, method, 2, n_nodes=12, **params))


def test_k_means_prop_of_as_many_nodes_as_there_are_then_gives_their_features(graph: Graph):
    found = made(graph, "k-means-prop", reduction_rate=1.0)
    order = np.argsort(graph.y[graph.train], kind="stable")
    expected = propagated(graph.operator, graph.x, 2, graph.train[order])
    assert dense(found.x) == pytest.approx(expected, abs=1e-5)
    assert found.origin.settings["size"]["reduction_rate"] == 1


def test_k_means_prop_then_means_are_of_rows_of_the_class(graph: Graph):
    rows, y = graph.x[graph.train], graph.y[graph.train]
    found = class_means(rows, y, np.array([1, 1, 1]), np.random.default_rng(0))
    assert found.x == pytest.approx(np.stack([rows[y == c].mean(0) for c in range(3)]), abs=1e-5)
    assert found.sizes.sum() == len(rows)


def test_k_means_prop_when_started_from_an_earlier_summary_then_moves_on_from_it(graph: Graph):
    earlier = made(graph, "k-means-prop", n_nodes=12)
    again = made(graph, "k-means-prop", 5, inputs={"start": earlier}, n_nodes=12)
    assert dense(again.x) == pytest.approx(dense(earlier.x), abs=1e-5)
    more = made(graph, "k-means-prop", 5, inputs={"start": earlier}, n_nodes=15)
    fewer = made(graph, "k-means-prop", 5, inputs={"start": earlier}, n_nodes=6)
    assert (len(more), len(fewer)) == (15, 6)
    with pytest.raises(JobError, match="not over the 8 features"):
        made(graph, "k-means-prop", inputs={"start": made(planted(90, features=5), "averaging")}, n_nodes=12)


def test_k_means_prop_when_started_from_classes_of_other_numbers_then_each_class_goes_on_from_its_own(graph: Graph):
    earlier = made(graph, "k-means-prop", n_nodes=12)
    turned = replace(earlier, y=graph.n_classes - 1 - earlier.y, classes=graph.classes[::-1])
    again = made(graph, "k-means-prop", 5, inputs={"start": turned}, n_nodes=12)
    assert dense(again.x) == pytest.approx(dense(earlier.x), abs=1e-5)


def test_k_means_prop_when_fuzzy_and_started_then_moves_on_from_it(graph: Graph):
    earlier = made(graph, "k-means-prop", n_nodes=12, fuzziness=1.1, restarts=1)
    again = made(graph, "k-means-prop", 5, inputs={"start": earlier}, n_nodes=12, fuzziness=1.1, restarts=1)
    other = made(graph, "k-means-prop", 5, n_nodes=12, fuzziness=1.1, restarts=1)
    assert dense(again.x) == pytest.approx(dense(earlier.x), abs=1e-3)
    assert dense(other.x) != pytest.approx(dense(earlier.x), abs=1e-3)


def test_k_means_prop_when_fuzzy_then_is_of_as_many_nodes(graph: Graph):
    found = made(graph, "k-means-prop", n_nodes=12, fuzziness=1.3, weights=[-0.1, 0.9, 0.9])
    assert len(found) == 12
    assert np.isfinite(dense(found.x)).all()


def test_averaging_then_nodes_of_a_class_are_equal(graph: Graph):
    found = made(graph, "averaging", n_nodes=10)
    for c in range(3):
        mean = graph.x[graph.train[graph.y[graph.train] == c]].mean(0)
        assert dense(found.x)[found.y == c] == pytest.approx(np.tile(mean, ((found.y == c).sum(), 1)), abs=1e-5)


def test_teacher_k_means_then_is_marked_soft_and_near_the_whole(graph: Graph):
    found = made(graph, "teacher-k-means", n_nodes=12, teacher_epochs=60)
    assert found.sees == "all"
    assert found.soft is not None
    assert found.soft.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(found.soft.argmax(1), found.y)
    assert found.teacher is not None
    whole = accuracy(graph, TrainingGraph.of(graph), epochs=60)
    assert accuracy(graph, found.training(), epochs=60) > whole - 10


def test_teacher_k_means_of_an_inductive_graph_then_is_refused_and_the_cure_works():
    graph = planted(150, setting="inductive")
    with pytest.raises(JobError, match="inductive forbids") as refused:
        made(graph, "teacher-k-means", n_nodes=9)
    assert "k-means-prop" in refused.value.hint
    assert len(made(graph, "k-means-prop", n_nodes=9)) == 9


def test_auto_then_says_why(graph: Graph):
    slow = made(graph, "auto", n_nodes=9, seconds=60)
    assert slow.origin.method == "teacher-k-means"
    assert "transductive" in slow.origin.reason
    quick = made(graph, "auto", n_nodes=9, seconds=1)
    assert quick.origin.method == "k-means-prop"
    inductive = made(replace(graph, setting="inductive"), "auto", n_nodes=9)
    assert inductive.origin.method == "k-means-prop"
    assert "inductive" in inductive.origin.reason


def test_low_homophily_then_condensing_degrades_gracefully():
    graph = planted(400, homophily=0.2, noise=0.5, seed=4)
    whole = accuracy(graph, TrainingGraph.of(graph), epochs=60)
    assert accuracy(graph, made(graph, "k-means-prop", n_nodes=30).training(), epochs=60) > 0.5 * whole


def test_bundle_then_its_readme_runs_as_shipped_and_it_reads_back(graph: Graph, tmp_path: Path):
    for number, found in enumerate((made(graph, "herding", n_nodes=12, output_features="raw"),
                                    made(graph, "teacher-k-means", n_nodes=12, **TEACHER))):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        found.write(folder, graph)
        again = CondensedGraph.read(folder)
        assert again.arrays().keys() == found.arrays().keys()
        assert all(np.array_equal(again.arrays()[k], v) for k, v in found.arrays().items())
        assert (again.sees, again.origin.method) == (found.sees, found.origin.method)
        text = (folder / "README.md").read_text()
        code = text.split("```python")[1].split("```")[0]
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert float(done.stdout.split()[-1]) > 0.5
        assert "of all nodes" in text


def test_bundle_when_uploaded_again_then_is_a_graph(graph: Graph, tmp_path: Path):
    from worker.kinds.graph import dataset, ingest

    found = made(graph, "herding", n_nodes=12, output_features="raw")
    found.write(tmp_path, graph)
    (tmp_path / "out").mkdir()
    ingest.ingest(
        [("condensed.npz", tmp_path / "condensed.npz")], {"normalize": "none"}, tmp_path / "out", Context(), {}
    )
    version = dataset.load(tmp_path / "out")
    assert version.n == 12
    taken = adopt(graph, version)
    assert dense(taken.x) == pytest.approx(dense(found.x))
    assert np.array_equal(taken.y, found.y)


def test_adopting_a_version_then_its_held_out_labels_are_not_learned_from(graph: Graph):
    taken = adopt(graph, graph)
    assert np.array_equal(taken.y >= 0, graph.split == TRAIN)
    with pytest.raises(JobError, match="features"):
        adopt(graph, planted(50, features=5))


def test_adopting_a_version_of_another_split_then_held_out_nodes_lose_their_labels(graph: Graph):
    turned = replace(graph, split=np.full(graph.n, TRAIN, np.int8))
    taken = adopt(graph, turned)
    assert not (taken.y[np.isin(graph.split, (VALIDATION, TEST))] >= 0).any()
    assert (taken.y[graph.split == TRAIN] >= 0).all()
    assert "have the features of a validation or test node" in taken.warnings[0]
    tested = graph.induced(np.flatnonzero(graph.split == TEST))
    with pytest.raises(JobError, match="All labelled train nodes"):
        adopt(graph, replace(tested, split=np.full(tested.n, TRAIN, np.int8)))


def test_permuted_nodes_then_centroids_are_the_same_up_to_order():
    graph = planted(120, classes=2, features=6)
    order = np.random.default_rng(0).permutation(graph.n)
    turned = replace(graph.induced(order))
    rows = [propagated(g.operator, g.x, 2, g.train) for g in (graph, turned)]
    first = class_means(rows[0], graph.y[graph.train], np.array([4, 4]), np.random.default_rng(0),
                        start=[rows[0][graph.y[graph.train] == c][:4] for c in range(2)])  # fmt: skip
    second = class_means(rows[1], turned.y[turned.train], np.array([4, 4]), np.random.default_rng(9),
                         start=[rows[0][graph.y[graph.train] == c][:4] for c in range(2)])  # fmt: skip
    assert first.x == pytest.approx(second.x, abs=1e-4)


def test_adopting_raw_features_then_they_go_through_the_transform_of_the_dataset(tmp_path: Path):
    from tests.planted_graph import as_npz
    from worker.kinds.graph import dataset, ingest

    graph = planted(200, features=4)
    versions = []
    for name, one in (("whole", graph), ("subset", graph.induced(graph.train[:30]))):
        (tmp_path / name).mkdir()
        file = as_npz(one, tmp_path / f"{name}.npz")
        ingest.ingest([(file.name, file)], {}, tmp_path / name, Context(), {})
        versions.append(dataset.load(tmp_path / name))
    taken = adopt(*versions)
    assert dense(taken.x) == pytest.approx(versions[0].x[graph.train[:30]], abs=1e-4)


def test_adopting_rows_that_were_scaled_then_is_refused_where_the_dataset_is_not_and_the_cure_works(tmp_path: Path):
    from tests.planted_graph import as_npz
    from worker.kinds.graph import dataset, ingest

    graph = planted(200, features=4)
    file = as_npz(graph, tmp_path / "graph.npz")
    versions = {}
    for name in ("standard", "row", "none"):
        (tmp_path / name).mkdir()
        ingest.ingest([(file.name, file)], {"normalize": name}, tmp_path / name, Context(), {})
        versions[name] = dataset.load(tmp_path / name)
    for whole in ("standard", "none"):
        with pytest.raises(JobError, match="cannot be undone") as refused:
            adopt(versions[whole], versions["row"])
        assert "normalize=standard" in str(refused.value.hint)
        taken = adopt(versions[whole], versions["standard"])
        assert dense(taken.x) == pytest.approx(dense(versions[whole].x), abs=1e-4)


def test_teacher_k_means_when_a_class_is_predicted_nowhere_then_it_is_delivered_all_the_same():
    from worker.kinds.graph.methods.teacher_k_means import TeacherKMeansParams, _with_every_class, teacher_k_means

    graph = planted(90, classes=3, features=4)
    p = np.zeros((graph.n, 3), np.float32)
    p[:, 0] = 1
    p[0] = 0, 1, 0
    found = _with_every_class(p, graph.visible())
    lost = graph.train[graph.y[graph.train] == 2]
    assert (found[lost] == np.eye(3, dtype=np.float32)[2]).all()
    others = np.setdiff1d(np.arange(graph.n), lost)
    assert (found[others] == p[others]).all()
    one_class_lost = planted(120, classes=3, features=1, degree=0.5, noise=3)
    made = teacher_k_means(one_class_lost, TeacherKMeansParams(n_nodes=6, teachers=1, teacher_epochs=10), Context())
    assert set(made.y.tolist()) == {0, 1, 2}


def test_deepcgc_of_a_single_feature_then_is_refused_by_name():
    from worker.kinds.graph.methods.deepcgc import DeepCGCParams, deepcgc

    with pytest.raises(JobError, match="single one"):
        deepcgc(planted(60, features=1), DeepCGCParams(n_nodes=6), Context())


def test_k_means_prop_of_long_rows_then_runs_are_as_many_as_the_work_allows(monkeypatch: pytest.MonkeyPatch):
    from worker.kinds.graph.clustering import propagated_means

    rows, y = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32), np.zeros(100, np.int64)
    asked: list[int] = []
    real = propagated_means.best_of

    def counted(*given: object, restarts: int, **more: object) -> object:
        asked.append(restarts)
        return real(*given, restarts=restarts, **more)

    monkeypatch.setattr(propagated_means, "best_of", counted)
    for work in (1e9, 400 * 5 * 10 * 3, 1):
        monkeypatch.setattr(propagated_means, "WORK", work)
        propagated_means.class_means(rows, y, np.array([5]), np.random.default_rng(0))
    assert asked == [10, 3, 1]
