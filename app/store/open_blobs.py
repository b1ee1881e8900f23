"""The one place that decides where blobs lie: on the local disk, or in the S3-like store that the settings name."""

from __future__ import annotations

from app.settings import Settings
from app.store.blobs import Blobs, LocalBlobs


def open_blobs(settings: Settings) -> Blobs:
    """The store of these settings; it is not asked anything yet. ValueError: `blob_url` names no bucket."""
    if not settings.blob_url:
        return LocalBlobs(settings.blob_dir, settings.staging_dir)
    from app.store.object_blobs import Bucket, ObjectBlobs  # only here: most installations need no client of S3

    bucket = Bucket(
        url=settings.blob_url,
        endpoint=settings.blob_endpoint,
        region=settings.blob_region,
        access_key=settings.blob_access_key,
        secret_key=settings.blob_secret_key,
    )
    cache = settings.blob_dir / "cache"
    return ObjectBlobs(bucket, cache, settings.staging_dir, cache_bytes=settings.blob_cache_bytes)
