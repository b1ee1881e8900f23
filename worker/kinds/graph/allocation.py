"""How many of n condensed nodes each class gets: in proportion to its train nodes, in exact integers.

Published code (GCond, GraphSlim, CGC) takes floor(count * r) of every class but the largest, at least 1, and gives the
largest what is left of floor(all * r). Two departures: r is a fraction and never a binary float (int(0.29 * 100) is
28), and the sum is n whatever the counts (the published rule exceeds it where many classes are rounded up to 1, and may
ask the largest class for more nodes than it has).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from worker.contract.errors import JobError


def allocate(counts: np.ndarray, n: int, *, limited: bool = True) -> np.ndarray:
    """Nodes of each class (C,) int64, at least 1 each, that sum to n.

    `counts`: int64 (C,) train nodes of each class, all of them above 0. `limited`: no class gets more than it has.
    Raises `JobError` `budget_too_small` for n below the number of classes, `budget_too_large` where `limited` and n is
    above the sum of the counts.
    """
    counts = np.asarray(counts, dtype=np.int64)
    total, classes = int(counts.sum()), len(counts)
    if n < classes:
        raise JobError(
            "budget_too_small",
            f"{n} nodes are fewer than the {classes} classes, each of which needs one.",
            hint=f"Ask for at least {classes} nodes.",
            pointer="/params/budget",
        )
    if limited and n > total:
        raise JobError(
            "budget_too_large",
            f"{n} nodes are more than the {total} that there are to choose from.",
            hint=f"Ask for at most {total} nodes.",
            pointer="/params/budget",
        )
    rate = Fraction(n, total)
    given = np.array([max(int(count * rate), 1) for count in counts.tolist()], dtype=np.int64)
    largest = int(np.lexsort((np.arange(classes), counts))[-1])
    given[largest] = max(n - (int(given.sum()) - int(given[largest])), 1)
    ceiling = counts if limited else np.full(classes, n, dtype=np.int64)
    surplus = int(np.maximum(given - ceiling, 0).sum())
    given = np.minimum(given, ceiling)
    for _ in range(surplus):  # to whoever is furthest below its exact share and has room
        owed = [
            rate * int(counts[c]) - int(given[c]) if given[c] < ceiling[c] else Fraction(-n) for c in range(classes)
        ]
        given[max(range(classes), key=lambda c: (owed[c], -c))] += 1
    while int(given.sum()) > n:  # classes rounded up to 1 are paid for by the largest ones
        given[int(np.argmax(given))] -= 1
    return given


def nearest(counts: np.ndarray, n: int) -> np.ndarray:
    """Nodes of each class (C,) int64 that sum to n and lie nearest to the exact shares (largest remainders), at least 1
    for each class with a count above 0 and 0 for the others; never more than the count.

    Raises `JobError` `budget_too_small` for n below the number of classes that there are.
    """
    counts = np.asarray(counts, dtype=np.int64)
    there = np.flatnonzero(counts)
    total = int(counts.sum())
    if n < len(there):
        return allocate(counts[there], n)  # refuses
    exact = [Fraction(n * int(count), total) for count in counts.tolist()]
    given = np.array([min(max(int(share), 1 if count else 0), count)
                      for share, count in zip(exact, counts.tolist(), strict=True)], dtype=np.int64)  # fmt: skip
    while int(given.sum()) < n:
        open_ = [c for c in there.tolist() if given[c] < counts[c]]
        given[max(open_, key=lambda c: (exact[c] - int(given[c]), -c))] += 1
    while int(given.sum()) > n:
        given[max(there.tolist(), key=lambda c: (int(given[c]) > 1, int(given[c]) - exact[c], int(given[c]), -c))] -= 1
    return given
