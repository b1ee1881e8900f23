"""What judging needs of a dataset: said before a job is made, and by the judge where that was not possible."""

from __future__ import annotations

from worker.contract.kind import Need

TEST_DOCUMENTS = Need(
    "documents_test",
    "too_few_rows",
    "This dataset has no test documents, so nothing can be measured.",
    "Upload it again with documents held out. A version made of a summary has none: give it as the input `summary` to "
    "`evaluate` on the dataset that the summary is of.",
)
