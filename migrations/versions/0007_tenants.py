"""What lies on the disk for a tenant though no file refers to it, tenants that are being erased, and who
made a key.

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
INDEXES = {"ix_loose_bytes_id": "loose_bytes (id)", "ix_api_key_tenant": "api_key (tenant_id)"}
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
        op.execute("ALTER TABLE api_key ADD COLUMN IF NOT EXISTS made_by TEXT")
        op.execute(LOOSE_BYTES)
        for name, columns in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # what an upgrade that was broken off left
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {columns}")
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
    op.execute("DROP INDEX ix_api_key_tenant")
    op.execute("ALTER TABLE api_key DROP COLUMN made_by")
    op.execute("ALTER TABLE tenant DROP COLUMN erasing_at")
