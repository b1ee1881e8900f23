"""The one place that decides where blobs lie: on the local disk, or in the S3-like store that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.settings import Settings
from app.store.blobs import Blobs, LocalBlobs

if TYPE_CHECKING:
    from app.store.direct import Direct
    from app.store.object_blobs import Bucket


def open_blobs(settings: Settings) -> Blobs:
    """The store of these settings; it is not asked anything yet. ValueError: `blob_url` names no bucket."""
    if not settings.blob_url:
        return LocalBlobs(settings.blob_dir, settings.staging_dir)
    from app.store.object_blobs import ObjectBlobs  # only here: most installations need no client of S3

    cache = settings.blob_dir / "cache"
    return ObjectBlobs(_bucket(settings), cache, settings.staging_dir, cache_bytes=settings.blob_cache_bytes)


def open_direct(settings: Settings) -> Direct | None:
    """What signs for clients; None when the store is local, the settings forbid it, or there is no key to sign with."""
    if not settings.blob_url or not settings.blob_presigned:
        return None
    from app.store.direct import Direct
    from app.store.signed_urls import Signer

    signer = Signer.of(settings.blob_access_key, settings.blob_secret_key, settings.blob_region)
    return Direct(_bucket(settings), signer, public_endpoint=settings.blob_public_endpoint) if signer else None


def _bucket(settings: Settings) -> Bucket:
    from app.store.object_blobs import Bucket

    return Bucket(
        url=settings.blob_url,
        endpoint=settings.blob_endpoint,
        region=settings.blob_region,
        access_key=settings.blob_access_key,
        secret_key=settings.blob_secret_key,
    )
