"""Tenants take turns, and a job says which limits ended its work early.

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

# Equal work with other limits is under way twice: the later one must not count as the live job of its input.
FORCE = """
UPDATE job SET force = true WHERE state IN ('queued','running') AND EXISTS (
    SELECT FROM job AS first WHERE first.tenant_id = job.tenant_id AND first.input_hash = job.input_hash
    AND first.state IN ('queued','running') AND NOT first.force AND first.id < job.id
)
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
        op.execute("ALTER TABLE job ADD COLUMN IF NOT EXISTS cut JSONB NOT NULL DEFAULT '{}'::jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE job DROP COLUMN cut")
    op.execute(FORCE)
    op.execute("CREATE INDEX ix_job_claimable ON job (queue, priority DESC, created_at) WHERE state = 'queued'")
    op.execute(
        "CREATE UNIQUE INDEX uq_job_live_input ON job (tenant_id, input_hash) "
        "WHERE state IN ('queued','running') AND NOT force"
    )
    op.execute("DROP INDEX uq_job_live_work, ix_job_attempt_start, ix_job_running, ix_job_turn")
