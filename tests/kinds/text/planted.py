"""Documents that tests make up: sentences of made-up words, some of them copied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

_SYLLABLES = ("ka", "lo", "mi", "ne", "ru", "sa", "ti", "vo", "zu", "pe")


def words(count: int, seed: int) -> list[str]:
    """Made-up words, the same for one seed."""
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(_SYLLABLES, rng.integers(2, 5))) for _ in range(count)]


def document(rng: np.random.Generator, vocabulary: list[str], length: int) -> str:
    """Words, the first ones far more often than the last, as sentences."""
    at = np.minimum(rng.zipf(1.3, length) - 1, len(vocabulary) - 1)
    sentences = [" ".join(vocabulary[place] for place in part) for part in np.array_split(at, max(1, length // 12))]
    return ". ".join(sentence.capitalize() for sentence in sentences) + "."


def records(count: int = 240, seed: int = 0) -> list[dict[str, Any]]:
    """Documents of three sources with a score each; every tenth equals the one before."""
    rng = np.random.default_rng(seed)
    vocabularies = {source: words(400, at) for at, source in enumerate(("news", "forum", "book"))}
    found: list[dict[str, Any]] = []
    for number in range(count):
        source = ("news", "forum", "book")[number % 3]
        text = document(rng, vocabularies[source], int(rng.integers(20, 80)))
        if number % 10 == 9:
            text = found[-1]["text"]
        found.append(
            {"id": f"d{number}", "text": text, "source": source, "score_quality": round(float(rng.normal()), 3)}
        )
    return found


def jsonl(file: Path, documents: list[dict[str, Any]]) -> Path:
    """Write documents as JSON lines."""
    file.write_text("".join(json.dumps(one) + "\n" for one in documents))
    return file
