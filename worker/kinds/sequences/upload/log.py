"""A log of events as columns, put in order and cleaned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Log:
    """Columns of equal length: user, item int32 codes; time int64; part int8, of a given split; None where there are
    none. Rows are in the order of the upload."""

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray | None = None
    part: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def keep(self, rows: np.ndarray) -> None:
        """Keep these rows, or where a mask is true; column by column, so that never two copies of all exist."""
        for name in self.__dataclass_fields__:
            column = getattr(self, name)
            if column is not None:
                setattr(self, name, column[rows])


def in_order(log: Log) -> None:
    """Sort by user and time, where there are no times by user and part: files come in any order. What is equal keeps
    the order of the upload."""
    within = log.part if log.time is None else log.time
    order = np.argsort(log.user, kind="stable") if within is None else np.lexsort((within, log.user))
    log.keep(order)


def unique(log: Log, how: str, items: int) -> None:
    """Of the events of a user on one item the first or the last alone."""
    if how == "none" or not len(log):
        return
    key = log.user.astype(np.int64) * items + log.item
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    dropped = order[:-1][same] if how == "last" else order[1:][same]
    if len(dropped):
        kept = np.ones(len(log), bool)
        kept[dropped] = False
        log.keep(kept)


def frequent(log: Log, shortest: int, rarest: int, users: int, items: int) -> None:
    """Leave out sequences of fewer than `shortest` events and items of fewer than `rarest` until both minima hold."""
    while True:
        per_item, per_user = np.bincount(log.item, minlength=items), np.bincount(log.user, minlength=users)
        kept = (per_item[log.item] >= rarest) & (per_user[log.user] >= shortest)
        if kept.all():
            return
        log.keep(kept)
