"""How a target policy and the logging policy overlap, exactly, over all contexts and actions of a log.

Nothing is sampled: a few contexts that the log hardly explores decide what it is worth, and a sample of contexts misses
them. Policies that list their actions cost their lists, others one pass over blocks of rows; a pair of distributions
that rounds share is read once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.kinds.bandit.policies import BLOCK_BYTES, Floats, Policy, SparseTable, Table, release
from worker.kinds.bandit.support import Rows, distinct_row_pairs

UNSUPPORTED = 0.01  # mass beyond the log above which a value has bounds only
CAPS = np.array([m * 10.0**k for k in range(13) for m in (1.2, 2, 3, 5, 8)][1:])
_EDGES = np.concatenate([[1.0], CAPS])
_ENTRIES = 400_000


@dataclass(frozen=True)
class Block:
    """Probabilities of both policies at listed actions of some rows, flat (k,), `owner` (k,) their row.

    `rest` (m,): actions of each row that neither lists; there the policies have `rest_pi` and `rest_mu` (m,) each.
    """

    owner: Rows
    action: Rows
    pi: Floats
    mu: Floats
    rest: NDArray[np.int64]
    rest_pi: Floats
    rest_mu: Floats


@dataclass(frozen=True)
class Pairs:
    """The distinct pairs of distributions of two policies on the same rounds: rows (m,), and each round's pair (n,)."""

    target: Table
    logging: Table
    target_rows: Rows
    logging_rows: Rows
    back: NDArray[np.intp]

    @classmethod
    def of(cls, target: Policy, logging: Policy) -> Pairs:
        """The pairs of two policies on the rounds of one log."""
        return cls(target.table, logging.table, *distinct_row_pairs(target.rows, logging.rows))

    def share(self, weight: Floats | None = None) -> Floats:
        """Share of the rounds that have each pair (m,); `weight` (n,) says how many rounds a row stands for."""
        counts = np.bincount(self.back, weight, len(self.target_rows)).astype(np.float64)
        return counts / counts.sum()

    def blocks(self) -> Iterator[tuple[slice, Block]]:
        """All pairs, in blocks of bounded memory."""
        listed = isinstance(self.target, SparseTable) and isinstance(self.logging, SparseTable)
        step = max(1, BLOCK_BYTES // (16 * self.target.n_actions))
        if isinstance(self.target, SparseTable) and isinstance(self.logging, SparseTable):
            each = sum(t.entries.nnz / max(1, t.n_rows) for t in (self.target, self.logging))
            step = max(1, int(_ENTRIES / max(each, 1.0)))
        for start in range(0, len(self.target_rows), step):
            part = slice(start, min(start + step, len(self.target_rows)))
            yield part, (self.listed(part) if listed else self._dense(part))

    def _dense(self, part: slice) -> Block:
        pi, mu = self.target.dense(self.target_rows[part]), self.logging.dense(self.logging_rows[part])
        owner, action = np.divmod(np.arange(pi.size), pi.shape[1])
        none = np.zeros(len(pi))
        return Block(owner, action, pi.ravel(), mu.ravel(), none.astype(np.int64), none, none)

    def listed(self, part: slice) -> Block:
        """Some pairs of two `SparseTable`s: the actions that either lists."""
        assert isinstance(self.target, SparseTable)  # noqa: S101 - the caller has looked
        assert isinstance(self.logging, SparseTable)  # noqa: S101
        mine, its = self.target.entries[self.target_rows[part]], self.logging.entries[self.logging_rows[part]]
        release(self.target.entries)
        release(self.logging.entries)
        # One sum of complex numbers lines the two lists up: the target's in the real part, the logging policy's beside.
        both = sparse.csr_array(mine.astype(np.complex128) + 1j * its.astype(np.complex128))
        size = np.diff(both.indptr)
        owner = np.repeat(np.arange(len(size)), size)
        none = np.zeros(len(size))
        floors = [
            none if table.floor is None else table.floor[rows[part]].astype(np.float64)
            for table, rows in ((self.target, self.target_rows), (self.logging, self.logging_rows))
        ]
        pi, mu = both.data.real + floors[0][owner], both.data.imag + floors[1][owner]
        rest = np.where((floors[0] > 0) | (floors[1] > 0), self.target.n_actions - size, 0)
        return Block(owner, both.indices, pi, mu, rest, *floors)


@dataclass(frozen=True)
class Overlap:
    """Sums over all actions, means over rounds, by the size of the weight W = pi/mu where mu > 0.

    `mu`, `pi`, `squares`, `cubes` (k + 2,): mu, mu W, mu W^2 and mu W^3 of actions with W up to 1, then above the cap
    before and up to each of `CAPS`, then above all; `missing` (m,): pi where mu = 0 in each
    pair, `lost` its mean; `largest`: the largest W.
    """

    mu: Floats
    pi: Floats
    squares: Floats
    cubes: Floats
    missing: Floats
    lost: float
    largest: float

    @classmethod
    def of(cls, pairs: Pairs, share: Floats) -> Overlap:
        """One pass over the pairs; `share` (m,) sums to one."""
        sums = np.zeros((4, len(_EDGES) + 1))
        missing, largest = np.zeros(len(pairs.target_rows)), 0.0
        for part, block in pairs.blocks():
            mine = share[part]
            rest = mine * block.rest
            for owner, pi, mu, each in (
                (block.owner, block.pi, block.mu, mine[block.owner]),
                (np.arange(len(rest)), block.rest_pi, block.rest_mu, rest),
            ):
                seen = mu > 0
                many = np.ones(1) if owner is block.owner else block.rest[~seen]
                missing[part] += np.bincount(owner[~seen], pi[~seen] * many, len(mine))
                if not seen.all():
                    pi, mu, each = pi[seen], mu[seen], each[seen]
                if not len(mu) or not each.any():
                    continue
                # Most weights are at most 1 and share the first place: only the others are looked up.
                above, weight = np.flatnonzero(pi > mu), pi / mu
                terms = [each * mu, each * pi]
                terms += [terms[1] * weight, terms[1] * weight * weight]
                sums[:, 0] += [float(values.sum()) for values in terms]
                place = np.searchsorted(_EDGES, weight[above])
                for row, values in enumerate(terms):
                    placed = np.bincount(place, values[above], sums.shape[1])
                    sums[row] += placed
                    sums[row, 0] -= values[above].sum()
                chosen = above if len(above) else np.arange(len(weight))
                largest = max(largest, float(weight[chosen][each[chosen] > 0].max(initial=0.0)))
        return cls(*sums, missing, float(share @ missing), largest)

    @cached_property
    def policy_ess_share(self) -> float:
        """Policy ESS of the supported part over the number of rounds: m1^2 / m2."""
        second = float(self.squares.sum())
        return float(self.pi.sum()) ** 2 / second if second > 0 else 0.0

    def capped(self, cap: float) -> tuple[float, float]:
        """Mean mass of pi above `cap` mu, and the mean of (min(W, cap) - 1)^2 under mu; `cap` of `CAPS` or infinite."""
        if cap >= self.largest:
            return self.lost, max(float((self.squares - 2 * self.pi + self.mu).sum()), 0.0)
        up_to = int(np.searchsorted(_EDGES, cap)) + 1
        above = float(self.mu[up_to:].sum())
        lost = self.lost + float(self.pi[up_to:].sum()) - cap * above
        below = float((self.squares - 2 * self.pi + self.mu)[:up_to].sum())
        return lost, max(below, 0.0) + (cap - 1) ** 2 * above

    def typical(self, cap: float) -> tuple[float, float]:
        """E |D|^3 / E D^2 of D = min(W, cap) - 1 under mu where D > 0, and where D < 0.

        The size of a round that counts for the variance: larger than that of one that counts for the mean.
        """
        second = self.squares - 2 * self.pi + self.mu
        third = self.cubes - 3 * self.squares + 3 * self.pi - self.mu
        down = float(-third[0] / second[0]) if second[0] > 0 else 0.0
        up_to = len(second) if cap >= self.largest else int(np.searchsorted(_EDGES, cap)) + 1
        above = float(self.mu[up_to:].sum())
        size = cap - 1 if above else 0.0
        squares = float(second[1:up_to].sum()) + size**2 * above
        return (float(third[1:up_to].sum()) + size**3 * above) / squares if squares > 0 else 0.0, down


@dataclass(frozen=True)
class Gap:
    """T - mu with T = min(pi, cap mu), row by row of the pairs: a table like those of policies, with signs.

    T is the part of the target that the log can speak of: nothing where mu = 0, and no weight above the cap.
    """

    pairs: Pairs
    cap: float

    @property
    def n_rows(self) -> int:
        """Number of distinct pairs."""
        return len(self.pairs.target_rows)

    @property
    def n_actions(self) -> int:
        """Number of actions."""
        return self.pairs.target.n_actions

    def times(self, features: NDArray[np.floating]) -> Floats:
        """See `Table`."""
        wide = features.astype(np.float64)
        total = wide.sum(axis=0)
        found = np.empty((self.n_rows, wide.shape[1]))
        for part, block in self.pairs.blocks():
            gap, rest = self._of(block.pi, block.mu), self._of(block.rest_pi, block.rest_mu)
            listed = self._matrix(block, gap - rest[block.owner], part)
            found[part] = listed @ wide + np.where(block.rest > 0, rest, 0.0)[:, None] * total
        return found

    def dense(self, rows: NDArray[np.integer]) -> Floats:
        """See `Table`."""
        part = Pairs(
            self.pairs.target,
            self.pairs.logging,
            self.pairs.target_rows[rows],
            self.pairs.logging_rows[rows],
            np.arange(len(rows)),
        )
        pi, mu = part.target.dense(part.target_rows), part.logging.dense(part.logging_rows)
        return self._of(pi, mu)

    def gather(self, rows: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
        """See `Table`."""
        pi = self.pairs.target.gather(self.pairs.target_rows[rows], actions)
        return self._of(pi, self.pairs.logging.gather(self.pairs.logging_rows[rows], actions))

    def support(self, rows: NDArray[np.integer]) -> sparse.csr_array | None:
        """See `Table`; None where a policy does not list its actions: sums then go through whole rows."""
        if not (_only_lists(self.pairs.target) and _only_lists(self.pairs.logging)):
            return None
        mine, its = self.pairs.target_rows[rows], self.pairs.logging_rows[rows]
        some = Pairs(self.pairs.target, self.pairs.logging, mine, its, np.arange(len(rows)))
        whole = slice(0, len(rows))
        block = some.listed(whole)
        return self._matrix(block, self._of(block.pi, block.mu), whole)

    def _of(self, pi: Floats, mu: Floats) -> Floats:
        reach = np.where(mu > 0, np.inf, 0.0) if np.isinf(self.cap) else self.cap * mu
        return np.minimum(pi, reach) - mu

    def _matrix(self, block: Block, values: Floats, part: slice) -> sparse.csr_array:
        counts = np.bincount(block.owner, minlength=part.stop - part.start)
        shape = (part.stop - part.start, self.n_actions)
        return sparse.csr_array((values, block.action, np.concatenate([[0], np.cumsum(counts)])), shape)


def _only_lists(table: Table) -> bool:
    return isinstance(table, SparseTable) and (table.floor is None or not table.floor.any())
