"""Files that clients sent to the S3-like store themselves: fetched and verified before anything uses them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from app.api.dataset_files import check_target, keep_file
from app.api.paths import checked_path
from app.api.problems import Problem
from app.api.schemas.datasets import CommittedFile
from app.api.services import Services
from app.jobs.quotas import hold_room
from app.store.artifacts import list_artifacts
from app.store.blobs import NotAsPromised, StoredBlob, StoreUnavailable
from app.store.loose_bytes import let_go, note_blob
from app.store.quotas import Quota

if TYPE_CHECKING:
    from app.store.direct import Direct

AT_ONCE_BYTES = 5 << 30  # S3 takes no more in one PUT


def admit(
    conn: Connection, services: Services, tenant_id: str, dataset_id: str, files: Sequence[CommittedFile]
) -> None:
    """Refuse files that could not become the dataset's once they are here."""
    largest = min(services.settings.upload_limit_bytes, AT_ONCE_BYTES)
    for file in files:
        check_target(conn, tenant_id, dataset_id, checked_path(file.path))
        if file.size > largest:
            raise Problem("payload_too_large", f"{file.path}: at most {largest} bytes are taken.")
    # They lie at the store from when a client puts them there, with or without a word to us, until the sweeper comes.
    coming = {_held_as(dataset_id, file.sha256): file.size for file in files}
    hold_room(conn, tenant_id, Quota.of(services.settings), coming, services.settings.blob_grace_s)


async def fetch_named(
    services: Services, tenant_id: str, dataset_id: str, named: Sequence[CommittedFile]
) -> dict[str, StoredBlob]:
    """Those of the named files that are not the dataset's yet but lie in the store, now blobs, by path."""
    direct = services.direct
    if direct is None or not named:
        return {}

    def lacking(conn: Connection) -> list[tuple[int, CommittedFile]]:
        have = {row["path"]: (row["sha256"], row["size"]) for row in list_artifacts(conn, tenant_id, dataset_id)}
        lacking = [(i, file) for i, file in enumerate(named) if have.get(file.path) != (file.sha256, file.size)]
        admit(conn, services, tenant_id, dataset_id, [file for _, file in lacking])
        return lacking

    arrived: dict[str, StoredBlob] = {}
    for number, file in await services.in_transaction(lacking):
        if services.short_of_disk():
            raise Problem("insufficient_storage")
        path = await services.on_files(_fetch, services, direct, dataset_id, file, f"/files/{number}")
        if path is not None:
            stored = StoredBlob(file.sha256, file.size)
            await services.in_transaction(partial(note_blob, tenant_id=tenant_id, stored=stored))
            arrived[checked_path(file.path)] = await services.on_files(services.blobs.put_file, path)
    return arrived


def keep_fetched(
    conn: Connection, services: Services, tenant_id: str, dataset_id: str, arrived: Mapping[str, StoredBlob]
) -> None:
    """Make what was fetched the dataset's files, which count from now on instead of what the client has put."""
    let_go(conn, tenant_id, *(_held_as(dataset_id, stored.sha256) for stored in arrived.values()))
    for path, stored in arrived.items():
        keep_file(conn, tenant_id, Quota.of(services.settings), dataset_id, path, stored)


async def forget_fetched(services: Services, dataset_id: str, arrived: Mapping[str, StoredBlob]) -> None:
    """What is a blob now need not lie where clients put it; what cannot be removed now the sweeper takes later."""

    def forget() -> None:
        for stored in arrived.values():
            with contextlib.suppress(StoreUnavailable):
                if services.direct is not None:
                    services.direct.forget(dataset_id, stored.sha256)

    if arrived:
        await services.on_files(forget)


def _fetch(services: Services, direct: Direct, dataset_id: str, file: CommittedFile, pointer: str) -> Path | None:
    try:
        return direct.fetch(dataset_id, file.sha256, file.size, services.blobs.staging)
    except NotAsPromised as error:
        raise Problem("checksum_mismatch", f"{file.path}: {error}", pointer=pointer) from None


def _held_as(dataset_id: str, sha256: str) -> str:
    return f"incoming/{dataset_id}/{sha256}"
