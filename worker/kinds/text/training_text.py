"""Documents as bytes, and the training text that a learner is given: so many bytes of it, however many documents.

Learners of text are compared at equal UTF-8 bytes, which is what byte learners consume. Fewer distinct documents are
then read more often, as in "How to Train Data-Efficient LLMs" (arXiv:2402.09668, section 4), where every run sees the
same number of tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Documents:
    """Documents one after another: `buffer` uint8 (m,), document i being `buffer[offsets[i]:offsets[i + 1]]`."""

    buffer: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of(cls, texts: Iterable[str | bytes]) -> Documents:
        """These texts, as UTF-8."""
        encoded = [text if isinstance(text, bytes) else text.encode("utf-8") for text in texts]
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in encoded], dtype=np.int64)]).astype(np.int64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Bytes of every document, int64 (n,)."""
        return np.diff(self.offsets)

    @cached_property
    def place(self) -> np.ndarray:
        """How far into its document every byte lies, int64 (m,)."""
        return np.arange(len(self.buffer)) - np.repeat(self.offsets[:-1], self.sizes)

    def text(self, number: int) -> str:
        """One document; a character that was cut off at its end is left out."""
        return self.buffer[self.offsets[number] : self.offsets[number + 1]].tobytes().decode("utf-8", "ignore")

    def sums(self, per_byte: np.ndarray) -> np.ndarray:
        """Sums over the bytes of every document, float64 (n,), of values per byte (m,).

        Each is summed by itself, so that no other document changes its rounding.
        """
        found, some = np.zeros(len(self)), np.flatnonzero(self.sizes)
        if len(some):
            found[some] = np.add.reduceat(np.asarray(per_byte, np.float64), self.offsets[some])
        return found


@dataclass(frozen=True)
class TrainingText:
    """What a learner is trained on: distinct `documents` in the order of reading, and how many `bytes` it sees.

    Where the documents hold fewer bytes they are read again from the start; they never hold more.
    """

    documents: Documents
    bytes: int

    @property
    def distinct(self) -> int:
        """Bytes of the documents themselves."""
        return len(self.documents.buffer)

    @property
    def epochs(self) -> float:
        """How often every byte is read."""
        return self.bytes / max(self.distinct, 1)

    @cached_property
    def digest(self) -> str:
        """A hash of everything that a learner sees."""
        found = hashlib.sha256(str(self.bytes).encode())
        for array in (self.documents.buffer, self.documents.offsets):
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


def training_text(texts: Iterable[bytes], most: int, seen: int) -> TrainingText:
    """The first `most` bytes of texts, the last of them cut where it is full, of which a learner sees `seen`; empty
    ones are left out."""
    found: list[bytes] = []
    for text in texts:
        if piece := text[:most]:
            found.append(piece)
            most -= len(piece)
    return TrainingText(Documents.of(found), seen)
