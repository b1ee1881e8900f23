"""Who did what: a table that is only added to.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

# No reference to the tenant: the entry of its erasure outlives its row.
AUDIT = """
CREATE TABLE IF NOT EXISTS audit (
    tenant_id TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    id TEXT NOT NULL,
    actor TEXT NOT NULL,
    act TEXT NOT NULL,
    object TEXT NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (tenant_id, at, id)
)
"""
# What may be deleted follows from facts, not from who asks: what is older than the shortest retention, and all but the
# erasure itself of a tenant that is being erased.
GUARD = """
CREATE OR REPLACE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND (
        OLD.at < now() - interval '720 hours'
        OR OLD.act <> 'tenant.erase'
        AND NOT EXISTS (SELECT FROM tenant WHERE tenant.id = OLD.tenant_id AND tenant.erasing_at IS NULL)
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'check_violation';
END $$
"""


def upgrade() -> None:
    op.execute(AUDIT)
    op.execute("CREATE INDEX IF NOT EXISTS ix_audit_at ON audit USING brin (at)")
    op.execute(GUARD)
    op.execute(
        "CREATE OR REPLACE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit "
        "FOR EACH ROW EXECUTE FUNCTION audit_guard()"
    )
    op.execute(
        "CREATE OR REPLACE TRIGGER audit_never_emptied BEFORE TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_guard()"
    )


def downgrade() -> None:
    op.execute("DROP TABLE audit")
    op.execute("DROP FUNCTION audit_guard")
