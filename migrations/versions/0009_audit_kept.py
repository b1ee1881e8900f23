"""The audit log is only added to, also in the eyes of the application's role: it may not update it, and cannot begin to
erase a tenant, delete the entries, and take the erasure back.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

# Tables that the owner makes are the application's to update by default (see app.store.roles), whose name is not known
# here.
REVOKE = """
DO $$
DECLARE one RECORD;
BEGIN
    FOR one IN
        SELECT DISTINCT a.grantee::regrole AS role FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'audit'::regclass AND a.privilege_type = 'UPDATE' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('REVOKE UPDATE ON audit FROM %s', one.role);
    END LOOP;
END $$
"""
GUARD = """
CREATE OR REPLACE FUNCTION tenant_erasure_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an erasure that has begun is not taken back' USING ERRCODE = 'check_violation';
END $$
"""


def upgrade() -> None:
    op.execute(REVOKE)
    op.execute(GUARD)
    op.execute(
        "CREATE OR REPLACE TRIGGER tenant_erasure_goes_on BEFORE UPDATE ON tenant FOR EACH ROW "
        "WHEN (OLD.erasing_at IS NOT NULL AND NEW.erasing_at IS DISTINCT FROM OLD.erasing_at) "
        "EXECUTE FUNCTION tenant_erasure_guard()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER tenant_erasure_goes_on ON tenant")
    op.execute("DROP FUNCTION tenant_erasure_guard")
