"""What Schemathesis has to be told: the media type of resumable uploads is plain bytes."""

from __future__ import annotations

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
