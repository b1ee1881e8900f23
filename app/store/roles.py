"""The two roles of the database, made or put right: `python -m app.store.roles`, as a superuser, before migrations.

The owner migrates: the tables are its own. The application reads and writes rows and can do nothing else: it neither
changes a table nor switches off a trigger, reads no file of the server and starts no program there, as a superuser
can. Tables that somebody else owns, because an older version ran as one role, go over to the owner. Nothing is done
twice, so it may run before every start, and a password is changed by running it with the new one.
"""

from __future__ import annotations

import sys

import structlog
from psycopg import Connection, sql
from pydantic import Field, ValidationError, model_validator
from pydantic_settings import SettingsError
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, make_url

from app.settings import DatabaseSettings, with_password

_LOCK = 7_368_118  # any constant; held to the end of the transaction, so that two starters do not collide
_PLAIN = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
_ROWS = "SELECT, INSERT, UPDATE, DELETE"
_ADDED_TO = "audit"  # old entries are deleted; what may be, a trigger decides

# Sequences of columns and indexes go with their tables.
_TABLES_OF_OTHERS = """
SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r','p','v','m')
AND c.relowner <> %s::regrole ORDER BY 1
"""
_FUNCTIONS_OF_OTHERS = """
SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
AND p.proowner <> %s::regrole ORDER BY 1
"""


class RoleSettings(DatabaseSettings):
    """The addresses of the database as the superuser, the owner and the application use it; each names its role."""

    superuser_url: str = Field(description="As a superuser, postgresql+psycopg://...")
    superuser_password: str = Field("", description="Its password, when the address has none.")
    owner_url: str = Field(description="As the owner, postgresql+psycopg://...")
    owner_password: str = Field("", description="Its password, when the address has none.")

    @model_validator(mode="after")
    def _complete_other_urls(self) -> RoleSettings:
        self.superuser_url = with_password(self.superuser_url, self.superuser_password)
        self.owner_url = with_password(self.owner_url, self.owner_password)
        return self


def ensure(superuser_url: str, owner_url: str, application_url: str) -> None:
    """Make the roles that two addresses name, with their passwords, and give each what is its own."""
    owner, application = make_url(owner_url), make_url(application_url)
    engine = create_engine(superuser_url, hide_parameters=True)
    try:
        with engine.begin() as conn:
            driver: Connection = conn.connection.driver_connection  # pyright: ignore[reportAssignmentType]
            driver.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            for role in (owner, application):
                _login(driver, role)
            _own(driver, _name(owner))
            _grant(driver, _name(owner), _name(application))
    finally:
        engine.dispose()


def _login(driver: Connection, role: URL) -> None:
    name = _name(role)
    known = driver.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone() is not None
    # What Postgres keeps of a password is sent, not the password: statements that fail stand in its log.
    kept = driver.pgconn.encrypt_password((role.password or "").encode(), name.encode(), b"scram-sha-256").decode()
    verb = "ALTER" if known else "CREATE"
    driver.execute(sql.SQL(f"{verb} ROLE {{}} {_PLAIN} PASSWORD {{}}").format(sql.Identifier(name), sql.Literal(kept)))


def _own(driver: Connection, owner: str) -> None:
    database = sql.Identifier(driver.info.dbname)
    driver.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, sql.Identifier(owner)))
    quoted = sql.Identifier(owner).as_string(driver)
    for (table,) in driver.execute(_TABLES_OF_OTHERS, [quoted]).fetchall():
        driver.execute(
            sql.SQL("ALTER TABLE public.{} OWNER TO {}").format(sql.Identifier(table), sql.Identifier(owner))
        )
    for (function,) in driver.execute(_FUNCTIONS_OF_OTHERS, [quoted]).fetchall():
        driver.execute(sql.SQL("ALTER FUNCTION {} OWNER TO {}").format(sql.SQL(function), sql.Identifier(owner)))


def _grant(driver: Connection, owner: str, application: str) -> None:
    words = {
        "database": sql.Identifier(driver.info.dbname),
        "owner": sql.Identifier(owner),
        "application": sql.Identifier(application),
    }
    for statement in (
        "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "GRANT USAGE, CREATE ON SCHEMA public TO {owner}",
        "GRANT CONNECT ON DATABASE {database} TO {application}",
        "GRANT USAGE ON SCHEMA public TO {application}",
        f"GRANT {_ROWS} ON ALL TABLES IN SCHEMA public TO {{application}}",
        "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {application}",
        # And on what later migrations make.
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {{owner}} IN SCHEMA public GRANT {_ROWS} ON TABLES TO {{application}}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {application}",
    ):
        driver.execute(sql.SQL(statement).format(**words))
    if driver.execute("SELECT to_regclass(%s) IS NOT NULL", [f"public.{_ADDED_TO}"]).fetchone() == (True,):
        revoke = sql.SQL("REVOKE UPDATE ON public.{} FROM {}")
        driver.execute(revoke.format(sql.Identifier(_ADDED_TO), words["application"]))


def _name(role: URL) -> str:
    if not role.username or not role.password:
        raise ValueError(f"the address of {role.username or 'a role'} needs a name and a password")
    return role.username


def main() -> None:
    """Make the roles that the environment names."""
    from app import logs  # only here: others who make roles log in their own way

    logs.configure("roles")
    try:
        given = RoleSettings()  # pyright: ignore[reportCallIssue] - filled from the environment
    except (ValidationError, SettingsError) as error:
        sys.exit(str(error))
    ensure(given.superuser_url, given.owner_url, given.database_url)
    owner, application = make_url(given.owner_url).username, make_url(given.database_url).username
    structlog.get_logger().info("roles_made", owner=owner, application=application)


if __name__ == "__main__":
    main()
