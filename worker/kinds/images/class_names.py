"""The classes of an upload, and their order."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from worker.contract.text import storable
from worker.kinds.images.upload.piece import refuse

MOST = 10_000


def classes_of(
    labels: Sequence[Sequence[str] | np.ndarray], names: Sequence[str], order: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes in order, and the number (n,) of each image's: numbers by size, words as text or by their numbers.

    `names`: what label numbers stand for, all of them classes; empty where numbers stand for themselves.
    """
    flat = np.concatenate([np.asarray(one) for one in labels])
    if flat.dtype.kind in "iu":
        return _of_numbers(flat.astype(np.int64), names)
    words, codes = np.unique(flat.astype(str), return_inverse=True)
    if len(words) > MOST:
        raise _too_many(len(words))
    order_by = (
        sorted(range(len(words)), key=lambda at: _numeric(words[at])) if order == "numeric" else range(len(words))
    )
    place = np.empty(len(words), np.int64)
    place[list(order_by)] = np.arange(len(words))
    return tuple(_shown(str(words[at])) for at in order_by), place[codes]


def _of_numbers(label: np.ndarray, names: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    found, codes = np.unique(label, return_inverse=True)
    if len(found) > MOST:
        raise _too_many(len(found))
    if names:
        if found[0] < 0 or found[-1] >= len(names):
            raise refuse(
                f"There is a label {found[0] if found[0] < 0 else found[-1]}, and {len(names)} names of classes.",
                "Leave out images without a label, or correct the names.",
            )
        return tuple(_shown(names[one]) for one in found), codes.astype(np.int64)
    return tuple(str(one) for one in found), codes.astype(np.int64)


def _too_many(count: int) -> Exception:
    return refuse(
        f"The labels have {count:,} different values; {MOST:,} classes are the most.",
        "Check that the label is a class and not an id or a file name.",
    )


def _shown(word: str) -> str:
    return storable(word) or "(blank)"


def _numeric(word: str) -> tuple[list[tuple[int, str]], str]:
    """A key by which numbers in words count as numbers."""
    pieces = re.findall(r"\d+|\D+", word)
    return [(int(piece[:18]), "") if piece.isdigit() and piece.isascii() else (10**18, piece) for piece in pieces], word
