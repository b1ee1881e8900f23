"""What lies on the disk for a tenant though no file refers to it, and tenants that are being erased.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

LOOSE_BYTES = """
CREATE TABLE IF NOT EXISTS loose_bytes (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    size BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_loose_bytes PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_loose_bytes_tenant_id_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id)
)
"""
# A blob that an artifact no longer refers to lies on the disk until it is swept, whoever ended the reference.
LOOSENED = """
CREATE OR REPLACE FUNCTION artifact_loosened() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO loose_bytes (tenant_id, id, size) VALUES (OLD.tenant_id, OLD.sha256, OLD.size) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    # Every statement for itself, so that no lock is held while the next one is waited for, and can be repeated.
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE tenant ADD COLUMN IF NOT EXISTS erasing_at TIMESTAMP WITH TIME ZONE")
        op.execute(LOOSE_BYTES)
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_loose_bytes_id")
        op.execute("CREATE INDEX CONCURRENTLY ix_loose_bytes_id ON loose_bytes (id)")
        op.execute(LOOSENED)
        op.execute(
            "CREATE OR REPLACE TRIGGER artifact_deleted AFTER DELETE ON artifact "
            "FOR EACH ROW EXECUTE FUNCTION artifact_loosened()"
        )
        op.execute(
            "CREATE OR REPLACE TRIGGER artifact_replaced AFTER UPDATE ON artifact "
            "FOR EACH ROW WHEN (OLD.sha256 <> NEW.sha256) EXECUTE FUNCTION artifact_loosened()"
        )


def downgrade() -> None:
    op.execute("DROP TRIGGER artifact_replaced ON artifact")
    op.execute("DROP TRIGGER artifact_deleted ON artifact")
    op.execute("DROP FUNCTION artifact_loosened")
    op.execute("DROP TABLE loose_bytes")
    op.execute("ALTER TABLE tenant DROP COLUMN erasing_at")
