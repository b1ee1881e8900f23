"""Which documents are held out: by a hash of their text or source, or as a column or the names of files say."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from worker.contract.errors import JobError
from worker.kinds.text.dataset import HQ, LEFT_OUT, TEST, TRAIN, VALIDATION
from worker.kinds.text.noise import uniform

_NAMES = {
    "train": TRAIN, "training": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION,
    "dev": VALIDATION, "test": TEST, "testing": TEST, "hq": HQ,
}  # fmt: skip


def drawn(hashes: np.ndarray, holdout: float, seed: int) -> np.ndarray:
    """int8 (n,) of hashes uint64 (n,): a share `holdout` test, half as much validation; equal hashes, equal parts."""
    at = uniform(hashes, seed, "split")
    split = np.full(len(hashes), TRAIN, np.int8)
    split[at < 1.5 * holdout] = VALIDATION
    split[at < holdout] = TEST
    return split


def of_words(words: Sequence[str | None]) -> np.ndarray:
    """int8 (k,) of what a column says: train, validation, test or hq."""
    parts = [_NAMES.get((word or "").strip().lower(), -1) for word in words]
    wrong = [word for word, part in zip(words, parts, strict=True) if part < 0]
    if wrong:
        raise JobError(
            "invalid_input",
            f"The split column holds {(wrong[0] or '')[:60]!r}; its cells are train, validation, test or hq.",
            hint='Write these words, or leave the column out with columns={"split": ""}: then the split is drawn.',
            pointer="/columns/split",
        )
    return np.array(parts, np.int8)


def of_file(name: str) -> int:
    """The part that the name of a file says."""
    words = re.split(r"[^a-z]+", name.rpartition("/")[2].lower())
    found = {_NAMES[word] for word in words if word in _NAMES}
    if len(found) != 1:
        raise JobError(
            "invalid_input",
            f"The name {name!r} does not say whether the file is for training, validation, test or hq.",
            hint='Name the files such as "train.jsonl" and "test.jsonl", or choose another split.',
            pointer="/options/split",
        )
    return found.pop()


def of_files(names: Sequence[str], *, asked: bool) -> list[int] | None:
    """The part of each file by its name; where that was not `asked` for, None unless all names say one, and both
    training and test are among them."""
    if asked:
        return [of_file(name) for name in names]
    try:
        found = [of_file(name) for name in names]
    except JobError:
        return None
    return found if {TRAIN, TEST} <= {*found} else None


def without_held_out(split: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """The split with `LEFT_OUT` for training documents whose text is held out, too."""
    asked = np.unique(hashes[split > TRAIN])
    leaking = (split == TRAIN) & np.isin(hashes, asked)
    if not leaking.any():
        return split
    split = split.copy()
    split[leaking] = LEFT_OUT
    return split
