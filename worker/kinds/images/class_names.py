"""The classes of an upload, and their order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from worker.contract.text import storable
from worker.kinds.images.upload.piece import refuse

MOST = 10_000


def classes_of(
    labels: Sequence[Sequence[str] | np.ndarray], names: Sequence[str], order: str, images: Sequence[str]
) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes in order, and the number (n,) of each image's: numbers by size, words as text or by their numbers.

    `names`: what label numbers stand for, all of them classes; empty where numbers stand for themselves. `images`: what
    each was called. Raises `JobError` where one has no label, and where classes cannot be told apart.
    """
    flat = np.concatenate([np.asarray(one) for one in labels])
    if flat.dtype.kind in "iu":
        return _of_numbers(flat.astype(np.int64), names)
    words, codes = np.unique(flat.astype(str), return_inverse=True)
    shown = [_shown(str(word)) for word in words]
    if "" in shown:
        bare = images[int((codes == shown.index("")).argmax())]
        raise refuse(f"{bare} has no label.", "Leave images without a label out, or give them one.")
    words, again = np.unique(shown, return_inverse=True)  # two ways to write one name are one class
    codes = again[codes]
    if len(words) > MOST:
        raise _too_many(len(words))
    order_by = (
        sorted(range(len(words)), key=lambda at: _numeric(words[at])) if order == "numeric" else range(len(words))
    )
    place = np.empty(len(words), np.int64)
    place[list(order_by)] = np.arange(len(words))
    return tuple(str(words[at]) for at in order_by), place[codes]


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
        called = tuple(_shown(names[int(one)]) for one in found)
        twice = next((name for at, name in enumerate(called) if not name or name in called[:at]), None)
        if twice is not None:
            raise refuse(f"The name {twice!r} stands for several classes, or for none.", "Give every class a name.")
        return called, codes.astype(np.int64)
    return tuple(str(one) for one in found), codes.astype(np.int64)


def _too_many(count: int) -> Exception:
    return refuse(
        f"The labels have {count:,} different values; {MOST:,} classes are the most.",
        "Check that the label is a class and not an id or a file name.",
    )


def _shown(word: str) -> str:
    """A name as it is shown and compared: letters composed, without space around."""
    return unicodedata.normalize("NFC", storable(word)).strip()


def _numeric(word: str) -> tuple[list[tuple[int, str]], str]:
    """A key by which numbers in words count as numbers."""
    pieces = re.findall(r"\d+|\D+", word)
    return [(int(piece[:18]), "") if piece.isdigit() and piece.isascii() else (10**18, piece) for piece in pieces], word
