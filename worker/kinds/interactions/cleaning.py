"""From the events of an upload to those of a version: each pair once, the rare left out, the split drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from worker.contract.errors import JobError
from worker.kinds.interactions import splits
from worker.kinds.interactions.options import IngestOptions

MIN_USERS, MIN_ITEMS = 10, 5


@dataclass
class Events:
    """Columns of equal length. user, item: int32 codes; rating: float32; timestamp: int64; part: int8 code of a
    published split; text: str, None where missing. `row`: the place in the upload, which breaks ties of time.
    """

    user: np.ndarray
    item: np.ndarray
    row: np.ndarray
    rating: np.ndarray | None = None
    timestamp: np.ndarray | None = None
    part: np.ndarray | None = None
    text: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def keep(self, rows: np.ndarray) -> None:
        """Keep these rows, or where a mask is true; column by column, so that never two copies of all exist."""
        for name in self.__dataclass_fields__:
            column = getattr(self, name)
            if column is not None:
                setattr(self, name, column[rows])


def unique(events: Events, how: str, n_users: int, n_items: int, counts: dict[str, int]) -> None:
    """One event a pair, sorted by user, item. The earliest (latest) by time, and by row where times tie or lack."""
    if not len(events):
        return
    order, key = _by_pair(events, n_users, n_items)
    starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))).astype(order.dtype)
    counts["duplicates_removed"] = len(key) - len(starts)
    if len(starts) == len(key):
        events.keep(order)
        return
    sizes = np.diff(starts, append=starts.dtype.type(len(key)))
    counts["overlap"] = _overlap(events, order, starts)
    if events.timestamp is not None:
        repeated = np.flatnonzero(np.repeat(sizes > 1, sizes))
        rows = order[repeated]
        order[repeated] = rows[np.lexsort((rows, events.timestamp[rows], key[repeated]))]
    summed = None
    if how == "sum":
        rating = np.ones(len(key)) if events.rating is None else events.rating[order].astype(np.float64)
        with np.errstate(over="ignore"):
            summed = np.add.reduceat(rating, starts).astype(np.float32)
        if not np.isfinite(summed).all():
            raise JobError(
                "invalid_input",
                "The sum of a pair's ratings is above what 32 bits hold (3.4e38).",
                hint="Scale the ratings down, or keep one of them, as in dedup=last.",
                pointer="/options/dedup",
            )
    events.keep(order[starts + sizes - 1] if how == "last" else order[starts])
    events.rating = events.rating if summed is None else summed


def _by_pair(events: Events, n_users: int, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """The order of rows by user, item, row, and the pair's number in that order.

    Pair and row in one 64-bit number, where they fit, can be sorted in place: several times faster than an argsort.
    """
    row_bits = max(1, (len(events) - 1).bit_length())
    key = events.user.astype(np.int64)
    key *= n_items
    key += events.item
    if (n_users * n_items).bit_length() + row_bits <= 63:
        key <<= row_bits
        key |= events.row
        key.sort()
        order = (key & ((1 << row_bits) - 1)).astype(np.int32)
        key >>= row_bits
        return order, key
    order = np.argsort(key, kind="stable")
    return order, key[order]


def _overlap(events: Events, order: np.ndarray, starts: np.ndarray) -> int:
    """Pairs that a published split has in more than one part."""
    if events.part is None:
        return 0
    part = events.part[order]
    return int((np.maximum.reduceat(part, starts) != np.minimum.reduceat(part, starts)).sum())


def positive(events: Events, options: IngestOptions, counts: dict[str, int]) -> None:
    """Keep what is rated at least the threshold, where there is one."""
    if options.binarize_threshold is None:
        return
    if events.rating is None:
        raise JobError(
            "invalid_input",
            "binarize_threshold needs ratings, and no column holds them.",
            hint='Name it, as in columns={"rating": "stars"}, or leave the threshold out.',
            pointer="/options/binarize_threshold",
        )
    kept = events.rating >= options.binarize_threshold
    counts["below_threshold"] = int(len(kept) - kept.sum())
    events.keep(kept)


def frequent(events: Events, options: IngestOptions, n_users: int, n_items: int, counts: dict[str, int]) -> None:
    """Leave out rare users and items until both minima hold (a user may become rare when an item goes)."""
    before = len(events)
    counts["users_before"] = int(np.count_nonzero(np.bincount(events.user, minlength=n_users)))
    counts["items_before"] = int(np.count_nonzero(np.bincount(events.item, minlength=n_items)))
    while len(events):
        often_user = np.bincount(events.user, minlength=n_users) >= options.min_user_events
        often_item = np.bincount(events.item, minlength=n_items) >= options.min_item_events
        kept = often_user[events.user] & often_item[events.item]
        if kept.all():
            break
        events.keep(kept)
    counts["rare_events"] = before - len(events)


def published_minima(options: IngestOptions) -> dict[str, int]:
    """What may thin out a published split; of others the minima are a part."""
    if not options.published:
        return {}
    return {"min_user_events": options.min_user_events, "min_item_events": options.min_item_events}


def parts_of(events: Events, options: IngestOptions) -> np.ndarray:
    """The part of every event, int8 (e,): as published, or drawn; below 0 those that are left out."""
    if events.part is not None:
        return events.part
    if not len(events):
        return np.empty(0, np.int8)
    times = events.timestamp if options.split in {"leave_2", "strong"} else None
    order = slice(None) if times is None else np.lexsort((events.row, times))
    codes = np.empty(len(events), np.int8)
    codes[order] = splits.split_events(
        options.split,
        events.user[order],
        events.item[order],
        seed=options.seed,
        timestamp=None if times is None else times[order],
        min_events=options.min_user_events,
    )
    return codes


def compact(events: Events, users: Any, items: Any, options: IngestOptions, counts: dict[str, int]) -> tuple[Any, Any]:
    """Number only the users and items that are left; refuse what is too little to learn from."""
    has_user = np.bincount(events.user, minlength=len(users)) > 0
    has_item = np.bincount(events.item, minlength=len(items)) > 0
    n_users, n_items = int(has_user.sum()), int(has_item.sum())
    counts["users_dropped"] = counts["users_before"] - n_users
    counts["items_dropped"] = counts["items_before"] - n_items
    if n_users < MIN_USERS or n_items < MIN_ITEMS:
        raise too_few(n_users, n_items, options, counts)
    events.user = (np.cumsum(has_user, dtype=np.int32) - 1)[events.user]
    events.item = (np.cumsum(has_item, dtype=np.int32) - 1)[events.item]
    return users.filter(pa.array(has_user)), items.filter(pa.array(has_item))


def too_few(n_users: int, n_items: int, options: IngestOptions, counts: dict[str, int]) -> JobError:
    """The refusal of what is too little to learn from, which points at the option that left out the most."""
    pointer, hint = "", "Upload more interactions."
    if options.binarize_threshold is not None and counts.get("below_threshold"):
        pointer, hint = "/options/binarize_threshold", "Lower binarize_threshold."
    if counts.get("users_dropped"):
        pointer = "/options/min_user_events"
        hint = f"Lower min_user_events (now {options.min_user_events}) or upload more interactions."
    detail = f"{n_users} users and {n_items} items are left; at least {MIN_USERS} and {MIN_ITEMS} are needed."
    if not n_users and counts.get("users_before"):
        detail = f"All {counts['users_before']:,} users were left out: none has the events that are asked for."
    return JobError("too_few_rows", detail, hint=hint, pointer=pointer)
