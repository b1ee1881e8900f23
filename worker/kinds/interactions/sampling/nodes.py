"""Samplers that keep whole users or whole items: at random, the heaviest, or the highest in PageRank."""

from __future__ import annotations

import numpy as np

from worker.kinds.interactions.sampling.order import Order, TrainEvents, positions

DAMPING, TOLERANCE, MOST_ROUNDS = 0.85, 1e-6, 200


def random_users(events: TrainEvents, rng: np.random.Generator) -> Order:
    """Users in random order, with all their events."""
    return Order.of_groups(events.user, rng.permutation(np.flatnonzero(events.per_user)))


def random_items(events: TrainEvents, rng: np.random.Generator) -> Order:
    """Items in random order, with all their events."""
    return Order.of_groups(events.item, rng.permutation(np.flatnonzero(events.per_item)))


def head_users(events: TrainEvents, rng: np.random.Generator) -> Order:
    """Users with most events first; equal ones by id."""
    return Order.of_groups(events.user, np.lexsort((events.user_ids, -events.per_user)))


def head_items(events: TrainEvents, rng: np.random.Generator) -> Order:
    """Items with most events first; equal ones by id."""
    return Order.of_groups(events.item, np.lexsort((events.item_ids, -events.per_item)))


def pagerank(events: TrainEvents, rng: np.random.Generator) -> Order:
    """Users and items by PageRank in their graph, highest first, equal ones in random order; an event is kept with the
    later of its two ends. In other words, nodes of the lowest rank are removed with their events.
    """
    score = pagerank_scores(events)
    return of_nodes(events, np.lexsort((rng.random(len(score)), -score)))


def of_nodes(events: TrainEvents, sequence: np.ndarray) -> Order:
    """Events by when both of their ends are there. `sequence`: nodes, users from 0 and items from U on."""
    place = positions(sequence, events.n_users + events.n_items)
    return Order(np.maximum(place[events.user], place[events.n_users :][events.item]))


def pagerank_scores(events: TrainEvents, *, damping: float = DAMPING, tolerance: float = TOLERANCE) -> np.ndarray:
    """PageRank (U + I,) float64 of the undirected graph of users and items, summing to 1; users come first.

    Power iteration until the scores move by less than `tolerance` in all. Nodes without events give their score to
    all nodes alike. O(N) a round, some 80 rounds.
    """
    rows = events.rows()
    sizes = np.concatenate((events.per_user, events.per_item)).astype(np.float64)
    users, n = events.n_users, len(sizes)
    share = np.divide(1.0, sizes, out=np.zeros(n), where=sizes > 0)
    score = np.full(n, 1 / n)
    for _ in range(MOST_ROUNDS):
        given = (score * share).astype(np.float32)
        received = np.concatenate((rows @ given[users:], rows.T @ given[:users])).astype(np.float64)
        spread = (1 - damping + damping * score[sizes == 0].sum()) / n
        moved = damping * received + spread
        moved /= moved.sum()
        change = np.abs(moved - score).sum()
        score = moved
        if change < tolerance:
            break
    return score
