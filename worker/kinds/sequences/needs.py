"""What judging needs of a dataset: said before a job is made, and by the judge where that was not possible."""

from __future__ import annotations

from worker.contract.kind import Need

TEST_EVENTS = Need(
    "sequences_with_test",
    "too_few_rows",
    "No sequence of this dataset has a test event, so nothing can be measured.",
    "Upload it again with a split that holds out test events. A version made of a summary has none: give it as the "
    "input `summary` to `evaluate` on the dataset that the summary is of.",
)
