"""Resumable uploads, limits of single tenants, and indexes for what quotas and retention look for.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE tenant ADD COLUMN limits JSONB NOT NULL DEFAULT '{}'::jsonb")
    op.execute(
        """
        CREATE TABLE upload (
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
    )
    op.execute("CREATE INDEX ix_upload_tenant ON upload (tenant_id)")
    op.execute("CREATE INDEX ix_upload_expires_at ON upload (expires_at)")
    op.execute("CREATE INDEX ix_artifact_tenant ON artifact (tenant_id, sha256)")
    op.execute("CREATE INDEX ix_job_finished_at ON job (finished_at)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_job_finished_at, ix_artifact_tenant")
    op.execute("DROP TABLE upload")
    op.execute("ALTER TABLE tenant DROP COLUMN limits")
