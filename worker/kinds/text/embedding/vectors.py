"""Documents as vectors: which embedder, and the vectors of a corpus in a file, read block by block."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.executor.passes import map_shards
from worker.ingest.arrow import Arrow
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.embedding import hashed
from worker.kinds.text.embedding.minilm import minilm
from worker.kinds.text.embedding.pieces import Piece, pieces
from worker.kinds.text.selection import SelectParams

BLOCK = 8_192
_FARTHEST = 1e15  # of a single number of a vector; squares of larger ones are no float32


class EmbedParams(SelectParams):
    """What every selection by vectors takes."""

    embedder: Literal["hashed-tfidf-svd", "minilm", "column"] = Field(
        "hashed-tfidf-svd",
        description="Where vectors come from: hashed words and pieces of words with tf-idf and SVD; the sentence "
        "encoder all-MiniLM-L6-v2, where it is installed; or the uploaded column `embedding`.",
    )
    dimension: int = Field(64, ge=2, le=512, description="Numbers of a vector of `hashed-tfidf-svd`.")


class Embedder(Protocol):
    """Makes vectors of a column of documents; those of a document depend on no other document. Picklable."""

    @property
    def column(self) -> str:
        """What it reads of a document."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        ...

    @property
    def at_once(self) -> int:
        """Documents that take it well below two seconds."""
        ...

    def __call__(self, values: Arrow, /) -> np.ndarray:
        """Vectors float32 (n, dimension) of an array (n,)."""
        ...


@dataclass(frozen=True)
class Uploaded:
    """The vectors that were uploaded, as they are."""

    dimension: int
    column: str = "embedding"
    at_once: int = 4_096

    def __call__(self, values: Arrow) -> np.ndarray:
        """float32 (n, d); NaN for a document without."""
        flat = values.flatten().to_numpy(zero_copy_only=False) if not values.null_count else None
        if flat is None:
            rows = [one if one is not None else [np.nan] * self.dimension for one in values.to_pylist()]
            return np.array(rows, np.float32)
        return flat.reshape(len(values), self.dimension)


@dataclass(frozen=True)
class Block:
    """Vectors `first` to `first + count` of a file; picklable."""

    path: Path
    first: int
    count: int
    dimension: int

    def read(self) -> np.ndarray:
        """float32 (count, dimension)."""
        offset, numbers = 4 * self.first * self.dimension, self.count * self.dimension
        return np.fromfile(self.path, np.float32, numbers, offset=offset).reshape(self.count, self.dimension)


@dataclass(frozen=True)
class Vectors:
    """`count` finite vectors other than 0, float32, one after the other in a file; picklable."""

    path: Path
    count: int
    dimension: int

    def blocks(self) -> list[Block]:
        """All of them, 8,192 at a time."""
        starts = range(0, self.count, BLOCK)
        return [Block(self.path, start, min(BLOCK, self.count - start), self.dimension) for start in starts]

    def take(self, places: np.ndarray) -> np.ndarray:
        """Those at some places, float32 (n, dimension)."""
        mapped = np.memmap(self.path, np.float32, "r", shape=(self.count, self.dimension))
        return np.array(mapped[places])

    @contextmanager
    def kept(self, places: np.ndarray) -> Generator[Vectors]:
        """Those at some places (sorted int64) as a file of their own, while the block lasts."""
        path = self.path.with_suffix(".kept")
        with path.open("wb") as file:
            for start in range(0, len(places), BLOCK):
                self.take(places[start : start + BLOCK]).tofile(file)
        yield Vectors(path, len(places), self.dimension)
        path.unlink()


@dataclass(frozen=True)
class Embed:
    """The map of a pass: the vectors of the documents of a piece, float32 (n, d)."""

    embedder: Embedder

    def setup(self) -> None:
        """Load what the embedder needs."""
        if (setup := getattr(self.embedder, "setup", None)) is not None:
            setup()

    def __call__(self, piece: Piece) -> np.ndarray:
        """Of one piece."""
        batches = piece[0].read(piece[1], (self.embedder.column,))
        return np.concatenate([self.embedder(batch.column(0)) for batch in batches])


@contextmanager
def embedded(
    data: Corpus, rows: np.ndarray, params: EmbedParams, ctx: Context
) -> Generator[tuple[np.ndarray, Vectors]]:
    """Documents (sorted int64) that have a vector, and their vectors in the same order, while the block lasts.

    Vectors that are 0 or not finite are left out, with a warning that counts them. Raises `JobError` where the embedder
    cannot be had or no vector is left.
    """
    with tempfile.TemporaryDirectory(prefix="vectors-") as folder:
        path = Path(folder) / "vectors.f32"
        with ctx.part("vectors", 0, 2) as part:
            embedder = _embedder(data, rows, params, part)
            slow = params.embedder == "minilm"
            work = pieces(data, rows, embedder.at_once)
            usable = np.zeros(len(rows), bool)
            done = 0
            with path.open("wb") as file:
                for found in map_shards(Embed(embedder), work, part, name="embed", step=2, total=3, keep=slow):
                    good = (np.abs(found) < _FARTHEST).all(axis=1) & found.any(axis=1)  # NaN is not below
                    usable[done : done + len(found)] = good
                    done += len(found)
                    np.ascontiguousarray(found[good], np.float32).tofile(file)
        if missing := int((~usable).sum()):
            ctx.warn(
                f"{missing:,} of {len(rows):,} documents have no usable vector (no words, all zero or not finite) and "
                "were left out."
            )
        if not usable.any():
            raise JobError(
                "invalid_input",
                "No candidate has a usable vector.",
                hint="Use another embedder; vectors must be finite and not all zero.",
                pointer="/params/embedder",
            )
        yield rows[usable], Vectors(path, int(usable.sum()), embedder.dimension)


def _embedder(data: Corpus, rows: np.ndarray, params: EmbedParams, ctx: Context) -> Embedder:
    if params.embedder == "minilm":
        return minilm()
    if params.embedder == "hashed-tfidf-svd":
        return hashed.fit(data, rows, params.dimension, ctx)
    if not data.dimension:
        raise JobError(
            "invalid_input",
            "The dataset has no column of embeddings.",
            hint="Leave embedder out for hashed-tfidf-svd, or upload a column named embedding of lists of numbers.",
            pointer="/params/embedder",
        )
    return Uploaded(data.dimension)


def aligned(rows: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values of the documents `known` at their places among `rows` (both sorted), NaN elsewhere; float32."""
    found = np.full(len(rows), np.nan, np.float32)
    found[np.searchsorted(rows, known)] = values
    return found
