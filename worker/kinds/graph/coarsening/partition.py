"""Clusters of nodes, and the graph whose nodes they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

UNKNOWN, MIXED = -1, -2


@dataclass(frozen=True)
class Partition:
    """`cluster`: int64 (N,), the cluster of each node, numbers 0..n-1, all of them used."""

    cluster: np.ndarray

    @classmethod
    def of_groups(cls, group: np.ndarray) -> Partition:
        """From any numbers (N,) that are equal for nodes of one cluster; clusters are in the order of their first
        node."""
        _, first, cluster = np.unique(group, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        return cls(rank[cluster])

    @classmethod
    def single(cls, nodes: int) -> Partition:
        """Every node a cluster."""
        return cls(np.arange(nodes))

    @property
    def n(self) -> int:
        """Clusters n."""
        return len(self.sizes)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Nodes of each cluster (n,)."""
        return np.bincount(self.cluster)

    @cached_property
    def membership(self) -> sparse.csr_array:
        """Q (N, n), float64: 1 where a node is in a cluster. It lifts: (Q x)_i is the value of node i's cluster."""
        nodes = len(self.cluster)
        return sparse.csr_array((np.ones(nodes), self.cluster, np.arange(nodes + 1)), shape=(nodes, self.n))

    def averages(self, values: np.ndarray | sparse.csr_array) -> np.ndarray:
        """P values (n, k), dense: means over clusters. P Q = I."""
        total = self.membership.T @ values
        dense = total.toarray() if sparse.issparse(total) else total
        return dense / self.sizes[:, None]

    def coarse(self, adjacency: sparse.csr_array) -> sparse.csr_array:
        """W_c = Q^T W Q without its diagonal (n, n), float64: its Laplacian is Q^T L Q."""
        merged = sparse.csr_array(self.membership.T @ sparse.csr_array(adjacency, dtype=np.float64) @ self.membership)
        merged = merged - sparse.diags_array(merged.diagonal(), format="csr")
        merged = sparse.csr_array((merged + merged.T) / 2)
        merged.eliminate_zeros()
        merged.sort_indices()
        return merged

    def then(self, further: Partition) -> Partition:
        """Clusters of clusters."""
        return Partition(further.cluster[self.cluster])

    def labels(self, y: np.ndarray) -> np.ndarray:
        """The class of each cluster (n,): of its nodes with y >= 0 when they agree, MIXED when not, UNKNOWN when there
        are none or y of a node is MIXED or UNKNOWN alone."""
        lowest = np.full(self.n, np.iinfo(np.int64).max)
        highest = np.full(self.n, UNKNOWN)
        known = y >= 0
        np.minimum.at(lowest, self.cluster[known], y[known])
        np.maximum.at(highest, self.cluster[known], y[known])
        found = np.where(highest < 0, UNKNOWN, np.where(lowest == highest, highest, MIXED))
        found[self.cluster[y == MIXED]] = MIXED
        return found
