"""How bytes become a dataset's file, whichever way they came."""

from __future__ import annotations

from sqlalchemy import Connection

from app.api.problems import Problem
from app.jobs.quotas import keep_within
from app.store import artifacts
from app.store import datasets as store
from app.store.blobs import StoredBlob, record
from app.store.quotas import Quota

MEDIA_TYPE = "application/octet-stream"


def check_target(conn: Connection, tenant_id: str, dataset_id: str, path: str) -> None:
    """Refuse a file for a dataset that is not there, or beside one whose path differs only in case."""
    if store.get_dataset(conn, tenant_id, dataset_id) is None:
        raise Problem("not_found", f"There is no dataset {dataset_id}.")
    twin = artifacts.same_path_in_other_case(conn, tenant_id, dataset_id, path)
    if twin is not None:
        raise Problem("duplicate_file", f"The dataset has {twin} already.", hint="Delete it first.", pointer="path")


def keep_file(conn: Connection, tenant_id: str, quota: Quota, dataset_id: str, path: str, stored: StoredBlob) -> bool:
    """Make a stored blob the dataset's file at `path`; whether it replaced an earlier one. Refused over quota."""
    check_target(conn, tenant_id, dataset_id, path)
    replaced = artifacts.get_artifact(conn, tenant_id, dataset_id, path) is not None
    keep_within(conn, tenant_id, quota, stored, lambda: record(conn, tenant_id, dataset_id, path, stored, MEDIA_TYPE))
    return replaced
