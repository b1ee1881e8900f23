"""What a summary gives away: real documents in it, how near made ones come to them, and a membership attack.

An attack that fails proves nothing: it is called an attack, and no guarantee.
"""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context
from worker.evidence.measurements import PrivacyRow
from worker.evidence.membership import by_nearness
from worker.kinds.labels.dataset import TEST, Csr, LabelledDocuments
from worker.kinds.labels.summary import LabelsSummary
from worker.kinds.labels.vectors import Vectoriser

_LOOKED_AT = 2_000


def privacy(data: LabelledDocuments, summary: LabelsSummary, ctx: Context) -> tuple[PrivacyRow, ...]:
    """Shares of real documents, cosines to the nearest, and an attack that takes documents near the summary for those
    it was made of; 0.5 is guessing."""
    if summary.rows is not None:
        note = "the summary consists of real documents"
        return (PrivacyRow("Documents that are real ones, word for word", 100.0, "% of documents", len(summary), note),)
    rng = np.random.default_rng([ctx.seed, 3])
    vectoriser, train = Vectoriser.fit(data.train, ctx)
    own = vectoriser.transform(summary.documents)
    members = train[np.sort(rng.permutation(len(data.train))[:_LOOKED_AT])]
    held_out = data.part(TEST)
    others = vectoriser.transform(held_out.take(np.sort(rng.permutation(len(held_out))[:_LOOKED_AT])))
    near = _nearest(own[np.sort(rng.permutation(own.shape[0])[:_LOOKED_AT])], train)
    inside, outside = _nearest(members, own), _nearest(others, own)
    return (
        PrivacyRow("Nearest real document, median", float(np.median(near)), "cosine", len(near)),
        PrivacyRow("Equal to a real document", 100 * float(np.mean(near > 1 - 1e-6)), "% of documents", len(near)),
        by_nearness(inside, outside, "documents"),
    )


def _nearest(rows: Csr, real: Csr) -> np.ndarray:
    """The largest cosine (n,) of each row to any of the others."""
    found = [np.zeros(0)]
    for at in range(0, rows.shape[0], 256):
        found.append((rows[at : at + 256] @ real.T).max(axis=1).toarray().ravel())
    return np.concatenate(found)
