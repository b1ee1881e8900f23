"""A running job's last two resume points and its durable files in the store, fenced like all writes of its owner."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, exists, insert, literal, select

from app.jobs.states import OWNED, JobRow, append_event
from app.store.blobs import Blobs, StoredBlob, record
from app.store.tables import artifact, blob, job, loose_bytes

MEDIA_TYPE = "application/x-safetensors"
KEPT = "keep/"


def save_checkpoint(conn: Connection, row: JobRow, stored: StoredBlob, step: int) -> bool:
    """Make a durable blob the job's newest resume point; False when the fence is lost."""
    point = {"sha256": stored.sha256, "size": stored.size, "step": step}
    if not append_event(
        conn, row["id"], "checkpoint", {"step": step}, fence=row["fence"], values={"checkpoint": point}
    ):
        return False
    record(conn, row["tenant_id"], row["id"], f"checkpoint/{step:012d}", stored, MEDIA_TYPE)
    return True


def save_kept(conn: Connection, row: JobRow, stored: StoredBlob, path: str) -> bool:
    """Make a durable blob one of the job's append-only files; False when the fence is lost."""
    owner = select(job.c.id).where(job.c.id == row["id"], job.c.fence == row["fence"], job.c.state.in_(OWNED))
    if conn.scalar(owner.with_for_update(key_share=True)) is None:
        return False
    record(conn, row["tenant_id"], row["id"], f"{KEPT}{path}", stored, MEDIA_TYPE)
    return True


def drop_old_checkpoints(conn: Connection, job_id: str, *, keep: int = 2) -> list[str]:
    """Forget all but the newest `keep` points; returns the hashes of blobs to delete once this has committed."""
    mine = (artifact.c.owner == job_id) & artifact.c.path.startswith("checkpoint/")
    rows = conn.execute(select(artifact.c.path, artifact.c.sha256).where(mine).order_by(artifact.c.path.desc())).all()
    old = rows[keep:]
    if not old:
        return []
    conn.execute(delete(artifact).where(mine, artifact.c.path.in_([row.path for row in old])))
    unused = ~exists().where(artifact.c.sha256 == blob.c.sha256)
    gone = list(
        conn.scalars(
            delete(blob).where(blob.c.sha256.in_([row.sha256 for row in old]), unused).returning(blob.c.sha256)
        )
    )
    conn.execute(delete(loose_bytes).where(loose_bytes.c.id.in_(gone)))
    return gone


def adopt_checkpoint(conn: Connection, tenant_id: str, job_id: str, point: dict[str, Any], before: str) -> None:
    """Let a retried job refer to the resume point, and to the durable files, of the job before it."""
    columns = ("path", "tenant_id", "sha256", "size", "media_type")
    kept = select(literal(job_id), *(artifact.c[name] for name in columns)).where(
        artifact.c.owner == before, artifact.c.path.startswith(KEPT)
    )
    conn.execute(insert(artifact).from_select(("owner", *columns), kept))
    conn.execute(
        insert(artifact).values(
            owner=job_id,
            path=f"checkpoint/{point['step']:012d}",
            tenant_id=tenant_id,
            sha256=point["sha256"],
            size=point["size"],
            media_type=MEDIA_TYPE,
        )
    )


def delete_blobs(blobs: Blobs, hashes: list[str]) -> None:
    """Remove the files of blobs whose rows are gone."""
    for sha256 in hashes:
        blobs.delete(sha256)
