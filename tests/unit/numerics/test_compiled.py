"""Where compiled loops are kept, and how work that cannot be stopped is left."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from worker.numerics import compiled

CODE = """
import sys
from worker.numerics.compiled import cache_folder
from worker.kinds.sequences.pieces.pairs import key_of
print(cache_folder(), key_of(5, 3) == (3 << 32 | 5), key_of.stats.cache_path)
"""


def said(**environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**kept, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="the user's cache folder is named by XDG_CACHE_HOME there")
def test_code_when_compiled_then_lies_in_the_users_own_folder_and_not_beside_the_source(tmp_path):
    folder, right, path = said(XDG_CACHE_HOME=str(tmp_path))
    assert folder == str(tmp_path / "distillery" / "numba")
    assert right == "True"
    assert path.startswith(folder)
    assert list(tmp_path.rglob("*.nbi"))


@pytest.mark.skipif(sys.platform != "linux", reason="the user's cache folder is named by XDG_CACHE_HOME there")
def test_code_when_others_may_write_to_the_folder_then_is_not_kept(tmp_path):
    folder = tmp_path / "distillery" / "numba"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert said(XDG_CACHE_HOME=str(tmp_path))[:2] == ["None", "True"]
    assert not list(tmp_path.rglob("*.nbi"))


@pytest.mark.skipif(sys.platform != "linux", reason="the user's cache folder is named by XDG_CACHE_HOME there")
def test_code_when_there_is_no_place_for_it_then_runs_all_the_same(tmp_path):
    (tmp_path / "file").write_text("")
    assert said(XDG_CACHE_HOME=str(tmp_path / "file"))[:2] == ["None", "True"]


def test_code_when_the_environment_names_a_folder_then_is_kept_there(tmp_path):
    folder, right, path = said(NUMBA_CACHE_DIR=str(tmp_path))
    assert (folder, right) == (str(tmp_path), "True")
    assert path.startswith(str(tmp_path))


def test_waiting_when_work_ends_then_gives_what_it_made_or_raises_what_it_raised():
    assert compiled.while_waiting(lambda: 7, lambda: None) == 7
    with pytest.raises(ValueError, match="no"):
        compiled.while_waiting(lambda: (_ for _ in ()).throw(ValueError("no")), lambda: None)


def test_waiting_when_the_heartbeat_raises_then_is_left_before_the_work_ends():
    let_go = threading.Event()
    started = time.monotonic()

    def heartbeat() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        compiled.while_waiting(lambda: let_go.wait(60), heartbeat)
    assert time.monotonic() - started < 30
    let_go.set()
