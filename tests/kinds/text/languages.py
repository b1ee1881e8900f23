"""Made-up languages: words that follow each other by a Markov chain, or noise of independent letters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from worker.kinds.text import dataset
from worker.kinds.text.dataset import HQ, TEST, TRAIN, VALIDATION, Corpus
from worker.kinds.text.shards import CorpusWriter

_LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz ", np.uint8)


def clean(count: int, seed: int, language: int = 7) -> list[str]:
    """Documents of a language with 800 words, each of which is followed by one of eight."""
    rng = np.random.default_rng(language)
    words = ["".join(map(chr, rng.choice(_LETTERS[:26], rng.integers(3, 9)))) for _ in range(800)]
    after = rng.integers(0, 800, (800, 8))
    rng = np.random.default_rng([language, seed])
    found: list[str] = []
    for _ in range(count):
        word, said = int(rng.integers(800)), list[str]()
        for step in rng.integers(0, 8, 50):
            said.append(words[word])
            word = int(after[word, step])
        found.append(" ".join(said))
    return found


def noise(count: int, seed: int) -> list[str]:
    """Documents of letters that say nothing of each other."""
    rng = np.random.default_rng([8, seed])
    return [rng.choice(_LETTERS, 300).tobytes().decode() for _ in range(count)]


def corpus(
    folder: Path, texts: Sequence[str], split: Sequence[int], sources: Sequence[str | None] | None = None
) -> Corpus:
    """A corpus of these documents."""
    writer = CorpusWriter(folder)
    batch = {
        "id": pa.array([f"d{number}" for number in range(len(texts))]),
        "text": pa.array(list(texts)),
        "source": pa.array([None] * len(texts) if sources is None else list(sources), pa.string()),
    }
    writer.add(pa.RecordBatch.from_pydict(batch))
    writer.finish(np.array(split, np.int8), "made up")
    return dataset.load(folder)


def mixed(folder: Path) -> Corpus:
    """As many documents of the clean language as of noise."""
    return _in_turn(folder, {"clean": clean(240, 0), "noise": noise(240, 0)})


def bilingual(folder: Path) -> Corpus:
    """As many documents of the clean language as of another one like it."""
    return _in_turn(folder, {"clean": clean(240, 0), "other": clean(240, 0, language=9)})


def _in_turn(folder: Path, texts: dict[str, list[str]]) -> Corpus:
    """Of each ten documents of a source eight are for training, one for validation, one to test on."""
    each = len(next(iter(texts.values())))
    split = [part for part in ([TRAIN] * 8 + [VALIDATION, TEST]) * (each // 10) for _ in texts]
    return corpus(folder, [text for turn in zip(*texts.values(), strict=True) for text in turn], split, [*texts] * each)


def high_quality(folder: Path) -> Corpus:
    """Other documents of the clean language."""
    return corpus(folder, clean(60, 1), [HQ] * 60)
