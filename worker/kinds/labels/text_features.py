"""Documents and label texts as counts of terms, and counts as tf-idf.

`plain` terms are the words of title and body. `rich` ones, for short texts, where the place of a word says much, are
besides: title words marked as such; the last title word (in English the head of a phrase) with its suffixes of three
to five letters and its prefix of four; pairs of neighbouring body words; the first four body words marked as such, and
the first two and the first three joined.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, repeat

import numpy as np
from scipy import sparse

from worker.contract.context import Context

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_SUFFIXES, _PREFIX, _OPENING = (3, 4, 5), 4, 4
_PER_REPORT = 1000  # documents between two reports of progress

Terms = Callable[[str, str], Iterable[str]]
"""From title and body to terms, with repetitions."""


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case; an apostrophe inside a word belongs to it."""
    return _WORD.findall(text.lower())


def plain(title: str, body: str) -> list[str]:
    """The words of title and body."""
    return words(title) + words(body)


def rich(title: str, body: str) -> Iterator[str]:
    """Words, and words by their place; marks are characters that no word holds."""
    head, rest = words(title), words(body)
    yield from head
    yield from rest
    for word in head:
        yield f"t:{word}"
    if head:
        last = head[-1]
        yield f"l:{last}"
        for length in _SUFFIXES:
            if len(last) > length:
                yield f"s:{last[-length:]}"
        if len(last) > _PREFIX:
            yield f"p:{last[:_PREFIX]}"
    for first, second in pairwise(rest):
        yield f"{first} {second}"
    for word in rest[:_OPENING]:
        yield f"o:{word}"
    for length in (2, 3):
        if len(rest) >= length:
            yield f"o:{' '.join(rest[:length])}"


@dataclass(frozen=True)
class Vocabulary:
    """`columns`: the number of each term that training texts hold."""

    terms: Terms
    columns: dict[str, int]

    @staticmethod
    def of(terms: Terms, texts: Iterable[tuple[str, str]], ctx: Context) -> tuple[Vocabulary, sparse.csr_matrix]:
        """The terms of texts, pairs of title and body, numbered as they first occur; and their counts."""
        columns: dict[str, int] = {}
        numbered = (
            [(columns.setdefault(term, len(columns)), count) for term, count in Counter(terms(*text)).items()]
            for text in _reported(texts, ctx)
        )
        rows = _rows(numbered)
        return Vocabulary(terms, columns), _matrix(rows, len(columns))

    def counts(self, texts: Iterable[tuple[str, str]], ctx: Context) -> sparse.csr_matrix:
        """How often each known term occurs in each text: float32 (n, v)."""
        known = self.columns
        numbered = (
            [(known[term], count) for term, count in Counter(self.terms(*text)).items() if term in known]
            for text in _reported(texts, ctx)
        )
        return _matrix(_rows(numbered), len(known))


@dataclass(frozen=True)
class TfIdf:
    """`columns`: int64 (w,), those that are kept of the v that rows have; `idf`: float32 (w,), None for rows that are
    no counts: they keep their values."""

    columns: np.ndarray
    idf: np.ndarray | None

    @staticmethod
    def of(counts: sparse.csr_matrix, least: int = 1) -> TfIdf:
        """Columns that occur in at least `least` rows, with idf = ln((1 + n) / (1 + df)) + 1."""
        held = np.bincount(counts.indices, minlength=counts.shape[1])
        columns = np.flatnonzero(held >= least)
        return TfIdf(columns, (np.log((1 + counts.shape[0]) / (1 + held[columns])) + 1).astype(np.float32))

    def of_rows(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """(1 + ln tf) idf, rows of length 1: float32 (n, w); tf below 1, which no count is, are taken as 1."""
        rows = sparse.csr_matrix(counts[:, self.columns], dtype=np.float32)
        if self.idf is not None:
            rows.data = (1 + np.log(np.maximum(rows.data, 1))) * self.idf[rows.indices]
        return unit_rows(rows)


def unit_rows(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows divided by their length; empty ones stay."""
    length = np.sqrt(np.bincount(_owners(rows), rows.data.astype(np.float64) ** 2, minlength=rows.shape[0]))
    scale = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
    data = (rows.data * np.repeat(scale, np.diff(rows.indptr))).astype(np.float32)
    return sparse.csr_matrix((data, rows.indices, rows.indptr), rows.shape)


def pairs(titles: Iterable[str] | None, bodies: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    """Title and body of each text, "" for what a set has none of; one of the two it has."""
    if titles is None and bodies is None:
        raise ValueError("there is no text")
    yield from zip(repeat("") if titles is None else titles, repeat("") if bodies is None else bodies, strict=False)


def _owners(rows: sparse.csr_matrix) -> np.ndarray:
    return np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))


def _reported(texts: Iterable[tuple[str, str]], ctx: Context) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(texts):
        if number % _PER_REPORT == 0:
            ctx.progress(number, number + _PER_REPORT, phase="features")
        yield text


def _rows(numbered: Iterable[list[tuple[int, int]]]) -> tuple[array[int], array[float], array[int]]:
    """Columns, counts and ends of rows, held as plain numbers: texts are many."""
    columns, counts, ends = array("i"), array("f"), array("q", [0])
    for row in numbered:
        columns.extend(column for column, _ in row)
        counts.extend(count for _, count in row)
        ends.append(len(columns))
    return columns, counts, ends


def _matrix(rows: tuple[array[int], array[float], array[int]], width: int) -> sparse.csr_matrix:
    columns, counts, ends = (np.array(part) for part in rows)
    matrix = sparse.csr_matrix((counts, columns, ends), (len(ends) - 1, width))
    matrix.sort_indices()
    return matrix
