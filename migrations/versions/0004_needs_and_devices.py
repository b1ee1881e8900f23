"""What methods need, and the seconds for which attempts held a GPU.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

# Inputs were names, "summary?" where optional; now they are objects, also before a worker has announced them anew.
INPUTS = """
UPDATE method SET inputs = (
    SELECT jsonb_agg(jsonb_build_object(
        'name', rtrim(one, '?'), 'type', 'either', 'kind', '', 'required', right(one, 1) <> '?', 'many', false,
        'description', ''
    )) FROM jsonb_array_elements_text(inputs) AS one
) WHERE jsonb_typeof(inputs -> 0) = 'string'
"""


def upgrade() -> None:
    # Every statement for itself, so that no lock is held while the next one is waited for, and can be repeated.
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE method ADD COLUMN IF NOT EXISTS needs JSONB NOT NULL DEFAULT '[]'::jsonb")
        op.execute("ALTER TABLE job_attempt ADD COLUMN IF NOT EXISTS gpu_s DOUBLE PRECISION")
        op.execute(INPUTS)


def downgrade() -> None:
    op.execute("ALTER TABLE job_attempt DROP COLUMN gpu_s")
    op.execute("ALTER TABLE method DROP COLUMN needs")
