"""Loops compiled to machine code by numba, and where that code is kept.

Compiling takes seconds, loading what was kept milliseconds. Numba's own habit is to keep it beside the source, which an
installed package must not be written to, or wherever the environment says (`NUMBA_CACHE_DIR`). Here it goes to the
folder of the environment, else to the user's own cache folder, else nowhere: numba unpickles what it finds there, so a
folder that others can write to is never taken.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numba
import platformdirs
from numba.core import config

HEARTBEAT_S = 0.2
WARM_UPS: list[Callable[[], object]] = []
"""What has all loops of a module compiled, for whoever would rather wait before there is work."""
_WARM: set[Callable[[], object]] = set()


@cache
def cache_folder() -> Path | None:
    """Where machine code is kept, None where there is no such place."""
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR)
    folder = platformdirs.user_cache_path("distillery") / "numba"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        owned = folder.stat()
    except (OSError, RuntimeError):
        return None
    private = not owned.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and (os.name != "posix" or owned.st_uid == os.getuid())
    return folder if private and os.access(folder, os.W_OK) else None


def compiled(function: Callable[..., Any]) -> Any:
    """The function compiled when it is first called, without Python's lock held while it runs."""
    folder, before = cache_folder(), config.CACHE_DIR
    if folder is None:
        return numba.njit(nogil=True)(function)
    config.CACHE_DIR = str(folder)  # read while a function is decorated; put back, since other packages read it, too
    try:
        return numba.njit(nogil=True, cache=True)(function)
    finally:
        config.CACHE_DIR = before


def while_waiting(work: Callable[[], Any], heartbeat: Callable[[], None]) -> Any:
    """What `work()` returns, with `heartbeat()` called every 0.2 s meanwhile, which may raise to leave it.

    For what cannot be stopped half way, such as compiling. Work that was left goes on in a thread that ends with it,
    or with the process.
    """
    box: dict[str, Any] = {}

    def run() -> None:
        try:
            box["result"] = work()
        except BaseException as error:
            box["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        heartbeat()
        thread.join(HEARTBEAT_S)
    if "error" in box:
        raise box["error"]
    return box["result"]


def ready(warm_up: Callable[[], object], heartbeat: Callable[[], None]) -> None:
    """Have the loops compiled that `warm_up()` runs, once a process, with `heartbeat()` called meanwhile."""
    if warm_up not in _WARM:
        while_waiting(warm_up, heartbeat)
        _WARM.add(warm_up)


def by_rows(rows: int, block: int, threads: int, work: Callable[[int, int], None]) -> None:
    """`work(first, last)` for blocks of so many rows, on so many threads: what is compiled holds no lock."""
    starts = range(0, rows, block)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda start: work(start, min(start + block, rows)), starts))
