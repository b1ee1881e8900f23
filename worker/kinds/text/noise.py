"""Random numbers that a document's key decides, whatever the order of the documents or the shards they lie in."""

from __future__ import annotations

import numpy as np

from worker.contract.context import seed_of


def uniform(keys: np.ndarray, seed: int, name: str = "") -> np.ndarray:
    """float64 (n,) in (0, 1), of the keys uint64 (n,), a seed and the name of what they are for: splitmix64 (Steele,
    Lea and Flood, OOPSLA 2014) of their sum, the upper 53 bits, in the middle of each interval."""
    with np.errstate(over="ignore"):
        state = keys.astype(np.uint64) + np.uint64(seed_of(seed, name)) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return ((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def gumbel(keys: np.ndarray, seed: int, name: str = "") -> np.ndarray:
    """Gumbel(0, 1) noise float64 (n,): log weights plus this, the k largest, are k documents drawn without replacement
    in proportion to the weights (Efraimidis and Spirakis, 2006, in logarithms)."""
    return -np.log(-np.log(uniform(keys, seed, name)))
