"""What judging needs of a dataset: said before a job is made, and by the judge where that was not possible."""

from __future__ import annotations

from worker.contract.kind import Need

TEST_USERS = Need(
    "users_with_test",
    "too_few_rows",
    "No user of this dataset has a test event, so nothing can be measured.",
    "Upload it again with a split that holds out test events. A version made of a summary has none: give it as the "
    "input `summary` to `evaluate` on the dataset that the summary is of.",
    "/dataset",
)
ITEM_FEATURES = Need(
    "item_features",
    "invalid_input",
    "The learner attention-item-features reads what is known of items, and this dataset has no item features.",
    'Upload it again with a table of them, as in options={"item_features": "items.csv"}; or leave the learner out.',
    "/evaluate/learners",
    only={"evaluate.learners": "attention-item-features"},
)
JUDGING_NEEDS = (TEST_USERS, ITEM_FEATURES)
