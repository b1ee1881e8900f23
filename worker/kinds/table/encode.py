"""Features as numbers that every learner and method can take: one encoding, fitted on the training part.

A number is standardised, after log1p where that takes away most of a long tail; a missing one is the median, with an
indicator column beside it. A category is one column a level, of height 1 / sqrt(2), so that two levels lie 1 apart;
levels rarer than one in a thousand share a column, and a column of more than a thousand levels is hashed. The encoding
travels with every summary, so that who trains on it has the same columns as the judge.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from worker.ingest.arrow import Arrow
from worker.kinds.table.values import codes, numbers

HEIGHT = float(np.float32(np.sqrt(0.5)))
RARE_SHARE, MOST_LEVELS, BUCKETS = 1e-3, 1_000, 64
_FAR = 10.0  # standard deviations at which a number is cut off
_SKEWED = 2.0  # skewness from which a logarithm is tried; it is kept where it halves it


@dataclass(frozen=True)
class NumberCode:
    """How a number is encoded; `missing`: whether an indicator column follows."""

    name: str
    log: bool
    median: float
    mean: float
    scale: float
    missing: bool

    @property
    def width(self) -> int:
        """Columns."""
        return 1 + self.missing

    def transform(self, column: Arrow) -> np.ndarray:
        """(n, width) float32."""
        values = numbers(column)
        gaps = ~np.isfinite(values)
        values = np.where(gaps, self.median, values)
        if self.log:
            values = np.log1p(np.maximum(values, 0))
        scaled = np.clip((values - self.mean) / self.scale, -_FAR, _FAR)
        return np.column_stack([scaled, gaps] if self.missing else [scaled]).astype(np.float32)


@dataclass(frozen=True)
class CategoryCode:
    """How a category is encoded: a column for each of `levels`, then one for all others where `rare`; with `buckets`,
    so many columns that words are hashed into. A missing cell is the level ""."""

    name: str
    levels: tuple[str, ...]
    rare: bool
    buckets: int = 0

    @property
    def width(self) -> int:
        """Columns."""
        return self.buckets or len(self.levels) + self.rare

    def places(self, words: Sequence[str]) -> np.ndarray:
        """The column of each word (w,); -1 where it has none."""
        if self.buckets:
            return np.array([zlib.crc32(word.encode()) % self.buckets for word in words], np.int64)
        known = {level: place for place, level in enumerate(self.levels)}
        other = len(self.levels) if self.rare else -1
        return np.array([known.get(word, other) for word in words], np.int64)

    def transform(self, column: Arrow) -> np.ndarray:
        """(n, width) float32."""
        found, words = codes(column)
        at = self.places(words)[found] if len(found) else found
        out = np.zeros((len(at), self.width), np.float32)
        there = np.flatnonzero(at >= 0)
        out[there, at[there]] = HEIGHT
        return out


Code = NumberCode | CategoryCode


@dataclass(frozen=True)
class Encoding:
    """The codes of all features, in the order of the table."""

    codes: tuple[Code, ...]

    @classmethod
    def fit(cls, frame: Arrow, kinds: Mapping[str, str]) -> Encoding:
        """Fitted on the rows of a frame; `kinds`: `number` or `category` by feature."""
        fitted = (
            _fit_number(name, frame[name]) if kind == "number" else _fit_category(name, frame[name])
            for name, kind in kinds.items()
        )
        return cls(tuple(fitted))

    @property
    def width(self) -> int:
        """Columns D."""
        return sum(code.width for code in self.codes)

    @property
    def blocks(self) -> list[slice]:
        """The columns of each code."""
        ends = np.cumsum([0, *(code.width for code in self.codes)])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    def transform(self, frame: Arrow) -> np.ndarray:
        """(n, D) float32."""
        out = np.empty((len(frame), self.width), np.float32)
        for code, block in zip(self.codes, self.blocks, strict=True):
            out[:, block] = code.transform(frame[code.name])
        return out

    def to_json(self) -> list[dict[str, Any]]:
        """As JSON: what a loader needs to encode."""
        return [asdict(code) | {"kind": _KINDS[type(code)]} for code in self.codes]

    @classmethod
    def from_json(cls, stored: Sequence[Mapping[str, Any]]) -> Encoding:
        """Back from its JSON."""
        found = list[Code]()
        for one in stored:
            fields = {key: value for key, value in one.items() if key != "kind"}
            if one["kind"] == "category":
                fields["levels"] = tuple(fields["levels"])
            found.append(CategoryCode(**fields) if one["kind"] == "category" else NumberCode(**fields))
        return cls(tuple(found))


_KINDS: dict[type, str] = {NumberCode: "number", CategoryCode: "category"}


def _fit_number(name: str, column: Arrow) -> NumberCode:
    values = numbers(column)
    known = values[np.isfinite(values)]
    gaps = len(known) < len(values)
    if not len(known):
        return NumberCode(name, False, 0.0, 0.0, 1.0, False)
    median = float(np.median(known))
    filled = np.where(np.isfinite(values), values, median)
    log = bool(known.min() >= 0 and abs(_skewness(np.log1p(known))) < 0.5 * _skewness(known) > 0.5 * _SKEWED)
    if log:
        filled = np.log1p(filled)
    mean, scale = float(filled.mean()), float(filled.std())
    return NumberCode(name, log, median, mean, scale if scale > 1e-12 * max(1.0, abs(mean)) else 1.0, gaps)


def _skewness(values: np.ndarray) -> float:
    centred = values - values.mean()
    spread = float(np.sqrt((centred**2).mean()))
    return float((centred**3).mean() / spread**3) if spread > 0 else 0.0


def _fit_category(name: str, column: Arrow) -> CategoryCode:
    found, words = codes(column)
    if len(words) > MOST_LEVELS:
        return CategoryCode(name, (), False, BUCKETS)
    counts = np.bincount(found, minlength=len(words))
    common = counts >= max(2.0, RARE_SHARE * len(found))
    levels = tuple(word for word, often in zip(words, common, strict=True) if often)
    return CategoryCode(name, levels, bool((~common).any()))
