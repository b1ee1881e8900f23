"""The rules are kept by none of these, and each is caught."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conformance.life import CANCEL_WITHIN_S, live
from worker.contract.context import Context


@dataclass(frozen=True)
class Sound:
    """Four steps, of which the result of each is in the resume point."""

    def do(self, ctx: Context) -> Any:
        point = ctx.restore()
        done = [] if point is None else list(point.state["done"])
        for step in range(len(done), 4):
            ctx.progress(step, 4)
            done.append(self.step(step, ctx))
            ctx.checkpoint(step + 1, {}, {"done": done})
        return done

    def step(self, number: int, ctx: Context) -> float:
        return float(np.random.default_rng([ctx.seed, number]).random())

    def outcome(self, made: Any) -> str:
        return repr(made)


class Silent(Sound):
    """It never says how far it is."""

    def do(self, ctx: Context) -> Any:
        return [self.step(number, ctx) for number in range(4)]


class Deaf(Sound):
    """Nobody can cancel it while it takes a step."""

    def step(self, number: int, ctx: Context) -> float:
        begun = time.process_time()
        while number == 1 and time.process_time() < begun + CANCEL_WITHIN_S:
            pass
        return super().step(number, ctx)


class Forgetful(Sound):
    """What it draws after a stop is not what it would have drawn."""

    def do(self, ctx: Context) -> Any:
        point, rng = ctx.restore(), ctx.rng
        done = [] if point is None else list(point.state["done"])
        for step in range(len(done), 4):
            ctx.progress(step, 4)
            done.append(float(rng.random()))
            ctx.checkpoint(step + 1, {}, {"done": done})
        return done


class Hungry(Sound):
    """It takes more memory than it declares."""

    def step(self, number: int, ctx: Context) -> float:
        return float(np.ones(400_000_000, dtype=np.uint8)[number]) * super().step(number, ctx)


def test_work_when_it_keeps_the_rules_then_passes(tmp_path: Path):
    live(Sound(), 200, tmp_path)


@pytest.mark.parametrize(
    ("work", "caught"),
    [
        (Silent(), "never says how far it is"),
        (Deaf(), "cannot be cancelled for"),
        (Forgetful(), "not the same after a stop"),
        (Hungry(), "allocate"),
    ],
    ids=["silent", "deaf", "forgetful", "hungry"],
)
def test_work_when_it_breaks_a_rule_then_is_caught(work: Sound, caught: str, tmp_path: Path):
    with pytest.raises((AssertionError, MemoryError), match=caught):
        live(work, 200, tmp_path)
