"""Signed addresses of an S3-like store (AWS Signature Version 4, in the query): one request, by whoever has the URL.

obstore signs the host only. Here headers are signed too, so that the store itself refuses an upload of another size or
of other bytes than the address was made for.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Signer:
    """Who signs, for which region. `token`: of temporary credentials."""

    access_key: str
    secret_key: str
    region: str
    token: str = ""

    @classmethod
    def of(cls, access_key: str, secret_key: str, region: str) -> Signer | None:
        """From these keys, else from those in the environment; None without any: a machine's role cannot sign here."""
        if access_key:
            return cls(access_key, secret_key, region)
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        access_key, secret_key, token = (os.environ.get(name, "") for name in names)
        return cls(access_key, secret_key, region, token) if access_key and secret_key else None

    def sign(
        self,
        verb: str,
        url: str,
        expires_s: int,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        at: datetime | None = None,
    ) -> str:
        """`url` (without a query) with a signature; `headers` must be sent exactly so. `at`: now, if not given."""
        where = urlsplit(url)
        signed = {name.lower(): " ".join(value.split()) for name, value in (headers or {}).items()}
        signed["host"] = where.netloc
        names = ";".join(sorted(signed))
        stamp = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        asked = {
            **(query or {}),
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self.access_key}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(expires_s),
            "X-Amz-SignedHeaders": names,
            **({"X-Amz-Security-Token": self.token} if self.token else {}),
        }
        text = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in sorted(asked.items()))
        lines = [f"{name}:{signed[name]}" for name in sorted(signed)]
        canonical = "\n".join([verb, where.path, text, *lines, "", names, "UNSIGNED-PAYLOAD"])
        to_sign = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.secret_key}".encode()
        for part in scope.split("/"):
            key = _hmac(key, part)
        return f"{url}?{text}&X-Amz-Signature={_hmac(key, to_sign).hex()}"


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
