"""What judging needs of a dataset: said before a job is made, and by the judge where that was not possible."""

from __future__ import annotations

from worker.contract.kind import Need

TEST_IMAGES = Need(
    "images_test",
    "too_few_rows",
    "This dataset has no test images, so nothing can be measured.",
    "Upload it again with a split that holds out test images. A version made of a summary has none: give it as the "
    "input `summary` to `evaluate` on the dataset that the summary is of.",
)
