"""What a version must have to be judged on."""

from __future__ import annotations

from worker.contract.kind import Need

TEST_DOCUMENTS = Need(
    "documents_test",
    "too_few_rows",
    "The version has no test documents: nothing can be measured.",
    "Upload test documents, or ingest with split=random.",
)
