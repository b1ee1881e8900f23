"""Resumable uploads, limits of single tenants, and indexes for what quotas and retention look for.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

UPLOAD = """
CREATE TABLE IF NOT EXISTS upload (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    dataset_id TEXT NOT NULL,
    path TEXT NOT NULL,
    length BIGINT NOT NULL,
    "offset" BIGINT DEFAULT 0 NOT NULL,
    sha256 TEXT,
    stored_sha256 TEXT,
    metadata TEXT DEFAULT '' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_upload PRIMARY KEY (id),
    CONSTRAINT fk_upload_tenant_id_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id),
    CONSTRAINT fk_upload_dataset_id_dataset FOREIGN KEY (dataset_id) REFERENCES dataset (id),
    CONSTRAINT ck_upload_offset_within_length CHECK ("offset" >= 0 AND "offset" <= length)
)
"""
INDEXES = {
    "ix_upload_tenant": "upload (tenant_id)",
    "ix_upload_expires_at": "upload (expires_at)",
    "ix_artifact_tenant": "artifact (tenant_id, sha256)",
    "ix_job_finished_at": "job (finished_at)",
}


def upgrade() -> None:
    # Every statement for itself, so that no lock is held while the next one is waited for, and can be repeated.
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE tenant ADD COLUMN IF NOT EXISTS limits JSONB NOT NULL DEFAULT '{}'::jsonb")
        op.execute(UPLOAD)
        for name, columns in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # what an upgrade that was broken off left
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {columns}")


def downgrade() -> None:
    op.execute("DROP INDEX ix_job_finished_at, ix_artifact_tenant")
    op.execute("DROP TABLE upload")
    op.execute("ALTER TABLE tenant DROP COLUMN limits")
