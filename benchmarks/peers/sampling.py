"""Straightforward samplers as the papers describe them, one event or node at a time, to hold ours against.

Written from the descriptions in arXiv:2201.04768 and 2107.04984 (section on sampling), and Leskovec and Faloutsos (KDD
2006): lists, sets and dictionaries of Python, PageRank of networkx, an autograd module for SVP-CF. Each takes events
(user, item, time) and the share of them to keep, and returns the numbers of those kept. No published code is used.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict, deque
from collections.abc import Callable

import networkx
import numpy as np
import torch
from torch import nn

Events = list[tuple[int, int, int]]


def random_interactions(events: Events, keep: float, seed: int) -> list[int]:
    order = list(range(len(events)))
    random.Random(seed).shuffle(order)
    return order[: round(keep * len(events))]


def stratified(events: Events, keep: float, seed: int) -> list[int]:
    rng, kept = random.Random(seed), []
    for own in _by(events, 0).values():
        rng.shuffle(own)
        kept += own[: len(own) - math.ceil((1 - keep) * len(own))]
    return kept


def temporal(events: Events, keep: float, seed: int) -> list[int]:
    kept = []
    for own in _by(events, 0).values():
        own.sort(key=lambda number: events[number][2])
        kept += own[math.ceil((1 - keep) * len(own)) :]
    return kept


def random_users(events: Events, keep: float, seed: int) -> list[int]:
    users = _by(events, 0)
    order = list(users)
    random.Random(seed).shuffle(order)
    return _whole(users, order, keep * len(events))


def head_users(events: Events, keep: float, seed: int) -> list[int]:
    users = _by(events, 0)
    return _whole(users, sorted(users, key=lambda user: -len(users[user])), keep * len(events))


def pagerank(events: Events, keep: float, seed: int) -> list[int]:
    graph = networkx.Graph()
    graph.add_edges_from((("u", user), ("i", item)) for user, item, _ in events)
    rank = networkx.pagerank(graph, alpha=0.85, tol=1e-6 / len(graph), max_iter=500)
    gone: set[tuple[str, int]] = set()
    left, degree = len(events), dict(graph.degree())
    for node in sorted(rank, key=lambda node: rank[node]):
        if left <= keep * len(events):
            break
        gone.add(node)
        left -= degree[node]
        for other in graph[node]:
            degree[other] -= 1
    return [
        number for number, (user, item, _) in enumerate(events) if ("u", user) not in gone and ("i", item) not in gone
    ]


def random_walk(events: Events, keep: float, seed: int) -> list[int]:
    rng, near = random.Random(seed), _neighbours(events)
    nodes = list(near)
    found: set[tuple[str, int]] = set()
    inside, start = 0, rng.choice(nodes)
    at, idle = start, 0
    while inside < keep * len(events):
        if at not in found:
            inside += sum(other in found for other in near[at])
            found.add(at)
            idle = 0
        idle += 1
        if idle > 100:
            start = at = rng.choice([node for node in nodes if node not in found])
            continue
        at = start if rng.random() < 0.1 else rng.choice(near[at])
    return _inside(events, found)


def forest_fire(events: Events, keep: float, seed: int) -> list[int]:
    rng, near = random.Random(seed), _neighbours(events)
    nodes = list(near)
    burnt: set[tuple[str, int]] = set()
    passed: deque[tuple[str, int]] = deque(maxlen=100)
    fire: deque[tuple[str, int]] = deque()
    inside = 0
    while inside < keep * len(events):
        if not fire:
            again = [node for node in list(passed)[:10] if node not in burnt]
            fire.extend(again or [rng.choice([node for node in nodes if node not in burnt])])
        node = fire.popleft()
        if node in burnt:
            continue
        inside += sum(other in burnt for other in near[node])
        burnt.add(node)
        fresh = [other for other in near[node] if other not in burnt]
        count = 1
        while rng.random() >= 0.4:
            count += 1
        caught = rng.sample(fresh, min(count, len(fresh)))
        fire.extend(caught)
        passed.extendleft(set(fresh) - set(caught))
    return _inside(events, burnt)


class _Factors(nn.Module):
    def __init__(self, users: int, items: int, latent: int) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(users, latent), nn.Embedding(items, latent)
        self.bias, self.drop = nn.Embedding(items, 1), nn.Dropout(0.3)
        for table in (self.user, self.item):
            nn.init.xavier_uniform_(table.weight)

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        p, q = self.drop(self.user(user)), self.drop(self.item(item))
        return (p * q).sum(dim=1) + self.bias(item)[:, 0]


def svp_cf(events: Events, keep: float, seed: int, epochs: int = 1) -> list[int]:
    """MF proxy, implicit feedback, a negative drawn by trial and error for every event of every epoch."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    items = 1 + max(item for _, item, _ in events)
    used: dict[int, set[int]] = defaultdict(set)
    for user, item, _ in events:
        used[user].add(item)
    model = _Factors(1 + max(user for user, _, _ in events), items, 10)
    adam = torch.optim.Adam(model.parameters(), lr=0.006, betas=(0.9, 0.98), weight_decay=1e-6)
    wrong = [0.0] * len(events)
    for _ in range(epochs):
        for start in range(0, len(events), 1024):
            batch = events[start : start + 1024]
            others = []
            for user, _item, _time in batch:
                other = rng.randrange(items)
                while other in used[user]:
                    other = rng.randrange(items)
                others.append(other)
            user, item = (torch.tensor(column) for column in list(zip(*batch, strict=True))[:2])
            ours, theirs = model(user, item), model(user, torch.tensor(others))
            for number, lost in enumerate((ours < theirs).tolist()):
                wrong[start + number] += lost
            adam.zero_grad()
            (-torch.nn.functional.logsigmoid(ours - theirs)).mean().backward()
            adam.step()
    order = sorted(range(len(events)), key=lambda number: -wrong[number])
    return order[: round(keep * len(events))]


PEERS: dict[str, Callable[[Events, float, int], list[int]]] = {
    "random-interactions": random_interactions,
    "stratified": stratified,
    "temporal": temporal,
    "random-users": random_users,
    "head-users": head_users,
    "pagerank": pagerank,
    "random-walk": random_walk,
    "forest-fire": forest_fire,
    "svp-cf-mf-interaction": svp_cf,
}


def _by(events: Events, side: int) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for number, event in enumerate(events):
        found[event[side]].append(number)
    return found


def _whole(groups: dict[int, list[int]], order: list[int], most: float) -> list[int]:
    kept: list[int] = []
    for group in order:
        if len(kept) + len(groups[group]) > most:
            break
        kept += groups[group]
    return kept


def _neighbours(events: Events) -> dict[tuple[str, int], list[tuple[str, int]]]:
    near: dict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
    for user, item, _ in events:
        near["u", user].append(("i", item))
        near["i", item].append(("u", user))
    return near


def _inside(events: Events, nodes: set[tuple[str, int]]) -> list[int]:
    return [number for number, (user, item, _) in enumerate(events) if ("u", user) in nodes and ("i", item) in nodes]


def columns(user: np.ndarray, item: np.ndarray, time: np.ndarray) -> Events:
    """Columns as a list of triples."""
    return list(zip(user.tolist(), item.tolist(), time.tolist(), strict=True))
