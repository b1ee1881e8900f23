"""Tenants take turns, the endpoints that a job names lie in its row, and it says which limits ended its work early.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

INDEXES = {
    "ix_job_turn": "job (tenant_id, priority DESC, created_at, queue) WHERE state = 'queued'",
    "ix_job_running": "job (tenant_id) WHERE state IN ('running','cancelling')",
    "ix_job_attempt_start": "job_attempt (tenant_id, started_at)",
}
LIVE = "ON job (tenant_id, input_hash, limits) WHERE state IN ('queued','running') AND NOT force"

WEBHOOKS = """
DO $$ BEGIN
    IF to_regclass('job_webhook') IS NOT NULL THEN
        UPDATE job SET webhooks = named.ids
        FROM (SELECT job_id, array_agg(endpoint_id) AS ids FROM job_webhook GROUP BY job_id) AS named
        WHERE job.id = named.job_id;
        DROP TABLE job_webhook;
    END IF;
END $$
"""
NO_WEBHOOKS = """
CREATE TABLE job_webhook (
    job_id TEXT NOT NULL REFERENCES job (id),
    endpoint_id TEXT NOT NULL REFERENCES webhook_endpoint (id),
    tenant_id TEXT NOT NULL REFERENCES tenant (id),
    CONSTRAINT pk_job_webhook PRIMARY KEY (job_id, endpoint_id)
);
INSERT INTO job_webhook SELECT id, unnest(webhooks), tenant_id FROM job
"""


def upgrade() -> None:
    # Every statement for itself, so that no lock is held while the next one is waited for, and can be repeated.
    with op.get_context().autocommit_block():
        for name, columns in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # what an upgrade that was broken off left
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {columns}")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS uq_job_live_work")
        op.execute(f"CREATE UNIQUE INDEX CONCURRENTLY uq_job_live_work {LIVE}")
        for name in ("ix_job_claimable", "uq_job_live_input"):
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        for table in ("job_attempt", "job_event"):
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS fk_{table}_tenant_id_tenant")
        op.execute("ALTER TABLE job ADD COLUMN IF NOT EXISTS cut JSONB NOT NULL DEFAULT '{}'::jsonb")
        op.execute("ALTER TABLE job ADD COLUMN IF NOT EXISTS webhooks TEXT[] NOT NULL DEFAULT '{}'")
        op.execute(WEBHOOKS)


def downgrade() -> None:
    op.execute(NO_WEBHOOKS)
    op.execute("ALTER TABLE job DROP COLUMN webhooks, DROP COLUMN cut")
    for table in ("job_attempt", "job_event"):
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT fk_{table}_tenant_id_tenant "
            "FOREIGN KEY (tenant_id) REFERENCES tenant (id)"
        )
    op.execute("CREATE INDEX ix_job_claimable ON job (queue, priority DESC, created_at) WHERE state = 'queued'")
    op.execute(
        "CREATE UNIQUE INDEX uq_job_live_input ON job (tenant_id, input_hash) "
        "WHERE state IN ('queued','running') AND NOT force"
    )
    op.execute("DROP INDEX uq_job_live_work, ix_job_attempt_start, ix_job_running, ix_job_turn")
