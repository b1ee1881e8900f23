"""An ActionPiece vocabulary: tokens for features, and rules that merge two tokens into one.

Its file `actionpiece.json` has the published layout: `n_categories`, `n_init_feats`, `token2feat` (token 0 is padding,
[-1, -1]; [k, f] is feature f of category k; [-1, u, v] a merge of tokens u <= v) and `priority`, the count of a rule
when it was made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Vocabulary:
    """Tokens 0..size-1: padding, features, then merges in the order in which they were learned.

    `categories`: features an action has (m). `features`: int64 (F, 2), (category, feature) of tokens 1..F, sorted.
    `rules`: int64 (R, 2), token F + 1 + i merges tokens rules[i, 0] <= rules[i, 1]. `priority`: float64 (R,).
    """

    categories: int
    features: np.ndarray
    rules: np.ndarray
    priority: np.ndarray

    @property
    def n_initial(self) -> int:
        """Padding and features: the smallest size of a vocabulary."""
        return 1 + len(self.features)

    def __len__(self) -> int:
        """How many tokens there are, padding included."""
        return self.n_initial + len(self.rules)

    @property
    def begin(self) -> int:
        """The token before a sequence."""
        return len(self)

    @property
    def end(self) -> int:
        """The token after a sequence."""
        return len(self) + 1

    def truncated(self, size: int) -> Vocabulary:
        """The vocabulary that learning would have given at a smaller size; ValueError below the features."""
        if not self.n_initial <= size <= len(self):
            raise ValueError(f"a size of {size} is not between {self.n_initial} and {len(self)}")
        keep = size - self.n_initial
        return Vocabulary(self.categories, self.features, self.rules[:keep], self.priority[:keep])

    def tokens_of(self, item_features: np.ndarray) -> np.ndarray:
        """Tokens of features, int64 (items, m) both; ValueError for a feature the vocabulary does not have."""
        tokens = np.zeros(item_features.shape, np.int64)
        for category in range(self.categories):
            known = self.features[self.features[:, 0] == category, 1]
            first = 1 + int((self.features[:, 0] < category).sum())
            place = np.searchsorted(known, item_features[:, category])
            right = known[np.minimum(place, len(known) - 1)] == item_features[:, category]
            if not right.all():
                missing = item_features[~right, category][0]
                raise ValueError(f"feature {missing} of category {category} is not in the vocabulary")
            tokens[:, category] = first + place
        return tokens

    @cached_property
    def expansion(self) -> tuple[np.ndarray, np.ndarray]:
        """(indptr int64 (size + 1,), tokens int64): the features' tokens that each token stands for, in order."""
        parts: list[list[int]] = [[], *([token] for token in range(1, self.n_initial))]
        for left, right in self.rules.tolist():
            parts.append(parts[left] + parts[right])
        indptr = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(part) for part in parts], out=indptr[1:])
        return indptr, np.array([token for part in parts for token in part], np.int64)

    def expanded(self, tokens: np.ndarray) -> np.ndarray:
        """The features' tokens that tokens (k,) stand for, int64; padding, begin and end stand for none."""
        indptr, flat = self.expansion
        known = tokens[(tokens > 0) & (tokens < len(self))]
        counts = indptr[known + 1] - indptr[known]
        starts = np.repeat(indptr[known] - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
        return flat[starts + np.arange(counts.sum())]

    def write(self, path: Path) -> None:
        """Write `actionpiece.json`."""
        merges = [[-1, left, right] for left, right in self.rules.tolist()]
        stored = {
            "n_categories": self.categories,
            "n_init_feats": self.n_initial,
            "token2feat": [[-1, -1], *self.features.tolist(), *merges],
            "priority": [0] * self.n_initial + self.priority.tolist(),
        }
        path.write_text(json.dumps(stored) + "\n")

    @classmethod
    def read(cls, path: Path, size: int | None = None) -> Vocabulary:
        """Read `actionpiece.json`, of the first `size` tokens if given. ValueError where it is not one."""
        stored = json.loads(path.read_text())
        first, tokens = stored["n_init_feats"], stored["token2feat"]
        features = np.array(tokens[1:first], np.int64).reshape(-1, 2)
        merges = np.array(tokens[first:], np.int64).reshape(-1, 3)
        numbers = np.arange(first, first + len(merges))
        if (features < 0).any() or (merges[:, 0] != -1).any() or (merges[:, 1:] >= numbers[:, None]).any():
            raise ValueError(
                f"{path.name} is not a vocabulary: a token is neither a feature nor a merge of earlier ones"
            )
        read = cls(stored["n_categories"], features, merges[:, 1:], np.array(stored["priority"][first:], np.float64))
        return read if size is None else read.truncated(size)

    @classmethod
    def of_features(cls, item_features: np.ndarray) -> Vocabulary:
        """The vocabulary without merges: every feature of every category is a token; (items, m) whole numbers >= 0."""
        features = [
            np.stack([np.full(len(found), category), found], axis=1)
            for category, column in enumerate(item_features.T)
            for found in [np.unique(column)]
        ]
        empty = np.zeros((0, 2), np.int64)
        return cls(item_features.shape[1], np.concatenate(features).astype(np.int64), empty, np.zeros(0))
