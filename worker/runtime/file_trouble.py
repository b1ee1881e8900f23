"""What can go wrong with the files of an attempt, as the error that its job ends with or is tried again for."""

from __future__ import annotations

import errno
from pathlib import Path

from app.store.blobs import CorruptBlob, StoreUnavailable
from worker.runtime.credentials import CredentialsUnreadable

FILE_TROUBLE = (StoreUnavailable, CorruptBlob, CredentialsUnreadable, OSError)
"""What reading inputs from the blob store or the operator's files, or putting outputs into the store, may raise."""


def as_job_failure(trouble: Exception) -> dict[str, str]:
    """`code`, `detail` and `hint` of one of `FILE_TROUBLE`."""
    match trouble:
        case CorruptBlob():
            detail = f"A stored file this job needs is damaged: {trouble}."
            return {"code": "corrupt_blob", "detail": detail, "hint": "Upload the dataset again."}
        case CredentialsUnreadable():
            detail = f"The worker's file of credentials cannot be read ({trouble})."
            return {"code": "internal", "detail": detail, "hint": "Ask the operator to look at credentials_file."}
        case FileNotFoundError():
            name = Path(str(trouble.filename or trouble)).name
            detail = f"A stored file this job needs is missing: {name}."
            return {"code": "corrupt_blob", "detail": detail, "hint": "Upload the dataset again."}
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            hint = "It is tried again by itself; ask the operator for room if that does not help."
            return {"code": "disk_full", "detail": "The worker's disk is full.", "hint": hint}
        case _:
            name = str(trouble) if isinstance(trouble, StoreUnavailable) else type(trouble).__name__
            detail = f"The store of the files did not answer ({name})."
            return {"code": "store_unavailable", "detail": detail, "hint": "It is tried again by itself."}
