"""Which documents are held out: as the upload says, or drawn. Documents of equal content always fall into one part
where the split is drawn; where it is given, those that lie on both sides are counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.contract.errors import JobError
from worker.kinds.labels.dataset import PARTS, TEST, TRAIN, VALIDATION
from worker.kinds.labels.upload.found import NO_PART, Found


@dataclass(frozen=True)
class Split:
    """`part`: int8 (n,); `words`: where it is from; `drawn`: whether validation documents were drawn from the training
    documents of the upload; `warnings`: what is to be told of it."""

    part: np.ndarray
    words: str
    drawn: bool
    warnings: tuple[str, ...] = ()


def decide(found: Found, codes: np.ndarray, how: str, validation: float, test: float, seed: int) -> Split:
    """The split of an upload. `how`: "auto" as it says, "random" whatever it says. `validation`, `test`: shares of the
    training documents that are drawn where there are no such documents."""
    part = found.part
    known = {code for code in (TRAIN, VALIDATION, TEST) if (part == code).any()}
    if how == "random" or not known - {TRAIN}:
        words = f"drawn at random: {100 * test:.3g} % test, {100 * validation:.3g} % of the rest validation"
        fresh = _drawn(np.full(len(part), TRAIN, np.int8), codes, test, TEST, seed)
        told = ("Only training documents were given: test documents were drawn from them.",) if known else ()
        return Split(_drawn(fresh, codes, validation, VALIDATION, seed), words, True, told)
    if (part == NO_PART).any():
        raise JobError(
            "invalid_input",
            f"{int((part == NO_PART).sum()):,} documents are neither training, validation nor test documents; others "
            "are.",
            hint='Say it of all, by the names of files or a column "split", or choose split=random.',
            pointer="/options/split",
        )
    if TRAIN not in known:
        raise JobError(
            "invalid_input",
            "There are no training documents.",
            hint="Upload them, too (a file named train or trn), or choose split=random.",
            pointer="/options/split",
        )
    told: tuple[str, ...] = ()
    if TEST not in known:
        part = np.where(part == VALIDATION, TEST, part).astype(np.int8)
        known = {TRAIN, TEST}
        told = ("No test documents were given: the validation documents became these.",)
    words = f"given ({', '.join(PARTS[code] for code in sorted(known))})"
    if VALIDATION in known:
        return Split(part, words, False, told)
    words += f", {100 * validation:.3g} % of the training documents drawn for validation"
    return Split(_drawn(part, codes, validation, VALIDATION, seed), words, True, told)


def _drawn(part: np.ndarray, codes: np.ndarray, share: float, to: int, seed: int) -> np.ndarray:
    """The split with a share of its training documents, by groups of equal content, moved to another part."""
    rows = np.flatnonzero(part == TRAIN)
    groups, place = np.unique(codes[rows], return_inverse=True)
    order = np.random.default_rng([seed, to]).permutation(len(groups))
    chosen = np.zeros(len(groups), bool)
    chosen[order[: round(share * len(groups))]] = True
    moved = part.copy()
    moved[rows[chosen[place]]] = to
    return moved


def repeated(codes: np.ndarray, part: np.ndarray, held_out: int) -> int:
    """Documents of a part whose content is that of a training document."""
    return int(np.isin(codes[part == held_out], codes[part == TRAIN]).sum())
