"""Webhooks.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    sql = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().connection.driver_connection.execute(sql)  # whole script at once: psycopg without parameters


def downgrade() -> None:
    for table in ("webhook_delivery", "job_webhook", "webhook_endpoint"):
        op.drop_table(table)
