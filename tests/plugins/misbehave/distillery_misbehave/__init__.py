"""A plug-in whose methods do what methods must not: they die, take all memory or all of the disk, or dawdle.

They are of the kind that the plug-in `notes` brings, so both their folders must be on PYTHONPATH.
"""

from __future__ import annotations

import operator
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from worker.contract.context import Context
from worker.contract.method import method
from worker.evidence.findings import Findings
from worker.executor.passes import run_pass

MB = 1_000_000


class Amount(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mb: int = 100


class Hunger(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mb: int = 100_000
    pause_s: float = 0.01


class Patience(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: int = 20
    pause_s: float = 0.05


class Shards(BaseModel):
    model_config = ConfigDict(extra="forbid")

    folder: str
    shards: int = 8
    pause_s: float = 0.5
    hungry: bool = False


class Cure(BaseModel):
    model_config = ConfigDict(extra="forbid")

    degraded_is_enough: bool = False


@method(kind="notes", task="advise", name="poison", version=1)
def poison(data: Any, params: Amount, ctx: Context) -> Findings:
    """End the process in the middle of its work, each time."""
    held = np.ones(params.mb * MB, dtype=np.uint8)
    ctx.progress(1, 2, phase="poison")
    time.sleep(0.7)  # longer than two looks at its memory are apart
    os._exit(9 if held[-1] else 1)


@method(kind="notes", task="advise", name="hog", version=1)
def hog(data: Any, params: Hunger, ctx: Context) -> Findings:
    """Take memory until there is no more."""
    ctx.log(f"degrade {ctx.degrade}")
    held = []
    for step in range(params.mb // 10):
        held.append(np.ones(10 * MB, dtype=np.uint8))
        ctx.progress(step, params.mb // 10, phase="hog")
        time.sleep(params.pause_s)
    return _nothing()


@method(kind="notes", task="advise", name="fill-disk", version=1)
def fill_disk(data: Any, params: Amount, ctx: Context) -> Findings:
    """Write a resume point of this size."""
    ctx.progress(1, 2, phase="fill")
    ctx.checkpoint(1, {"large": np.ones(params.mb * MB, dtype=np.uint8)}, {})
    ctx.progress(2, 2, phase="fill")
    return _nothing()


@method(kind="notes", task="advise", name="dawdle", version=1)
def dawdle(data: Any, params: Patience, ctx: Context) -> Findings:
    """Do nothing, slowly, but listen."""
    for step in range(params.steps):
        time.sleep(params.pause_s)
        ctx.progress(step, params.steps, phase="dawdle")
    return _nothing()


@dataclass(frozen=True)
class Sum:
    """The sum of a shard, which says in which process it is made and takes its time, or all memory."""

    folder: Path
    pause_s: float
    hungry: bool

    def __call__(self, shard: int) -> int:
        with (self.folder / str(shard)).open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(self.pause_s)
        held = []
        while self.hungry:
            held.append(np.ones(10 * MB, dtype=np.uint8))
            time.sleep(0.01)
        return shard


@method(kind="notes", task="advise", name="pass-over", version=1)
def pass_over(data: Any, params: Shards, ctx: Context) -> Findings:
    """Sum shards in a pass, and say the sum."""
    total = run_pass(
        Sum(Path(params.folder), params.pause_s, params.hungry), range(params.shards), operator.add, ctx, name="sum"
    )
    ctx.log(f"sum {total}")
    return _nothing()


@method(kind="interactions", task="select", name="cuda-oom", version=1)
def cuda_oom(data: Any, params: Cure, ctx: Context) -> Any:
    """Fail as torch does when a GPU has no more memory; at half the size it may be enough."""
    import torch

    from worker.kinds.interactions.methods.random_users import RandomUsersParams, random_users

    ctx.log(f"degrade {ctx.degrade}")
    if ctx.degrade and params.degraded_is_enough:
        return random_users(data, RandomUsersParams(budget=10), ctx)
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def _nothing() -> Findings:
    return Findings.unmeasured(kind="notes", unit="note", units="notes", reason="there is nothing to measure")
