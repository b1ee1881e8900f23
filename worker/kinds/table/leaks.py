"""Whether rows that learners are to be trained on are those that a table asks for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from worker.ingest.arrow import Arrow, pc
from worker.kinds.table.dataset import TRAIN, Table


def held_out_rows(data: Table, frame: Arrow) -> np.ndarray:
    """Which rows of another frame with the columns of `data` equal a validation or test row of it in every cell, and no
    training row: bool (n,)."""
    held = data.split != TRAIN
    ours, theirs = len(data), frame.num_rows
    codes = np.empty((ours + theirs, data.frame.num_columns), np.int32)
    for at, name in enumerate(data.frame.column_names):
        both = pa.chunked_array([*data.frame[name].chunks, *frame[name].chunks])
        codes[:, at] = pc.fill_null(both.combine_chunks().dictionary_encode().indices, -1).to_numpy()
    rows = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
    known, asked = rows[:ours], rows[ours:]
    return np.isin(asked, known[held]) & ~np.isin(asked, known[~held])
