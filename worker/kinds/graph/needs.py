"""What judging needs of a dataset: said before a job is made, and by the judge where that was not possible."""

from __future__ import annotations

from worker.contract.kind import Need

TEST_NODES = Need(
    "test_nodes",
    "too_few_rows",
    "No node of this graph is in the test part, so nothing can be measured.",
    "Upload it again with split=random, or with a split that holds out test nodes. A version made of a summary has "
    "none: give it as the input `summary` to `evaluate` on the graph that the summary is of.",
)
