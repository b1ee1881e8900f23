"""Whether rows that learners are to be trained on hold what a dataset asks them."""

from __future__ import annotations

import numpy as np

from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.splits import TRAIN


def held_out_events(data: Sequences, rows: Rows, ids: np.ndarray) -> np.ndarray:
    """Which events of other rows over the items of `data` (-1: none of them) are validation or test events of it,
    bool (events,): those of a sequence that has the id of one of `data` and no item beyond it, or else equals one. An
    item that the sequence has in training, too, counts as training. Of a text nothing is looked for: windows have no
    ids of their own, and are cut anew in every upload."""
    found = np.zeros(len(rows.items), bool)
    if data.is_text:
        return found
    held, all_rows = data.split != TRAIN, data.rows
    with_held = np.unique(all_rows.owners()[held])
    by_id = {name: row for row, name in enumerate(data.ids.tolist())}
    wanted = {rows.row(at).astype(np.int32).tobytes() for at in range(len(rows))}
    by_events = {key: row for row in with_held.tolist() if (key := all_rows.row(row).tobytes()) in wanted}
    for at, name in enumerate(ids.tolist()):
        ours = rows.row(at)
        known, row = ours[ours >= 0], by_id.get(name)
        if row is None or not np.isin(known, all_rows.row(row)).all():  # an id of somebody else, such as a row number
            row = by_events.get(ours.astype(np.int32).tobytes())
        if row is not None:
            span = slice(int(data.indptr[row]), int(data.indptr[row + 1]))
            theirs, outside = data.items[span], held[span]
            asked = np.setdiff1d(theirs[outside], theirs[~outside])
            found[int(rows.indptr[at]) : int(rows.indptr[at + 1])] = np.isin(ours, asked)
    return found
