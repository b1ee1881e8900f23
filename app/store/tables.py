"""The tables. Invariants stand here (and in the first migration's triggers), not only in code.

Times are `timestamptz` and written by the database's clock; workers never send times. Every row that belongs to a
user carries its tenant.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    }
)


def _id(name: str = "id") -> Column[str]:
    return Column(name, Text, primary_key=True)


def _tenant() -> Column[str]:
    return Column("tenant_id", Text, ForeignKey("tenant.id"), nullable=False)


def _time(name: str, *, now: bool = False) -> Column[object]:
    stamp = DateTime(timezone=True)
    return Column(name, stamp, server_default=func.now(), nullable=False) if now else Column(name, stamp)


def _json(name: str, default: str | None = None) -> Column[object]:
    if default is None:
        return Column(name, JSONB)
    return Column(name, JSONB, nullable=False, server_default=text(f"'{default}'::jsonb"))


tenant = Table(
    "tenant",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    _time("created_at", now=True),
    _json("limits", "{}"),  # instead of the settings': fields of `app.store.quotas.Quota`; 0 is no limit
    _time("erasing_at"),  # since when it is being erased, with everything it has
)

api_key = Table(
    "api_key",
    metadata,
    _id(),
    _tenant(),
    Column("name", Text, nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    _time("created_at", now=True),
    _time("expires_at"),
    _time("last_used_at"),
    _time("revoked_at"),
    Column("made_by", Text),  # the key that it falls with; NULL: made by whoever runs the service
    Index("ix_api_key_tenant", "tenant_id"),
)

method = Table(
    "method",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("task", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("paper", Text, nullable=False),
    _json("params_schema", "{}"),
    _json("evaluate_schema", "{}"),
    Column("device", Text, nullable=False),
    Column("queue", Text, nullable=False),
    _json("cost", "{}"),
    _json("inputs", "[]"),
    _json("needs", "[]"),
    _time("announced_at", now=True),
)

worker = Table(
    "worker",
    metadata,
    _id(),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("queues", ARRAY(Text), nullable=False),
    _json("capabilities", "{}"),
    _time("started_at", now=True),
    _time("last_seen", now=True),
    _time("last_probe_at"),
    _time("stopped_at"),
)

blob = Table(
    "blob",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    _time("created_at", now=True),
    CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
)

artifact = Table(
    "artifact",
    metadata,
    # ds_x: uploaded files; ds_x@1: source/ and canonical/; sum_x, rep_x: delivered files; job_x: checkpoints
    Column("owner", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    _tenant(),
    Column("sha256", Text, ForeignKey("blob.sha256"), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    _time("created_at", now=True),
    Index("ix_artifact_sha256", "sha256"),
    Index("ix_artifact_tenant", "tenant_id", "sha256"),
)

loose_bytes = Table(
    "loose_bytes",
    metadata,
    # What a tenant's quota counts beside its artifacts; see app/store/loose_bytes.py. A trigger of artifact adds to it.
    Column("tenant_id", Text, ForeignKey("tenant.id"), primary_key=True),
    Column("id", Text, primary_key=True),  # the blob's hash, or the name of a body on its way in
    Column("size", BigInteger, nullable=False),
    _time("created_at", now=True),
    _time("expires_at"),  # NULL: counted until the sweeper finds the blob gone or referred to
    Index("ix_loose_bytes_id", "id"),
)

dataset = Table(
    "dataset",
    metadata,
    _id(),
    _tenant(),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    _json("columns", "{}"),
    _json("options", "{}"),
    _json("tags", "{}"),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("latest_version", Integer, nullable=False, server_default="0"),
    Column("summary_id", Text),  # the summary this dataset is the export of
    _time("created_at", now=True),
    _time("updated_at", now=True),
    _time("deleted_at"),
    Index("ix_dataset_page", "tenant_id", "created_at", "id", postgresql_where=text("deleted_at IS NULL")),
)

dataset_version = Table(
    "dataset_version",
    metadata,
    Column("dataset_id", Text, ForeignKey("dataset.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    _tenant(),
    Column("state", Text, nullable=False, server_default="ingesting"),
    Column("content_sha256", Text),  # over the canonical files; set once ready
    Column("job_id", Text),
    _json("manifest", "{}"),
    _time("created_at", now=True),
    _time("ready_at"),
    CheckConstraint("state IN ('ingesting','ready','failed')", name="state"),
    CheckConstraint("state <> 'ready' OR content_sha256 IS NOT NULL", name="ready_has_content"),
)

upload = Table(
    "upload",
    metadata,
    _id(),  # also the name of its file in the staging folder
    _tenant(),
    Column("dataset_id", Text, ForeignKey("dataset.id"), nullable=False),
    Column("path", Text, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False, server_default="0"),  # bytes that are certainly on the disk
    Column("sha256", Text),  # what the client says the bytes will hash to
    Column("stored_sha256", Text),  # set when they have become the dataset's file
    Column("metadata", Text, nullable=False, server_default=""),
    _time("created_at", now=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    CheckConstraint('"offset" >= 0 AND "offset" <= length', name="offset_within_length"),
    Index("ix_upload_tenant", "tenant_id"),
    Index("ix_upload_expires_at", "expires_at"),
)

JOB_STATES = ("queued", "running", "cancelling", "succeeded", "failed", "cancelled")

job = Table(
    "job",
    metadata,
    _id(),
    _tenant(),
    Column("task", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("method_version", Integer, nullable=False),
    Column("dataset_id", Text, nullable=False),
    Column("dataset_version", Integer, nullable=False),
    _json("inputs", "{}"),
    _json("params", "{}"),
    _json("evaluate", "{}"),
    Column("seed", BigInteger, nullable=False, server_default="0"),
    Column("device", Text, nullable=False, server_default="auto"),
    _json("limits", "{}"),
    _json("labels", "{}"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("deterministic", Boolean, nullable=False, server_default=text("false")),
    Column("force", Boolean, nullable=False, server_default=text("false")),
    Column("queue", Text, nullable=False),
    Column("input_hash", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="queued"),
    Column("available_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _time("published_at"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    _time("lease_until"),
    Column("worker_id", Text),
    _time("cancel_requested_at"),
    Column("degrade", Integer, nullable=False, server_default="0"),
    _json("progress", "{}"),
    Column("last_seq", BigInteger, nullable=False, server_default="0"),
    _json("checkpoint"),
    _json("error"),
    _json("result"),
    _json("cost"),
    _json("environment"),
    _json("cut", "{}"),  # the limits that ended its work early, in seconds
    Column("cached_from", Text),
    Column("retry_of", Text),
    Column("api_key_id", Text),
    Column("request_id", Text),
    Column("traceparent", Text),
    _time("created_at", now=True),
    _time("started_at"),
    _time("finished_at"),
    _time("deleted_at"),
    ForeignKeyConstraint(["dataset_id", "dataset_version"], ["dataset_version.dataset_id", "dataset_version.number"]),
    CheckConstraint("state IN ('queued','running','cancelling','succeeded','failed','cancelled')", name="state"),
    CheckConstraint("(state IN ('running','cancelling')) = (lease_until IS NOT NULL)", name="owned_jobs_hold_a_lease"),
    CheckConstraint(
        "(state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)",
        name="finished_jobs_have_a_time",
    ),
    CheckConstraint("state <> 'failed' OR error IS NOT NULL", name="failed_jobs_say_why"),
    Index(
        "ix_job_turn",
        "tenant_id",
        text("priority DESC"),
        "created_at",
        "queue",
        postgresql_where=text("state = 'queued'"),
    ),
    Index("ix_job_running", "tenant_id", postgresql_where=text("state IN ('running','cancelling')")),
    Index("ix_job_lease", "lease_until", postgresql_where=text("state IN ('running','cancelling')")),
    Index(
        "uq_job_live_work",
        "tenant_id",
        "input_hash",
        "limits",
        unique=True,
        postgresql_where=text("state IN ('queued','running') AND NOT force"),
    ),
    Index("ix_job_finished_input", "tenant_id", "input_hash", postgresql_where=text("state = 'succeeded'")),
    Index("ix_job_page", "tenant_id", "created_at", "id"),
    Index("ix_job_dataset", "dataset_id", "dataset_version"),
    Index("ix_job_finished_at", "finished_at"),
)

job_attempt = Table(
    "job_attempt",
    metadata,
    Column("job_id", Text, ForeignKey("job.id"), primary_key=True),
    Column("fence", BigInteger, primary_key=True),
    _tenant(),
    Column("attempt", Integer, nullable=False),
    Column("worker_id", Text, nullable=False),
    _time("started_at", now=True),
    _time("ended_at"),
    Column("outcome", Text),  # succeeded, cancelled, released, lost, or the code of the failure
    Column("exit_code", Integer),
    Column("phase", Text),
    Column("peak_rss_mb", Float),
    Column("cpu_s", Float),
    Column("gpu_s", Float),  # for which its process held a CUDA device; NULL when nobody was left to say
    Index("ix_job_attempt_start", "tenant_id", "started_at"),
)

job_event = Table(
    "job_event",
    metadata,
    Column("job_id", Text, ForeignKey("job.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    _tenant(),
    _time("at", now=True),
    Column("type", Text, nullable=False),
    _json("data", "{}"),
    # A job succeeds once: the database refuses a second success whatever the code believes.
    Index("uq_job_event_one_success", "job_id", unique=True, postgresql_where=text("type = 'succeeded'")),
)

summary = Table(
    "summary",
    metadata,
    _id(),
    _tenant(),
    Column("job_id", Text, ForeignKey("job.id"), nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("content_sha256", Text, nullable=False),  # over the data files, not the report
    Column("dataset_id", Text),
    Column("report_id", Text),
    _json("manifest", "{}"),
    _time("created_at", now=True),
    _time("deleted_at"),
)

report = Table(
    "report",
    metadata,
    _id(),
    _tenant(),
    Column("job_id", Text, ForeignKey("job.id"), nullable=False, unique=True),
    Column("summary_id", Text),
    _json("verdict", "{}"),
    _time("created_at", now=True),
)

audit = Table(
    "audit",
    metadata,
    # Who did what; see app/store/audit.py. Only added to: a trigger refuses the rest, but what is old or of a tenant
    # that is being erased. No reference to the tenant, as the entry of its erasure outlives its row.
    Column("tenant_id", Text, primary_key=True),
    Column("at", DateTime(timezone=True), server_default=func.now(), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("actor", Text, nullable=False),  # the id of a key, or `operator`
    Column("act", Text, nullable=False),
    Column("object", Text, nullable=False),  # the id of a thing, or a route
    Index("ix_audit_at", "at", postgresql_using="brin"),
)

webhook_endpoint = Table(
    "webhook_endpoint",
    metadata,
    _id(),
    _tenant(),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("events", ARRAY(Text), nullable=False),
    Column("secret", Text, nullable=False),  # plain: an HMAC is made with it
    Column("previous_secret", Text),
    _time("previous_until"),
    _time("created_at", now=True),
    _time("updated_at", now=True),
    _time("disabled_at"),
    Column("disabled_reason", Text),  # user, gone
    _time("deleted_at"),
    Index("ix_webhook_endpoint_page", "tenant_id", "created_at", "id", postgresql_where=text("deleted_at IS NULL")),
    Index("uq_webhook_endpoint_url", "tenant_id", "url", unique=True, postgresql_where=text("deleted_at IS NULL")),
)

job_webhook = Table(
    "job_webhook",
    metadata,
    # Endpoints that a job names itself: they hear of its end whatever else they listen to.
    Column("job_id", Text, ForeignKey("job.id"), primary_key=True),
    Column("endpoint_id", Text, ForeignKey("webhook_endpoint.id"), primary_key=True),
    _tenant(),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    _id(),  # also the `webhook-id` of every try
    _tenant(),
    Column("endpoint_id", Text, ForeignKey("webhook_endpoint.id"), nullable=False),
    Column("event", Text, nullable=False),
    Column("job_id", Text),
    Column("body", Text, nullable=False),  # the bytes that are signed and sent, the same in every try
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("next_at", DateTime(timezone=True), server_default=func.now()),
    Column("last_status", Integer),
    Column("last_error", Text),
    _time("last_at"),
    _time("delivered_at"),
    _time("created_at", now=True),
    CheckConstraint("state IN ('pending','delivered','failed')", name="state"),
    CheckConstraint("(state = 'pending') = (next_at IS NOT NULL)", name="pending_has_a_time"),
    Index("ix_webhook_delivery_due", "next_at", postgresql_where=text("state = 'pending'")),
    Index("ix_webhook_delivery_page", "endpoint_id", "created_at", "id"),
)

idempotency_key = Table(
    "idempotency_key",
    metadata,
    Column("api_key_id", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    _tenant(),
    Column("body_sha256", Text, nullable=False),
    Column("status", Integer),
    _json("response"),
    _json("headers", "{}"),
    _time("created_at", now=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
