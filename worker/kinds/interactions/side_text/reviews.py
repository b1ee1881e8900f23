"""Rated events with their text, the parts they are in, and how they are thinned out to a k-core."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.contract.errors import JobError
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.splits import TEST, VALIDATION

LEAST_TRAIN, LEAST_TEST = 50, 20
_AGAIN = 'Upload it again with {}, as in options={{"keep_text": true}}.'


@dataclass(frozen=True)
class Part:
    """Events of one part: `user`, `item` (e,) int64, `rating` (e,) float64."""

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class Reviews:
    """Rated events of `users` users and `items` items. `texts`: of the training events alone, str (e,): no model may
    read another one."""

    train: Part
    validation: Part
    test: Part
    texts: np.ndarray
    users: int
    items: int

    @classmethod
    def of(cls, data: Interactions, k_core: int, most: int, seed: int) -> Reviews:
        """The events of a version whose users and items have at least `k_core` of them, in the version's own split;
        what held-out users are fed counts as training. Where it has hardly any validation events, a ninth of the
        others is drawn. Above `most` events, those of a random part of the users.

        Raises `JobError` `invalid_input` without ratings or texts, `too_few_rows` when too little is left.
        """
        events = data.events
        if data.texts is None:
            raise JobError(
                "invalid_input",
                "This dataset version has no texts.",
                hint=_AGAIN.format("its text column"),
                pointer="/dataset",
            )
        if events.rating is None:
            raise JobError(
                "invalid_input",
                "This dataset version has no ratings, and the audit asks whether text helps to predict them.",
                hint="Upload it again with its rating column and keep_text.",
                pointer="/dataset",
            )
        kept = core(events.user, events.item, k_core)
        if len(kept) > most:
            place = np.random.default_rng([seed, 3]).permutation(data.n_users)
            share = np.cumsum(np.bincount(place[events.user[kept]], minlength=data.n_users)) <= most
            kept = kept[share[place[events.user[kept]]]]
        split = events.split[kept]
        held = {VALIDATION: split == VALIDATION, TEST: split == TEST}
        if held[VALIDATION].sum() < LEAST_TEST:  # rows too short for the split to validate on
            free = np.flatnonzero(~held[TEST])
            taken = np.random.default_rng([seed, 7]).choice(free, len(free) // 9, replace=False)
            held[VALIDATION] = np.isin(np.arange(len(split)), taken)
        train = ~(held[VALIDATION] | held[TEST])
        _, user = np.unique(events.user[kept], return_inverse=True)
        _, item = np.unique(events.item[kept], return_inverse=True)
        rating = events.rating[kept].astype(np.float64)
        parts = [Part(user[rows], item[rows], rating[rows]) for rows in (train, held[VALIDATION], held[TEST])]
        _check(parts, k_core)
        texts = np.asarray(data.texts(), object)[kept][train]
        return cls(*parts, texts, int(user.max()) + 1, int(item.max()) + 1)

    def support(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """Training events of the user and of the item of every event of a part (e,)."""
        by_user = np.bincount(self.train.user, minlength=self.users)
        by_item = np.bincount(self.train.item, minlength=self.items)
        return by_user[part.user], by_item[part.item]


def core(user: np.ndarray, item: np.ndarray, least: int) -> np.ndarray:
    """Row numbers of the events left when users and items of fewer than `least` are left out, again and again."""
    kept = np.arange(len(user))
    while len(kept):
        often = np.bincount(user[kept])[user[kept]] >= least
        often &= np.bincount(item[kept])[item[kept]] >= least
        if often.all():
            break
        kept = kept[often]
    return kept


def _check(parts: list[Part], k_core: int) -> None:
    train, validation, test = (len(part) for part in parts)
    if train < LEAST_TRAIN or min(validation, test) < LEAST_TEST:
        cure = f"Lower k_core (now {k_core}), or upload more reviews." if k_core else "Upload more reviews."
        raise JobError(
            "too_few_rows",
            f"{train} training, {validation} validation and {test} test reviews are left; at least {LEAST_TRAIN}, "
            f"{LEAST_TEST} and {LEAST_TEST} are needed.",
            hint=cure,
            pointer="/params/k_core" if k_core else "",
        )
    if np.ptp(parts[0].rating) == 0:
        raise JobError("invalid_input", "All training ratings are equal: there is nothing to predict.")
