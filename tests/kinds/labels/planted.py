"""Made-up catalogue: every label has words of its own, documents mix the words of theirs; some labels are rare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

LABELS, WORDS_OF_A_LABEL = 40, 6


def _words(label: int) -> list[str]:
    return [f"w{label}x{word}" for word in range(WORDS_OF_A_LABEL)]


def documents(count: int, seed: int) -> list[dict[str, Any]]:
    """Records as raw files have them; label 0 is most frequent, the last ones are rare."""
    rng = np.random.default_rng(seed)
    chance = 1 / (1 + np.arange(LABELS)) ** 0.7
    found: list[dict[str, Any]] = []
    for number in range(count):
        own = sorted(rng.choice(LABELS, rng.integers(1, 4), replace=False, p=chance / chance.sum()).tolist())
        said = [str(rng.choice(_words(label))) for label in own for _ in range(4)]
        said += [f"common{rng.integers(30)}" for _ in range(4)]
        rng.shuffle(said)
        found.append(
            {
                "uid": f"d{seed}-{number}",
                "title": " ".join(said[:3]),
                "content": " ".join(said[3:]),
                "target_ind": own,
                "target_rel": [1.0] * len(own),
            }
        )
    return found


def label_records() -> list[dict[str, str]]:
    return [
        {"uid": f"l{label}", "title": f"topic {label}", "content": " ".join(_words(label)[:3])}
        for label in range(LABELS)
    ]


def write_json(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def raw_files(folder: Path, train: int = 300, test: int = 100) -> list[tuple[str, Path]]:
    """trn.json, tst.json and lbl.json."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"trn.json": documents(train, 1), "tst.json": documents(test, 2), "lbl.json": label_records()}
    return [(name, write_json(folder / name, records)) for name, records in files.items()]


def as_matrices(records: list[dict[str, Any]], vocabulary: dict[str, int], width: int) -> tuple[str, str]:
    """The texts of an X_Xf file (counts of words) and of an X_Y file."""
    x, y = [f"{len(records)} {width}"], [f"{len(records)} {LABELS}"]
    for record in records:
        words = f"{record['title']} {record['content']}".split()
        counts = {vocabulary.setdefault(word, len(vocabulary)): words.count(word) for word in words}
        x.append(" ".join(f"{index}:{counts[index]}" for index in sorted(counts)))
        y.append(" ".join(f"{label}:1" for label in record["target_ind"]))
    return "\n".join(x) + "\n", "\n".join(y) + "\n"


def xc_files(folder: Path, train: int = 300, test: int = 100) -> list[tuple[str, Path]]:
    """trn_X_Xf.txt and its like, and labels.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary: dict[str, int] = {}
    found: list[tuple[str, Path]] = []
    for name, records in (("trn", documents(train, 1)), ("tst", documents(test, 2))):
        for suffix, text in zip(("X_Xf", "X_Y"), as_matrices(records, vocabulary, 300), strict=True):
            path = folder / f"{name}_{suffix}.txt"
            path.write_text(text)
            found.append((path.name, path))
    names = folder / "labels.txt"
    names.write_text("".join(f"{record['title']}\n" for record in label_records()))
    return [*found, (names.name, names)]
