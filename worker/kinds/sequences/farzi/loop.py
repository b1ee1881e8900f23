"""The outer loop, step by step: what it carries, what it does not believe, how it goes on after an interruption.

Everything a step needs is in `Progress`, which goes into the resume point as a whole; what is random is a function of
(seed, step). So a run that was stopped and resumed ends with the very bytes of an undisturbed one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.sequences.farzi.meta import MetaGradient, Real, Unrolling, meta_gradient
from worker.kinds.sequences.farzi.synthetic import Synthetic, entropy, entropy_gradient
from worker.kinds.sequences.farzi.validation import Validation
from worker.kinds.sequences.networks.next_event import NextEvent
from worker.numerics.adam import Layout
from worker.numerics.seeds import mix

WILD, REMEMBERED, TRUSTED = 50.0, 50, 5  # a norm so many times the median of the last ones is not followed
LOST = 5  # skipped steps in a row after which the best phi is taken up again
BROKEN = 3  # steps in a row without a finite gradient that end the job
FLOOR = 0.05  # of the step size, at the end of its cosine


@dataclass(frozen=True)
class Schedule:
    """How many outer steps, their step size, the largest norm of a gradient, how often is validated, how many
    validations without a better one end it, after how many seconds it ends (None: never), what a nat of the soft
    events' mean entropy costs at the end, and the score of the start with which there is no step at all."""

    steps: int
    lr: float
    max_norm: float
    validate_every: int
    patience: int
    budget_s: float | None = None
    entropy_penalty: float = 0.0
    enough: float = math.inf

    def rate(self, step: int) -> float:
        """The step size of step 1, 2, ...: a cosine that ends at `FLOOR`."""
        return self.lr * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * (step - 1) / max(1, self.steps))))

    def penalty(self, step: int) -> float:
        """What a nat of entropy costs at a step: nothing until the last third, from there on a straight line up."""
        return self.entropy_penalty * max(0.0, 3 * step / max(1, self.steps) - 2)


@dataclass
class Progress:
    """What the loop carries from step to step."""

    phi: dict[str, Tensor]
    first: dict[str, Tensor]
    second: dict[str, Tensor]
    best: dict[str, Tensor]
    step: int = 0
    updates: int = 0
    best_step: int = 0
    best_score: float = -math.inf
    best_training: int = 0
    worse: int = 0
    skipped: int = 0
    in_a_row: int = 0
    broken: int = 0
    seconds: float = 0.0
    norms: list[float] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)

    _NUMBERS = (
        "updates", "best_step", "best_score", "best_training", "worse", "skipped", "in_a_row", "broken", "norms",
        "curve",
    )  # fmt: skip

    @classmethod
    def begin(cls, start: Synthetic, ctx: Context) -> Progress:
        """The state that an earlier attempt left, or a fresh one."""
        point = ctx.restore()
        if point is None:
            phi = {name: one.detach().to(ctx.device) for name, one in start.phi.items()}
            zeros = {name: torch.zeros_like(one) for name, one in phi.items()}
            return cls(phi, dict(zeros), dict(zeros), dict(phi))
        found: dict[str, dict[str, Tensor]] = {}
        for name, array in point.arrays.items():
            part, _, key = name.partition(".")
            found.setdefault(part, {})[key] = torch.from_numpy(np.array(array)).to(ctx.device)
        numbers = dict(point.state)
        numbers["best_score"] = -math.inf if numbers["best_score"] is None else numbers["best_score"]
        return cls(**found, step=point.step, seconds=numbers.pop("seconds"), **numbers)

    def save(self, ctx: Context) -> None:
        """Offer a resume point."""
        arrays = {
            f"{part}.{name}": one
            for part in ("phi", "first", "second", "best")
            for name, one in getattr(self, part).items()
        }
        state = {name: getattr(self, name) for name in self._NUMBERS} | {"seconds": self.seconds}
        state["best_score"] = self.best_score if math.isfinite(self.best_score) else None
        state["norms"], state["curve"] = list(self.norms), [dict(point) for point in self.curve]
        ctx.checkpoint(self.step, arrays, state)

    def follow(self, gradients: Mapping[str, Tensor], norm: float, schedule: Schedule) -> None:
        """One step of Adam (arXiv:1412.6980) on phi with a gradient that is clipped at a norm."""
        self.updates += 1
        scale = min(1.0, schedule.max_norm / max(norm, 1e-12))
        lr = schedule.rate(self.step)
        for name, gradient in gradients.items():
            clipped = gradient * scale
            self.first[name] = torch.lerp(self.first[name], clipped, 0.1)
            self.second[name] = torch.lerp(self.second[name], clipped.square(), 0.001)
            root = (self.second[name] / (1 - 0.999**self.updates)).sqrt() + 1e-8
            self.phi[name] = self.phi[name] - lr / (1 - 0.9**self.updates) * self.first[name] / root

    def back_to_best(self) -> None:
        """Take up the best phi again, with moments at zero."""
        self.phi, self.updates, self.in_a_row = dict(self.best), 0, 0
        self.first = {name: torch.zeros_like(one) for name, one in self.phi.items()}
        self.second = {name: torch.zeros_like(one) for name, one in self.phi.items()}


Starts = Callable[[int], tuple[NextEvent, Tensor]]
"""`step -> (network, its first parameters (P,))`: the learner of an outer step."""

Validator = Callable[[Synthetic, Callable[[], None]], Validation]
"""How good synthetic sequences are, in the form that is delivered first."""


def distil(
    start: Synthetic,
    starts: Starts,
    real: Real,
    how: Unrolling,
    validate: Validator | None,
    schedule: Schedule,
    ctx: Context,
) -> tuple[Synthetic, Progress]:
    """Outer steps until the last one, until validation no longer rises, or until time is up; the best validated phi,
    the last one where nothing is held out to validate on (`validate` None).

    Raises `JobError` `diverged` when the meta-gradient is not finite three times in a row, or when no validation came
    to a finite score.
    """
    state = Progress.begin(start, ctx)
    began = time.monotonic() - state.seconds

    def tick() -> None:
        best = {"best": state.best_score} if math.isfinite(state.best_score) else {}
        ctx.progress(state.step, max(1, schedule.steps), phase="distil", **best)

    if not state.curve:
        _validate(state, start, validate, math.nan, tick)
        state.save(ctx)
    settled = state.step == 0 and state.best_score >= schedule.enough
    while not settled and state.step < schedule.steps and state.worse < schedule.patience:
        state.step += 1
        network, theta = starts(state.step)
        made = start.with_phi(state.phi)
        found = meta_gradient(made, network, theta, real, how, seed=ctx.seed, step=state.step, tick=tick)
        if cost := schedule.penalty(state.step):
            found = found.plus(cost, entropy_gradient(made))
        _take(state, found, schedule, ctx)
        state.seconds = time.monotonic() - began
        late = ctx.out_of_time() or (schedule.budget_s is not None and state.seconds > schedule.budget_s)
        if late or state.step % schedule.validate_every == 0 or state.step == schedule.steps:
            _validate(state, start, validate, found.loss, tick, found.norm)
        state.save(ctx)
        if late:
            ctx.warn(
                f"Time ended the meta-stage after {state.step} of {schedule.steps} outer steps; the summary is the "
                f"best validated until then (step {state.best_step})."
            )
            break
    if state.skipped:
        ctx.warn(f"{state.skipped} of {state.step} outer steps were skipped: their gradient had exploded.")
    if validate is not None and not math.isfinite(state.best_score):
        raise JobError(
            "diverged",
            "No learner that was trained on the summary for validation came to finite scores.",
            hint="Lower outer_lr, or raise temperature; or set outer_steps to 0.",
            pointer="/params/outer_lr",
        )
    return start.with_phi(state.best), state


def _take(state: Progress, found: MetaGradient, schedule: Schedule, ctx: Context) -> None:
    """Follow a gradient that can be believed."""
    norm = found.norm
    finite = math.isfinite(norm) and math.isfinite(found.loss)
    state.broken = 0 if finite else state.broken + 1
    if state.broken >= BROKEN:
        raise JobError(
            "diverged",
            f"The meta-gradient was not finite {BROKEN} times in a row, at outer step {state.step}.",
            hint="Lower inner_lr, outer_lr or window, or raise inner_eps; or set outer_steps to 0.",
            pointer="/params/inner_lr",
        )
    wild = len(state.norms) >= TRUSTED and norm > WILD * float(np.median(state.norms))
    if not finite or wild:
        state.skipped += 1
        state.in_a_row += 1
        if state.in_a_row >= LOST:
            ctx.log(f"outer step {state.step}: back to the phi of step {state.best_step}")
            state.back_to_best()
        return
    state.in_a_row = 0
    state.norms = [*state.norms, norm][-REMEMBERED:]
    state.follow(found.gradients, norm, schedule)


def _validate(
    state: Progress,
    start: Synthetic,
    validate: Validator | None,
    loss: float,
    tick: Callable[[], None],
    norm: float = math.nan,
) -> None:
    made = start.with_phi(state.phi)
    found: Validation | None = None if validate is None else validate(made, tick)
    soft = made.probabilities().detach()
    entry = {"step": float(state.step), **({} if found is None else found.scores), "entropy": float(entropy(soft))}
    entry["items_that_are_likeliest_somewhere"] = float(len(soft.argmax(1).unique()))
    for name, value in (("outer_loss", loss), ("meta_gradient_norm", norm)):
        if math.isfinite(value):
            entry[name] = value
    state.curve.append(entry)
    if found is None:
        state.best, state.best_step = dict(state.phi), state.step
        return
    state.worse += 1
    if found.best > state.best_score:
        state.worse = 0
        state.best, state.best_score = dict(state.phi), found.best
        state.best_step, state.best_training = state.step, found.steps


def starts_of(
    builds: Sequence[Callable[[], NextEvent]], pools: Sequence[Tensor | None], seed: int, device: str
) -> Starts:
    """The learner of every outer step: one of several networks, at random parameters or one of its `pools` (c, P)."""

    def at(step: int) -> tuple[NextEvent, Tensor]:
        rng = np.random.default_rng(mix(seed, step, 4))
        number = int(rng.integers(len(builds)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix(seed, step, 5))
            network = builds[number]().to(device).eval()
        pool = pools[number]
        chosen = 0 if pool is None else int(rng.integers(len(pool) + 1))
        if pool is None or chosen == len(pool):
            return network, Layout.of(network).vector(network)
        return network, pool[chosen].to(device)

    return at
