"""The migrations make exactly the tables of app/store/tables.py, and can be taken back."""

from __future__ import annotations

import hashlib
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from app.store.migrate import config, current_revision, head_revision, upgrade
from app.store.tables import metadata
from tests.engines import Engines

LANDED = {
    "0001_first.py": "0e1211878b524b49",
    "0001_first.sql": "41097ef8596c5591",
    "0002_webhooks.py": "83d658bd2de486a4",
    "0002_webhooks.sql": "b4cde9ab983966ca",
    "0003_uploads_and_quotas.py": "d6fb4bbcd761d14d",
    "0004_needs_and_devices.py": "95e3b0b6eac5b4da",
    "0005_deleted_jobs.py": "ccd484845ba22573",
    "0006_turns.py": "280b66f7800c3e97",
    "0007_tenants.py": "581c9bf2d40c3daa",
    "0008_audit.py": "2ebaf82246048d32",
    "0009_audit_kept.py": "e9cf92fbcb04b03c",
}
"""Migrations that databases out there have been through, by the start of their hash: they are never changed."""


def test_migrations_when_landed_then_are_never_changed():
    folder = Path(__file__).parents[2] / "migrations" / "versions"
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest()[:16] for name in LANDED}
    assert found == LANDED, "write a new migration instead"


def test_migrations_when_applied_then_equal_the_tables(database_url: str):
    engine = create_engine(database_url)
    with engine.connect() as conn:
        assert current_revision(conn) == head_revision()
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []
        assert index_names(conn) == {index.name for table in metadata.tables.values() for index in table.indexes}
    engine.dispose()


def test_migrations_when_taken_back_and_applied_again_then_work(engines: Engines):
    with engines.database(migrated=False) as url:
        upgrade(url)
        engine = create_engine(url)
        with engine.connect() as conn:
            settings = config()
            settings.attributes["connection"] = conn
            command.downgrade(settings, "base")
            conn.commit()
            assert set(inspect(conn).get_table_names()) == {"alembic_version"}
        engine.dispose()
        upgrade(url)


def test_inputs_of_older_workers_when_migrated_then_have_todays_form(engines: Engines):
    with engines.database(migrated=False) as url:
        engine = create_engine(url)
        with engine.connect() as conn:
            settings = config()
            settings.attributes["connection"] = conn
            command.upgrade(settings, "0003")
            for name, inputs in (("evaluate", '["summary", "policy?"]'), ("auto", "[]")):
                conn.execute(
                    text(
                        "INSERT INTO method (kind, name, version, task, summary, paper, device, queue, inputs) VALUES"
                        " ('interactions', :name, 1, 'evaluate', '', '', 'cpu', 'cpu', cast(:inputs as jsonb))"
                    ),
                    {"name": name, "inputs": inputs},
                )
            conn.commit()
        upgrade(url)
        with engine.connect() as conn:
            found = dict(conn.execute(text("SELECT name, inputs FROM method")).all())
        engine.dispose()
    assert found["auto"] == []
    assert [(one["name"], one["required"], one["many"]) for one in found["evaluate"]] == [
        ("summary", True, False), ("policy", False, False),
    ]  # fmt: skip
    assert {(one["type"], one["kind"], one["description"]) for one in found["evaluate"]} == {("either", "", "")}


def index_names(conn) -> set[str]:
    """Every index that is not behind a primary key or a unique constraint."""
    inspector = inspect(conn)
    found = set()
    for table in metadata.tables:
        constraints = {constraint["name"] for constraint in inspector.get_unique_constraints(table)}
        found |= {index["name"] for index in inspector.get_indexes(table)} - constraints
    return found
