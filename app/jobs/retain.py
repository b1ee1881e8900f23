"""What is kept no longer: files of deleted things, resume points and events of old jobs, expired uploads.

Rows and references go here; the sweeper then finds blobs that nothing refers to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    union_all,
    update,
)

from app.jobs.commit import figures_of
from app.jobs.erase_tenant import erase_tenants
from app.jobs.states import TERMINAL
from app.settings import Settings
from app.store.api_keys import forget_dead_keys
from app.store.audit import LEAST_KEEP_S, forget_entries
from app.store.staging import forget
from app.store.tables import (
    artifact,
    dataset,
    dataset_version,
    job,
    job_attempt,
    job_event,
    job_webhook,
    report,
    summary,
    upload,
)
from app.store.uploads import delete_expired

_LOCK = 7_368_119
_BATCH = 1_000


@dataclass(frozen=True)
class Retention:
    """How long things outlive their end, in seconds. `events_s`, `failed_s` and `jobs_s` 0: for ever."""

    deleted_s: float
    checkpoints_s: float
    events_s: float = 0.0
    failed_s: float = 0.0
    jobs_s: float = 0.0
    audit_s: float = LEAST_KEEP_S

    @classmethod
    def of(cls, settings: Settings) -> Retention:
        """As the settings have it."""
        return cls(
            deleted_s=settings.deleted_keep_s,
            checkpoints_s=settings.checkpoint_keep_s,
            events_s=settings.event_keep_s,
            failed_s=settings.failed_keep_s,
            jobs_s=settings.job_keep_s,
            audit_s=settings.audit_keep_s,
        )

    def enforce(self, conn: Connection) -> int:
        """One round under an advisory lock; returns the number of rows that went. At most a batch of each."""
        if not conn.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _LOCK}):
            return 0
        count = _drop_dataset_files(conn, self.deleted_s) + _drop_summary_files(conn, self.deleted_s)
        count += _drop_checkpoints(conn, self.checkpoints_s) + forget_dead_keys(conn, self.deleted_s)
        count += forget_entries(conn, self.audit_s)
        if self.events_s:
            count += _drop_events(conn, self.events_s)
        if self.failed_s:
            count += _delete_failed(conn, self.failed_s)
        if self.jobs_s:
            count += _drop_jobs(conn, self.jobs_s) + _drop_datasets(conn, self.jobs_s)
        return count + erase_tenants(conn)


def drop_expired_uploads(conn: Connection, staging: Path) -> int:
    """Forget uploads that were left alone for too long, with their bytes; returns how many.

    A row that goes without its file leaves the file to the sweeper.
    """
    ids = delete_expired(conn)
    for upload_id in ids:
        forget(staging, upload_id)
    return len(ids)


def _drop_dataset_files(conn: Connection, keep_s: float) -> int:
    """Files of datasets deleted long ago: uploaded ones and those of every version."""
    version = dataset_version.c.dataset_id + "@" + cast(dataset_version.c.number, Text)
    read = or_(job.c.dataset_id == dataset.c.id, _names(dataset.c.id + "@"))
    over = (dataset.c.deleted_at < _before(keep_s), ~_unfinished(read))
    uploaded = select(dataset.c.id).where(*over, exists().where(artifact.c.owner == dataset.c.id))
    versions = (
        select(version)
        .select_from(dataset)
        .join(dataset_version, dataset_version.c.dataset_id == dataset.c.id)
        .where(*over, exists().where(artifact.c.owner == version))
    )
    owners = list(conn.scalars(union_all(uploaded, versions).limit(_BATCH)))
    return _drop(conn, artifact.c.owner.in_(owners)) + _drop_figures(conn)


def _drop_figures(conn: Connection) -> int:
    """Figures computed on content that no dataset of the tenant has any more."""
    held = (
        exists()
        .where(
            dataset_version.c.tenant_id == artifact.c.tenant_id,
            artifact.c.owner == literal(figures_of("")).concat(dataset_version.c.content_sha256),
            dataset.c.id == dataset_version.c.dataset_id,
            dataset.c.deleted_at.is_(None),
        )
        .correlate(artifact)
    )
    return _drop(conn, artifact.c.owner.startswith(figures_of("")) & ~held)


def _drop_summary_files(conn: Connection, keep_s: float) -> int:
    """Files of summaries deleted long ago; the report about one stays."""
    gone = (
        select(summary.c.id)
        .where(
            summary.c.deleted_at < _before(keep_s),
            exists().where(artifact.c.owner == summary.c.id),
            ~_unfinished(_names(summary.c.id + '"')),
        )
        .limit(_BATCH)
    )
    return _drop(conn, artifact.c.owner.in_(list(conn.scalars(gone))))


def _drop_checkpoints(conn: Connection, keep_s: float) -> int:
    """Resume points of jobs that ended long ago; such a job is retried from its beginning."""
    old = (
        select(job.c.id)
        .where(
            job.c.state.in_(TERMINAL),
            job.c.finished_at < _before(keep_s),
            exists().where(artifact.c.owner == job.c.id),
        )
        .limit(_BATCH)
        .with_for_update(skip_locked=True)
    )
    ids = list(conn.scalars(old))
    conn.execute(update(job).where(job.c.id.in_(ids)).values(checkpoint=None))
    return _drop(conn, artifact.c.owner.in_(ids))


def _drop_events(conn: Connection, keep_s: float) -> int:
    """Events of jobs that ended long ago; the jobs themselves stay."""
    old = (
        select(job.c.id)
        .where(
            job.c.state.in_(TERMINAL),
            job.c.finished_at < _before(keep_s),
            exists().where(job_event.c.job_id == job.c.id),
        )
        .limit(_BATCH)
    )
    return conn.execute(delete(job_event).where(job_event.c.job_id.in_(list(conn.scalars(old))))).rowcount


def _delete_failed(conn: Connection, keep_s: float) -> int:
    """Datasets that were committed, none of whose versions could be read, and that nobody has touched since; their
    files then go as those of every deleted dataset."""
    version, oldest = dataset_version.c, _before(keep_s)
    hopeful = exists().where(
        version.dataset_id == dataset.c.id, or_(version.state != "failed", version.created_at >= oldest)
    )
    put_since = exists().where(artifact.c.owner == dataset.c.id, artifact.c.created_at >= oldest)
    over = (dataset.c.deleted_at.is_(None), dataset.c.latest_version > 0, dataset.c.updated_at < oldest)
    ids = list(conn.scalars(select(dataset.c.id).where(*over, ~hopeful, ~put_since).limit(_BATCH)))
    gone = {"deleted_at": func.now(), "revision": dataset.c.revision + 1, "updated_at": func.now()}
    return conn.execute(update(dataset).where(dataset.c.id.in_(ids)).values(gone)).rowcount


def _drop_jobs(conn: Connection, keep_s: float) -> int:
    """Jobs that ended long ago and of which nothing is left: no summary, no report, no version."""
    version = exists().where(
        dataset_version.c.job_id == job.c.id,
        dataset_version.c.dataset_id == dataset.c.id,
        dataset.c.deleted_at.is_(None),
    )
    files = exists().where(artifact.c.owner == summary.c.id)
    made = exists().where(summary.c.job_id == job.c.id, summary.c.deleted_at.is_(None) | files)
    old = (
        select(job.c.id)
        .where(
            job.c.state.in_(TERMINAL),
            job.c.finished_at < _before(keep_s),
            ~exists().where(report.c.job_id == job.c.id),
            ~made,
            ~version.correlate(job),
        )
        .limit(_BATCH)
        .with_for_update(skip_locked=True)
    )
    ids = list(conn.scalars(old))
    conn.execute(delete(artifact).where(artifact.c.owner.in_(ids)))
    for table in (job_event, job_attempt, job_webhook, summary):
        conn.execute(delete(table).where(table.c.job_id.in_(ids)))
    return conn.execute(delete(job).where(job.c.id.in_(ids))).rowcount


def _drop_datasets(conn: Connection, keep_s: float) -> int:
    """Datasets deleted long ago of which neither a file nor a job is left."""
    version = exists().where(
        artifact.c.owner == dataset_version.c.dataset_id + "@" + cast(dataset_version.c.number, Text)
    )
    old = (
        select(dataset.c.id)
        .where(
            dataset.c.deleted_at < _before(keep_s),
            ~exists().where(job.c.dataset_id == dataset.c.id),
            ~exists().where(artifact.c.owner == dataset.c.id),
            ~exists().where(dataset_version.c.dataset_id == dataset.c.id, version),
        )
        .limit(_BATCH)
        .with_for_update(skip_locked=True)
    )
    ids = list(conn.scalars(old))
    for table in (upload, dataset_version):
        conn.execute(delete(table).where(table.c.dataset_id.in_(ids)))
    return conn.execute(delete(dataset).where(dataset.c.id.in_(ids))).rowcount


def _drop(conn: Connection, which: ColumnElement[bool]) -> int:
    return conn.execute(delete(artifact).where(which)).rowcount


def _unfinished(reads: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(job.c.state.not_in(TERMINAL), reads)


def _names(start: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a job names a thing that begins so among its further inputs."""
    return func.strpos(cast(job.c.inputs, Text), literal('"').concat(start)) > 0


def _before(seconds: float) -> ColumnElement[object]:
    return func.now() - text(f"interval '{float(seconds)} seconds'")
