from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.embedded import logs
from app.embedded.errors import EmbeddedError
from app.embedded.home import Home, RunState
from app.embedded.parts import answers
from app.embedded.ports import listen, port_of
from app.embedded.processes import started_ticks

ROOT = Path(__file__).resolve().parents[2]

# The real supervisor with the real engines; only our own parts are small stand-ins.
STAND_INS = """
import sys
from app.embedded.parts import Part, answers
from app.embedded.supervisor import main

API = '''
import http.server, os, json, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({k: v for k, v in os.environ.items() if k.startswith("DISTILLERY_")}).encode())
server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=int(os.environ["DISTILLERY_LISTEN_FD"]))
server.serve_forever()
'''
WORKER = '''
import subprocess, sys
from app.embedded.processes import tethered
subprocess.Popen(tethered([sys.executable, "-S", "-c", "import time; time.sleep(600)"])).wait()
'''
SLEEP = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
FLAKY = '''
import os, sys, time
path = os.environ["DISTILLERY_HOME"] + "/tries"
tries = len(open(path).read()) if os.path.exists(path) else 0
open(path, "a").write("x")
sys.exit(3) if tries < 4 else time.sleep(600)
'''

def parts(home, env, postgres, url, listener, workers):
    def part(name, code, **more):
        return Part(name, (sys.executable, "-S", "-c", code), env, after=more.pop("after", ("prepare",)), **more)
    prepared = "open(__import__('os').environ['DISTILLERY_HOME'] + '/prepared', 'a').write('x')"
    listed = [
        part("prepare", "raise SystemExit('no such schema')" if "broken" in sys.argv else prepared,
             after=("postgres", "redis"), once=True),
        part("dispatcher", SLEEP),
        part("worker", WORKER),
        Part("api", (sys.executable, "-S", "-c", API), env | {"DISTILLERY_LISTEN_FD": str(listener.fileno())},
             after=("prepare",), ready=lambda pid: answers(url + "/healthz", 0.2), listener=listener),
    ]
    if "deaf" in sys.argv:
        listed.insert(1, part("deaf", DEAF, grace_s=60.0))
    if "flaky" in sys.argv:
        listed.append(part("flaky", FLAKY))
    return listed

sys.exit(main(sys.argv[1:3] + sys.argv[3].split(), parts))
"""


class Up:
    """A supervisor in a process of its own."""

    def __init__(self, home: Home, options: str = "--port 0", *extras: str, real: bool = False) -> None:
        self.home = home
        service = (
            ["-m", "app.embedded.supervisor", "--home", str(home.path), *options.split()]
            if real
            else ["-c", STAND_INS, "--home", str(home.path), options, *extras]
        )
        self.process = subprocess.Popen(
            [sys.executable, *service],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def state(self) -> RunState:
        state = self.home.read_state()
        assert state is not None
        return state

    def until(self, what: Callable[[RunState], bool], seconds: float = 30.0) -> RunState:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate()
            state = self.home.read_state()
            if state is not None and state.pid == self.process.pid and what(state):
                return state
            time.sleep(0.02)
        raise AssertionError(f"not within {seconds} s: {self.home.read_state()}")

    def ready(self, seconds: float = 30.0) -> RunState:
        return self.until(lambda state: state.state == "ready", seconds)

    def end(self) -> str:
        """SIGTERM, and everything it said."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.communicate(timeout=30)[1]
        finally:
            self.process.kill()


@pytest.fixture
def home() -> Iterator[Home]:
    made = Path(tempfile.mkdtemp(prefix="dst-"))
    made.chmod(0o711)
    yield Home(made / "home")
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def shared_up() -> Iterator[Up]:
    made = Path(tempfile.mkdtemp(prefix="dst-"))
    made.chmod(0o711)
    up = Up(Home(made / "home"))
    up.ready()
    yield up
    up.end()
    shutil.rmtree(made)


def family(pid: int) -> set[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, todo = set[int](), [pid]
    while todo:
        found.add(current := todo.pop())
        todo += children.get(current, [])
    return found


def gone(pids: set[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if all(started_ticks(pid) is None for pid in pids):
            return True
        time.sleep(0.05)
    return False


def test_up_when_ready_then_state_file_and_environment_are_complete(shared_up: Up) -> None:
    state = shared_up.state()
    assert state.running
    assert answers(f"{state.url}/healthz")
    assert {name: part.state for name, part in state.parts.items()} == {
        "postgres": "ready",
        "redis": "ready",
        "prepare": "done",
        "dispatcher": "ready",
        "worker": "ready",
        "api": "ready",
    }
    for path in (shared_up.home.state_file, shared_up.home.config):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    env = Path(f"/proc/{state.parts['api'].pid}/environ").read_bytes().decode().split("\0")
    given = dict(word.split("=", 1) for word in env if word.startswith("DISTILLERY_"))
    assert given["DISTILLERY_DATABASE_URL"].startswith("postgresql+psycopg://distillery_app:")
    assert given["DISTILLERY_BROKER_URL"].startswith("redis+socket:///")
    assert given["DISTILLERY_BLOB_DIR"] == str(shared_up.home.blobs)
    assert given["DISTILLERY_STAGING_DIR"] == str(shared_up.home.staging)
    assert len(given["DISTILLERY_SECRET"]) >= 32
    assert state.url == f"http://{given['DISTILLERY_HOST']}:{given['DISTILLERY_PORT']}"


def test_second_up_when_first_runs_then_reports_its_address_and_ends_well(shared_up: Up) -> None:
    second = Up(shared_up.home)
    said = second.process.communicate(timeout=30)[1]
    assert second.process.returncode == 0
    assert f"already running at {shared_up.state().url}" in said
    assert shared_up.state().running


def test_idle_when_ready_then_uses_next_to_no_cpu(shared_up: Up) -> None:
    def ticks() -> int:
        fields = Path(f"/proc/{shared_up.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(3.0)
    assert ticks() - before <= 0.03 * 3.0 * os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("name", ["postgres", "redis", "dispatcher", "worker", "api"])
def test_part_when_killed_then_back_within_seconds(shared_up: Up, name: str) -> None:
    before = shared_up.until(lambda state: state.parts[name].state == "ready").parts[name]
    relatives = family(before.pid) if name != "postgres" else {before.pid}
    os.kill(before.pid, signal.SIGKILL)
    after = shared_up.until(
        lambda state: state.parts[name].state == "ready" and state.parts[name].pid != before.pid, 15.0
    )
    assert after.parts[name].restarts == before.restarts + 1
    assert after.parts[name].last_exit == -signal.SIGKILL
    assert gone(relatives, 5.0)
    assert shared_up.home.path.joinpath("prepared").read_text() == "x"  # what is done once stays done


def test_supervisor_when_killed_then_no_orphans_and_next_up_works(home: Home) -> None:
    up = Up(home)
    up.ready()
    everybody = family(up.process.pid)
    assert len(everybody) > 8
    up.process.kill()
    up.process.communicate()
    next_up = Up(home)  # at once, while the parts of the killed one may still be ending
    assert gone(everybody, 10.0)
    state = next_up.ready()
    assert all(part.restarts == 0 for part in state.parts.values())
    next_up.end()


def test_sigterm_when_ready_then_everything_is_gone_in_ten_seconds(home: Home) -> None:
    up = Up(home)
    up.ready()
    everybody = family(up.process.pid)
    before = time.monotonic()
    said = up.end()
    assert time.monotonic() - before < 10
    assert up.process.returncode == 0
    assert gone(everybody, 0.5)
    assert home.read_state() is None
    stopped = [line.split()[-2] for line in said.splitlines() if line.endswith(" stopped")]
    assert stopped == ["api", "worker", "dispatcher", "redis", "postgres"]
    assert "killed" not in said
    assert "database system is shut down" in (home.logs / "postgres.log").read_text()


def test_second_sigterm_when_a_part_does_not_obey_then_it_is_killed_soon(home: Home) -> None:
    up = Up(home, "--port 0", "deaf")
    up.ready()
    up.process.terminate()
    up.until(lambda state: state.state == "stopping")
    time.sleep(0.3)
    before = time.monotonic()
    said = up.end()
    assert time.monotonic() - before < 10
    assert "deaf did not stop in time and is killed" in said


def test_part_when_it_fails_at_first_then_is_tried_again_until_it_runs(home: Home) -> None:
    up = Up(home, "--port 0", "flaky")
    state = up.until(lambda state: state.parts.get("flaky") is not None and state.parts["flaky"].restarts == 4)
    assert state.parts["flaky"].last_exit == 3
    up.ready()
    up.end()


def test_prepare_when_it_keeps_failing_then_ends_with_its_words_and_no_orphans(home: Home) -> None:
    up = Up(home, "--port 0", "broken")
    said = up.process.communicate(timeout=60)[1]
    assert up.process.returncode == 1
    assert "prepare failed 3 times" in said
    assert "no such schema" in said
    assert home.read_state() is None
    assert not (home.postgres / "data" / "postmaster.pid").exists()


def test_port_when_named_and_in_use_then_a_clear_sentence(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        up = Up(home, f"--port {taken.getsockname()[1]}")
        said = up.process.communicate(timeout=30)[1]
    assert up.process.returncode == 1
    assert f"port {taken.getsockname()[1] if taken.fileno() >= 0 else ''}" in said
    assert "in use by another program" in said
    assert "Traceback" not in said


def test_listen_when_no_port_is_named_then_skips_those_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("app.embedded.ports.DEFAULT_PORT", port)
        with listen("127.0.0.1", None) as next_one:
            assert port_of(next_one) > port
        with pytest.raises(EmbeddedError, match="in use"):
            listen("127.0.0.1", port)
    with pytest.raises(EmbeddedError, match="does not exist"):
        listen("127.0.0.1", 70_000)


def test_port_when_it_is_bound_but_nobody_listens_yet_then_only_one_gets_it() -> None:
    with socket.socket() as bound:  # as a service that has looked for a port and will listen later
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        with listen("127.0.0.1", bound.getsockname()[1]), pytest.raises(OSError, match="in use"):
            bound.listen()


def test_services_when_started_side_by_side_then_none_has_the_port_of_another_nor_is_ready_by_its_answers(
    home: Home,
) -> None:
    with listen("127.0.0.1", 0) as free:
        port = port_of(free)
    homes = [Home(home.path.with_name(f"home{number}")) for number in range(3)]
    ups = [Up(one, f"--port {wanted}") for one, wanted in zip(homes, (port, port, 0), strict=True)]
    running = []
    for up in ups:
        with contextlib.suppress(AssertionError):
            running.append((up, up.ready()))
    assert len({state.url for _, state in running}) == len(running) == 2
    for up, state in running:
        with urllib.request.urlopen(f"{state.url}/healthz", timeout=10) as answer:
            assert json.load(answer)["DISTILLERY_HOME"] == str(up.home.path), "another service answers there"
    said = [up.end() for up in ups]
    assert sum(f"port {port} on 127.0.0.1 is in use by another program" in text for text in said) == 1


def test_api_when_killed_while_clients_connect_then_they_wait_and_none_is_refused(shared_up: Up) -> None:
    state = shared_up.until(lambda state: state.parts["api"].state == "ready")
    address = (urlsplit(state.url).hostname, urlsplit(state.url).port)
    answered = 0
    for _ in range(3):
        before = shared_up.until(lambda state: state.parts["api"].state == "ready").parts["api"]
        os.kill(before.pid, signal.SIGKILL)
        assert gone({before.pid}, 5.0)
        while shared_up.state().parts["api"].pid in (0, before.pid) or answered % 5:
            with socket.create_connection(address, timeout=30) as line:  # raises when it is refused
                line.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                assert line.recv(100).startswith(b"HTTP/1.0 200")
            answered += 1
    assert answered >= 3


def test_port_when_the_service_is_being_stopped_then_connections_are_refused(home: Home) -> None:
    up = Up(home, "--port 0", "deaf")
    state = up.ready()
    address = (urlsplit(state.url).hostname, urlsplit(state.url).port)
    up.process.terminate()
    up.until(lambda state: state.parts["api"].state == "stopped")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=30)
    up.process.terminate()
    up.end()


def test_home_when_it_belongs_to_another_account_then_refused(home: Home) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a folder of somebody else")
    home.path.mkdir()
    os.chown(home.path, 65534, 65534)
    with pytest.raises(EmbeddedError, match="belongs to another account"):
        home.create()


def test_secrets_when_asked_again_then_the_same(home: Home) -> None:
    home.create()
    first, second = home.secrets(), home.secrets()
    assert first.fresh
    assert not second.fresh
    assert (first.postgres, first.signing) == (second.postgres, second.signing)
    older = [line for line in home.config.read_text().splitlines(keepends=True) if "application" not in line]
    home.config.write_text("".join(older))  # as before the service had a role of its own
    third, fourth = home.secrets(), home.secrets()
    assert third == fourth
    assert (third.postgres, third.signing) == (first.postgres, first.signing)
    assert third.postgres_application not in ("", first.postgres_application)
    home.config.write_text("[secrets]\n")
    with pytest.raises(EmbeddedError, match=r"config\.toml"):
        home.secrets()


def test_state_when_its_process_is_gone_then_not_running(home: Home) -> None:
    home.create()
    home.write_state(RunState("ready", "http://x", os.getpid(), (started_ticks(os.getpid()) or 0) + 1, 0.0))
    state = home.read_state()
    assert state is not None
    assert not state.running  # the number was used again by another process
    home.state_file.write_text(json.dumps({"state": "ready"}))
    assert home.read_state() is None


def test_cap_when_log_is_too_long_then_writer_goes_on_in_the_emptied_file(home: Home) -> None:
    home.create()
    path = home.logs / "part.log"
    with logs.open_log(path) as writer:
        writer.write(b"a" * 101)
        assert logs.cap(path, 100)
        writer.write(b"after")
    assert path.read_bytes() == b"after"
    assert (home.logs / "part.log.1").read_bytes() == b"a" * 101
    assert not logs.cap(path, 100)


def methods_with_first_key(home: Home, url: str) -> list[object]:
    token = json.loads(home.credentials.read_text())["api_key"]
    request = urllib.request.Request(f"{url}/v1/methods", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        document = json.load(answer)
    return next(value for value in document.values() if isinstance(value, list))


@pytest.mark.slow
def test_real_service_when_its_parts_and_then_it_are_killed_then_comes_back_and_leaves_nobody(home: Home) -> None:
    up = Up(home, real=True)
    state = up.ready(120)
    assert stat.S_IMODE(home.credentials.stat().st_mode) == 0o600
    assert methods_with_first_key(home, state.url)
    for name in ("postgres", "redis", "dispatcher", "worker", "api"):
        before = up.state().parts[name]
        os.kill(before.pid, signal.SIGKILL)
        up.until(
            lambda now, name=name, pid=before.pid: (
                now.parts[name].pid != pid and all(part.state in ("ready", "done") for part in now.parts.values())
            ),
            120,
        )
        assert methods_with_first_key(home, state.url)
    everybody = family(up.process.pid)
    up.process.kill()
    up.process.communicate()
    assert gone(everybody, 10.0)
    again = Up(home, real=True)
    assert methods_with_first_key(home, again.ready(120).url)  # the same key, the same database
    assert again.state().parts["prepare"].restarts == 0
    everybody = family(again.process.pid)
    again.end()
    assert gone(everybody, 1.0)
    assert (home.logs / "supervisor.log").read_text().count("prepare has nothing to do") == 1
