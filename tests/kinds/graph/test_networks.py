"""Networks against products written out densely, gradients of second order, and that each learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from tests.planted_graph import planted
from worker.contract.context import Context
from worker.contract.learner import learners_of
from worker.kinds.graph.dataset import TEST, VALIDATION, Graph
from worker.kinds.graph.held import held_out
from worker.kinds.graph.networks.gat import GAT
from worker.kinds.graph.networks.gcn import GCN
from worker.kinds.graph.networks.grand import Recipe, probabilities, train
from worker.kinds.graph.networks.products import Sparse, factor
from worker.kinds.graph.networks.sage import mean
from worker.kinds.graph.networks.thinned import Thinned
from worker.kinds.graph.training_graph import TrainingGraph
from worker.kinds.graph.trials import Bench

NETWORKS = ["gcn", "sgc", "appnp", "cheby", "graphsage", "gat"]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return planted(120, classes=2, features=6)


def test_gcn_then_is_what_the_formula_says(graph: Graph):
    torch.manual_seed(0)
    net = GCN(6, 2, 16)
    operator, x = torch.from_numpy(graph.operator.toarray()), torch.from_numpy(graph.x)
    direct = operator @ torch.relu(operator @ x @ net.first + net.first_bias) @ net.second + net.second_bias
    for features in (x, factor(sparse.csr_array(graph.x))):
        found = net(features, Sparse.of(graph.operator, symmetric=True))
        assert found.detach().numpy() == pytest.approx(direct.detach().numpy(), abs=1e-4)


def test_product_then_gradients_of_both_orders_are_those_of_the_dense_one():
    rng = np.random.default_rng(0)
    matrix = sparse.random_array((5, 4), density=0.5, rng=rng, dtype=np.float32).tocsr()
    dense, product = torch.from_numpy(matrix.toarray()), Sparse.of(sparse.csr_array(matrix))
    grads = []
    for m in (dense, product):
        w = torch.arange(8.0).reshape(4, 2).requires_grad_()
        (first,) = torch.autograd.grad((m @ w).pow(3).sum(), w, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), w)
        grads.append((first.detach(), second))
    assert torch.allclose(grads[0][0], grads[1][0])
    assert torch.allclose(grads[0][1], grads[1][1])


def test_mean_of_neighbours_then_follows_from_the_operator(graph: Graph):
    looped = graph.adjacency.toarray() + np.eye(graph.n)
    direct = (looped / looped.sum(1, keepdims=True)) @ graph.x
    found = mean(Sparse.of(graph.operator, symmetric=True), torch.from_numpy(graph.x))
    assert found.numpy() == pytest.approx(direct, abs=1e-4)


def test_attention_then_weights_of_a_node_sum_to_one(graph: Graph):
    net = GAT(1, 2)
    torch.nn.init.zeros_(net.first.bias)
    ones = torch.ones(graph.n, 1)
    found = net.first(ones, Sparse.of(graph.operator, symmetric=True))
    assert torch.allclose(found, (ones @ net.first.weight).expand_as(found), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_then_learns_and_a_graph_without_edges_is_the_identity(name: str, graph: Graph):
    one = learners_of("graph")[name]
    assert one.prepare is not None
    validation, test = held_out(graph, VALIDATION), held_out(graph, TEST)
    settings = one.settings[-1]
    for training in (TrainingGraph.of(graph), TrainingGraph(graph.x[graph.train], None, np.arange(len(graph.train)), 2,
                                                            y=graph.y[graph.train])):  # fmt: skip
        trial = one.prepare(training, Bench(validation, epochs=90), Context())
        model = trial.fit(settings, Context())
        assert (model.predict(test) == test.y).mean() > 0.8


def test_soft_targets_and_weights_then_count_as_hard_ones(graph: Graph):
    nodes = graph.train
    hard = TrainingGraph(graph.x, graph.adjacency, nodes, 2, y=graph.y[nodes])
    soft = TrainingGraph(graph.x, graph.adjacency, nodes, 2, soft=np.eye(2, dtype=np.float32)[graph.y[nodes]],
                         weight=np.full(len(nodes), 3.0, np.float32))  # fmt: skip
    one = learners_of("graph")["gcn"]
    assert one.prepare is not None
    test = held_out(graph, TEST)
    found = [one.prepare(g, Bench(None, epochs=9), Context()).fit(one.settings[0], Context()).logits(test)
             for g in (hard, soft)]  # fmt: skip
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_thinned_then_keeps_the_transpose_in_step():
    rng = np.random.default_rng(0)
    x = sparse.csr_array(sparse.random_array((30, 20), density=0.2, rng=rng, dtype=np.float32))
    torch.manual_seed(0)
    part = Thinned.of(x, "cpu").thinned(0.5)
    assert isinstance(part, Sparse)
    assert torch.equal(part.matrix.to_dense().T, part.transposed.to_dense())
    kept = part.matrix.to_dense().numpy()
    there = kept != 0
    assert 0.3 < there.sum() / x.nnz < 0.7
    assert kept[there] == pytest.approx(2 * x.toarray()[there])


def test_grand_then_predicts_by_its_formula_and_beats_its_labels(graph: Graph):
    few = np.concatenate([graph.train[graph.y[graph.train] == c][:3] for c in range(2)])
    split = np.where(np.isin(np.arange(graph.n), few), 0, np.where(graph.split == 0, -1, graph.split)).astype(np.int8)
    from dataclasses import replace

    small = replace(graph, split=split)
    found = train(small.visible(), held_out(small, VALIDATION), Recipe(hops=3, epochs=60), Context())
    p = probabilities(found, graph.x, graph.operator)
    assert p.sum(axis=1) == pytest.approx(1, abs=1e-5)
    dense, total = graph.operator.toarray(), np.zeros_like(graph.x)
    for k in range(4):
        total += np.linalg.matrix_power(dense, k) @ graph.x
    h = np.maximum(total / 4 @ found["first"] + found["first_bias"], 0) @ found["second"] + found["second_bias"]
    direct = np.exp(h - h.max(1, keepdims=True))
    assert p == pytest.approx(direct / direct.sum(1, keepdims=True), abs=1e-4)
    test = held_out(small, TEST)
    assert (p.argmax(1)[test.nodes] == test.y).mean() > 0.8
