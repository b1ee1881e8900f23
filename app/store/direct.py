"""Clients at the S3-like store itself, by presigned addresses: bytes that need not pass through the API.

An upload never goes where blobs lie: what a client has put could be put again until its address expires. It goes to
`incoming/<dataset>/<hash>`, is fetched from there when the dataset is committed, and becomes a blob only if it has the
size and the hash that were promised.
"""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import obstore

from app.store.blobs import NotAsPromised
from app.store.ids import new_id
from app.store.object_blobs import READ_BYTES, Bucket, key_of, translated
from app.store.signed_urls import Signer

_ROOT = "incoming"


@dataclass(frozen=True)
class SignedPut:
    """An upload as the store will take it, once or more until it expires."""

    url: str
    headers: dict[str, str]


class Direct:
    """Signs for a bucket. `public_endpoint`: its address as clients reach it, if they use another one than we do."""

    def __init__(self, bucket: Bucket, signer: Signer, *, public_endpoint: str = "") -> None:
        self._store = bucket.open()
        self._signer = signer
        where = urlsplit(bucket.url)
        endpoint = public_endpoint or bucket.endpoint or f"https://s3.{bucket.region}.amazonaws.com"
        parts = (endpoint.rstrip("/"), where.netloc, quote(where.path.strip("/"), safe="/-_.~"))
        self._root = "/".join(part for part in parts if part)

    def upload(self, dataset_id: str, sha256: str, size: int, expires_s: int) -> SignedPut:
        """An address that takes `size` bytes of this hash, and nothing else from a store that compares checksums."""
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        headers = {"Content-Length": str(size), "x-amz-checksum-sha256": checksum}
        return SignedPut(self._signed("PUT", _key(dataset_id, sha256), expires_s, headers=headers), headers)

    def download(self, sha256: str, filename: str, expires_s: int) -> str:
        """An address of a blob, offered for saving as `filename` whatever it holds: the store sends no sandbox."""
        disposition = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        query = {
            "response-content-disposition": disposition,
            "response-content-type": "application/octet-stream",
            "response-cache-control": "private, no-cache",
        }
        return self._signed("GET", key_of(sha256), expires_s, query=query)

    def fetch(self, dataset_id: str, sha256: str, size: int, folder: Path) -> Path | None:
        """What was uploaded, as a verified file in `folder` that the caller takes away; None when nothing was.

        `NotAsPromised`: it has another size, or other bytes; it is removed from the store then.
        """
        try:
            with translated(sha256):
                found = obstore.get(self._store, _key(dataset_id, sha256))
        except FileNotFoundError:
            return None
        target = folder / new_id("get")
        digest = hashlib.sha256()
        try:
            if found.meta["size"] != size:  # before its bytes are fetched: they may be many
                raise NotAsPromised(f"{found.meta['size']} bytes arrived; {size} were promised.")
            with translated(sha256), target.open("xb") as file:
                for chunk in found.stream(READ_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
            if digest.hexdigest() != sha256:
                raise NotAsPromised(f"The bytes that arrived have the SHA-256 {digest.hexdigest()}.")
        except BaseException as error:
            target.unlink(missing_ok=True)
            if isinstance(error, NotAsPromised):
                self.forget(dataset_id, sha256)
            raise
        return target

    def forget(self, dataset_id: str, sha256: str) -> None:
        """Remove an upload."""
        with translated():
            obstore.delete(self._store, _key(dataset_id, sha256))

    def forget_older(self, keep_s: float) -> int:
        """Remove uploads that nobody committed; returns how many."""
        oldest, count = time.time() - keep_s, 0
        with translated():
            for batch in obstore.list(self._store, _ROOT, chunk_size=1000):
                for item in batch:
                    if item["last_modified"].timestamp() < oldest:
                        obstore.delete(self._store, item["path"])
                        count += 1
        return count

    def _signed(
        self,
        verb: str,
        key: str,
        expires_s: int,
        *,
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> str:
        return self._signer.sign(verb, f"{self._root}/{key}", expires_s, headers=headers, query=query)


def _key(dataset_id: str, sha256: str) -> str:
    return f"{_ROOT}/{dataset_id}/{sha256}"
