"""The application's role reads and writes rows and can do nothing else; databases of one role are taken over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from app.embedded.postgres import SUPERUSER
from app.store.migrate import upgrade
from app.store.roles import ensure
from tests.engines import Engines

FORBIDDEN = (
    "CREATE TABLE mine (a INT)",
    "CREATE TEMPORARY TABLE mine (a INT)",
    "DROP TABLE job_event",
    "ALTER TABLE job DISABLE TRIGGER ALL",
    "ALTER TABLE job ADD COLUMN mine INT",
    "TRUNCATE tenant CASCADE",
    "SET session_replication_role = replica",
    "COPY job TO PROGRAM 'cat'",
    "UPDATE audit SET actor = 'nobody'",
    "TRUNCATE audit",
    "SELECT pg_read_file('postgresql.conf')",
    "CREATE ROLE mine",
    "ALTER ROLE {role} SUPERUSER",
)
MIGHT = "rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
OURS = "rolname ~ '^(owner|app)_'"


class Roles:
    """The addresses of one database for the three roles; the owner and the application are of this database alone."""

    def __init__(self, engines: Engines, name: str) -> None:
        self.superuser = engines.postgres.url(name, role=SUPERUSER)
        self.owner = self._as(f"owner_{name}", "o'w$n %/:@\\er")
        self.application = self._as(f"app_{name}", "app")

    def _as(self, role: str, password: str) -> str:
        from sqlalchemy.engine import make_url

        url = make_url(self.superuser).set(username=role, password=password)
        return url.render_as_string(hide_password=False)


@pytest.fixture
def roles(engines: Engines) -> Iterator[Roles]:
    with engines.database(migrated=False) as url:
        made = Roles(engines, url.partition("?")[0].rpartition("/")[2])
        yield made
        ensure(made.superuser, made.owner, made.application)  # so that there is something to drop
        name = url.partition("?")[0].rpartition("/")[2]
        execute(
            made.superuser,
            f'ALTER DATABASE "{name}" OWNER TO "{SUPERUSER}"',
            *(f'DROP OWNED BY "{role_of(one)}" CASCADE' for one in (made.application, made.owner)),
            *(f'DROP ROLE "{role_of(one)}"' for one in (made.application, made.owner)),
        )


def execute(url: str, *statements: str) -> None:
    with create_engine(url, poolclass=NullPool).begin() as conn:
        for statement in statements:
            conn.execute(text(statement))


def role_of(url: str) -> str:
    return url.partition("://")[2].partition(":")[0]


def test_application_when_the_owner_has_migrated_then_it_writes_rows_and_nothing_else(roles: Roles):
    ensure(roles.superuser, roles.owner, roles.application)
    upgrade(roles.owner)
    execute(
        roles.application,
        "INSERT INTO tenant (id, name) VALUES ('ten_a', 'a')",
        "UPDATE tenant SET name = 'b'",
        "SELECT * FROM job FOR UPDATE",
        "DELETE FROM tenant",
        "SELECT * FROM alembic_version",
        "LISTEN something",
    )
    execute(roles.superuser, f"DO $$ BEGIN ASSERT NOT (SELECT bool_or({MIGHT}) FROM pg_roles WHERE {OURS}); END $$")
    for statement in FORBIDDEN:
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner|Only roles with"):
            execute(roles.application, statement.format(role=role_of(roles.application)))
    ensure(roles.superuser, roles.owner, roles.application)  # as before every start
    with pytest.raises(DBAPIError, match="permission denied"):
        execute(roles.application, "UPDATE audit SET actor = 'nobody'")


def test_roles_when_made_twice_with_another_password_then_the_new_one_counts(roles: Roles):
    ensure(roles.superuser, roles.owner, roles.application)
    old = roles.application
    roles.application = roles._as(role_of(old), "another")
    ensure(roles.superuser, roles.owner, roles.application)
    execute(roles.application, "SELECT 1")
    with pytest.raises(DBAPIError, match="password authentication failed"):
        execute(old, "SELECT 1")


def test_tables_when_the_superuser_made_them_then_they_go_over_to_the_owner_with_their_rows(roles: Roles):
    upgrade(roles.superuser)  # as an older version did, whose only role was the superuser
    execute(roles.superuser, "INSERT INTO tenant (id, name) VALUES ('ten_a', 'kept')")
    ensure(roles.superuser, roles.owner, roles.application)
    execute(roles.application, "UPDATE tenant SET name = 'changed' WHERE name = 'kept'")
    execute(roles.owner, "ALTER TABLE tenant ADD COLUMN later INT", "CREATE TABLE later (a INT)")
    execute(roles.owner, "CREATE OR REPLACE FUNCTION job_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'")
    execute(roles.application, "INSERT INTO later VALUES (1)")  # what a later migration makes is the application's, too
    with create_engine(roles.owner, poolclass=NullPool).connect() as conn:
        assert conn.scalar(text("SELECT name FROM tenant")) == "changed"
        of_others = text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner <> CURRENT_USER")
        assert conn.scalar(of_others) == 0


def test_roles_when_an_address_names_no_password_then_nothing_is_made(roles: Roles):
    with pytest.raises(ValueError, match="needs a name and a password"):
        ensure(roles.superuser, roles.owner, roles.application.replace(":app@", "@"))
