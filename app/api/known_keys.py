"""Whose keys have been seen: so that the limits of a tenant cost no look into the database for each request.

This only tells whom to charge. Whether a key is still good is asked of the database each time (`app.api.security`),
and one that is not is forgotten here. Not every address asks that (one that does not exist does not), so what is known
is believed for a few seconds only: else a revoked key could charge its tenant there for ever.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict

_MOST = 20_000
_BELIEVED_S = 10.0


class KnownKeys:
    """The tenants of keys that were valid when they were last used here; no secret is kept. Safe among threads."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._lock = threading.Lock()

    def tenant_of(self, token: str) -> str | None:
        """The tenant, or None for a token that is not known here, or was not asked about for a while."""
        name = _digest(token)
        with self._lock:
            if name not in self._kept:
                return None
            self._kept.move_to_end(name)
            tenant_id, until = self._kept[name]
            return tenant_id if time.monotonic() < until else None

    def remember(self, token: str, tenant_id: str) -> None:
        """The token is a valid key of this tenant; the one not used for longest makes room."""
        with self._lock:
            self._kept[_digest(token)] = tenant_id, time.monotonic() + _BELIEVED_S
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def forget(self, token: str) -> None:
        """The token is no valid key (any more)."""
        with self._lock:
            self._kept.pop(_digest(token), None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("latin-1", "replace")).digest()
