"""An uploaded subset as a summary of the dataset it was taken from, so that it can be judged like ours."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.summary import InteractionsSummary
from worker.contract.errors import JobError


def as_summary(data: Interactions, subset: Interactions) -> InteractionsSummary:
    """Every event of `subset` (whatever its split) as 0/1 rows over the items of `data`, matched by item id.

    Raises `JobError` `invalid_input` when the two share no item; events on unknown items are left out with a warning.
    """
    position = {item: column for column, item in enumerate(data.item_ids.tolist())}
    columns = np.array([position.get(item, -1) for item in subset.item_ids.tolist()], dtype=np.int64)
    events = subset.events
    item = columns[events.item]
    known = item >= 0
    if not known.any():
        raise JobError(
            "invalid_input",
            "The subset and the dataset have no item in common.",
            hint="Use the same item ids in both uploads.",
            pointer="/inputs/summary",
        )
    shape = (subset.n_users, data.n_items)
    ones = np.ones(int(known.sum()), np.float32)
    rows = sparse.csr_array((ones, (events.user[known], item[known])), shape=shape)
    filled = np.flatnonzero(np.diff(rows.indptr))
    summary = InteractionsSummary.of_users(
        sparse.csr_array(rows[filled]),
        data.item_ids,
        settings={"method": "uploaded subset"},
        row_ids=subset.user_ids[filled],
    )
    if known.all():
        return summary
    missing = int((~known).sum())
    warning = f"{missing} events of the subset are on items that the dataset does not have; they were left out."
    return InteractionsSummary(**{**vars(summary), "warnings": (warning,)})
