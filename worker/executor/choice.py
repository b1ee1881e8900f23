"""The executor that an operator chose."""

from __future__ import annotations

from worker.contract.executor import Executor
from worker.executor.local import Local
from worker.executor.ray import Ray


def open_executor(name: str, processes: int, *, address: str = "", threads: int = 0) -> Executor:
    """The executor `name` (`local` or `ray`); nothing is started before the first pass.

    `processes`: at once; 0: as many as there are processors, here or in the Ray cluster at `address`. `threads`: what
    the processes of `local` share, 0: those of this machine. ValueError for another name.
    """
    match name:
        case "local":
            return Local(processes, threads=threads)
        case "ray":
            return Ray(processes, address=address)
        case _:
            raise ValueError(f"the executor is local or ray, not {name}")
