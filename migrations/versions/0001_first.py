"""The first schema.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    "idempotency_key", "report", "summary", "job_event", "job_attempt", "job", "dataset_version", "dataset",
    "artifact", "blob", "worker", "method", "api_key", "tenant",
)  # fmt: skip


def upgrade() -> None:
    sql = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().connection.driver_connection.execute(sql)  # whole script at once: psycopg without parameters


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    op.execute("DROP FUNCTION job_guard, job_event_guard")
