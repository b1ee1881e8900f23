"""What Schemathesis has to be told: the media type of resumable uploads is plain bytes, and that it needs its key."""

from __future__ import annotations

from typing import Any

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """It finds its key and its tenant in answers, and would end all that comes after by erasing either."""
    if case.method == "DELETE" and case.path.startswith("/v1/api-keys/"):
        case.query.pop("force", None)
    if case.method == "DELETE" and case.path == "/v1/tenant" and "confirm" in case.query:
        case.query["confirm"] = "ten_of_nobody"
