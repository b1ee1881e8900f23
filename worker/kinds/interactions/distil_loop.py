"""One run of Distill-CF, step by step: what it carries, how it goes on after an interruption, what it keeps.

Everything a step needs is in `Progress`, which goes into the checkpoint as a whole; what is random is a
function of (seed, step). So a run that was stopped and resumed ends with the very bytes of an undisturbed
one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.interactions import distillation as cf

RANKED_STEPS, RANKED_LR = 20, 0.05
TARGET_BLOCK = 12_000_000  # numbers of one dense block of target users


@dataclass(frozen=True)
class Recipe:
    """Every setting of one run, with the preset filled in. `users`: n, the rows to learn; `ranked_events`: items of a
    ranked row, of which `ranked_longer` rows have one more."""

    users: int
    row_mass: float
    draws: int
    tau: float
    lr: float
    inner_lambda: float
    mask_input: float
    rho: float
    steps: int
    batch_users: int
    init: str
    depth: int
    normalise_users: bool
    train_hard: bool
    hard_events: int | None
    patience: int
    validate_every: int
    ranked_events: int | None = None
    ranked_longer: int = 0

    @property
    def finishes(self) -> bool:
        """Whether the last steps are taken with rows as they are delivered."""
        return self.train_hard or self.ranked_events is not None

    @property
    def soft_until(self) -> int:
        """The last step with soft rows."""
        if self.ranked_events is not None:
            return self.steps - min(RANKED_STEPS, self.steps // 2)
        return self.steps // 2 if self.train_hard else self.steps

    def rate(self, step: int) -> float:
        """Step size at a step."""
        return RANKED_LR if self.ranked_events is not None and step > self.soft_until else self.lr

    def validates(self, step: int) -> bool:
        """Whether a step is followed by a validation: more often while ranked rows settle."""
        every = self.validate_every
        if self.ranked_events is not None and step > self.soft_until:
            every = min(every, RANKED_STEPS // 4)
        return step % every == 0 or step == self.steps


@dataclass
class Progress:
    """What a run carries from step to step; all of it goes into a checkpoint."""

    logits: Tensor
    first: Tensor
    second: Tensor
    step: int = 0
    best_rows: Tensor | None = None
    best_step: int = 0
    best_score: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, ctx: Context) -> None:
        """Offer the state after `step` as a resume point."""
        arrays = {"logits": self.logits, "first": self.first, "second": self.second}
        if self.best_rows is not None:
            arrays["best_rows"] = self.best_rows
        best_score = self.best_score if math.isfinite(self.best_score) else None
        state = {"best_step": self.best_step, "best_score": best_score, "history": list(self.history)}
        ctx.checkpoint(self.step, arrays, state)

    @classmethod
    def begin(cls, ctx: Context, start: np.ndarray) -> Progress:
        """The state of an earlier attempt, or a fresh one from initial logits."""
        point = ctx.restore()
        if point is None:
            logits = torch.from_numpy(start).to(ctx.device)
            return cls(logits, torch.zeros_like(logits), torch.zeros_like(logits))
        arrays = {name: torch.from_numpy(np.array(array)).to(ctx.device) for name, array in point.arrays.items()}
        score = point.state["best_score"]
        return cls(
            arrays["logits"],
            arrays["first"],
            arrays["second"],
            point.step,
            arrays.get("best_rows"),
            point.state["best_step"],
            -math.inf if score is None else score,
            list(point.state["history"]),
        )


def rows_at(logits: Tensor, recipe: Recipe, seed: int, step: int) -> Tensor:
    """The summary's rows (n, I) at a step: soft, after `soft_until` as delivered but with the soft gradient."""
    finishing = recipe.finishes and step > recipe.soft_until
    soft = cf.soft_rows(
        logits,
        row_mass=recipe.row_mass,
        tau=recipe.tau,
        draws=0 if finishing else recipe.draws,
        seed=seed,
        step=step,
    )
    if not finishing:
        return soft
    if recipe.ranked_events is not None:
        return cf.straight_through(soft, cf.ranked_rows(soft.detach(), recipe.ranked_events, recipe.ranked_longer))
    return cf.straight_through(soft, cf.top_events(soft.detach(), events_per_row(soft, recipe)))


def events_per_row(soft: Tensor, recipe: Recipe) -> Tensor:
    """How many events the hard form of each row has: the given number, or its rounded row sum."""
    if recipe.hard_events is not None:
        return torch.full((soft.shape[0],), min(recipe.hard_events, soft.shape[1]), device=soft.device)
    return soft.detach().sum(1).round().long().clamp(min=1)


def gradient(
    logits: Tensor, targets: cf.Targets, recipe: Recipe, *, seed: int, step: int, block: int
) -> tuple[float, Tensor]:
    """Loss per real user at a step, and its gradient (n, I) with respect to the logits.

    The rows are drawn once a step; target users go through in blocks and add up their gradient on the rows,
    so the noise is the same for all of them.
    """
    logits = logits.detach().requires_grad_(True)
    rows = rows_at(logits, recipe, seed, step)
    leaf = rows.detach().requires_grad_(True)
    chosen = list(cf.batches(targets, recipe.batch_users, block, seed, step))
    users = float(sum(weights.sum() for _, weights in chosen))
    total = 0.0
    for number, (part, weights) in enumerate(chosen):
        real = targets.rows[part]
        loss = cf.outer_loss(
            leaf,
            cf.dense(cf.masked(real, recipe.mask_input, seed, step, number), leaf),
            cf.dense(real, leaf),
            torch.from_numpy(weights).to(leaf),
            ridge=recipe.inner_lambda,
            depth=recipe.depth,
            dim=targets.dim,
            normalise_users=recipe.normalise_users,
        )
        (loss / users).backward()
        total += float(loss.detach())
    penalty = cf.sparsity_loss(leaf, recipe.rho, targets.mean_events)
    penalty.backward()
    rows.backward(leaf.grad)
    if logits.grad is None:
        raise AssertionError("the rows do not depend on the logits")
    return total / users + float(penalty.detach()), logits.grad


def adam(state: Progress, grad: Tensor, lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
    """One step of Adam (arXiv:1412.6980, algorithm 1) on the logits, in place."""
    state.first.lerp_(grad, 1 - betas[0])
    state.second.mul_(betas[1]).addcmul_(grad, grad, value=1 - betas[1])
    root = (state.second / (1 - betas[1] ** state.step)).sqrt_().add_(1e-8)
    state.logits.addcdiv_(state.first, root, value=-lr / (1 - betas[0] ** state.step))


def learn(
    state: Progress, targets: cf.Targets, validator: cf.Validator | None, recipe: Recipe, ctx: Context
) -> Progress:
    """Steps until the last one, until patience ends or time is up; keeps the rows that validate best."""
    block = max(1, (TARGET_BLOCK // targets.rows.shape[1]) >> ctx.degrade)
    while state.step < recipe.steps and not _patience_ended(state, recipe):
        state.step += 1
        late = False
        try:
            loss, grad = gradient(state.logits, targets, recipe, seed=ctx.seed, step=state.step, block=block)
            _check_finite(loss, grad)
            adam(state, grad, recipe.rate(state.step))
            late = ctx.out_of_time()
            if recipe.validates(state.step) or late:
                _keep_if_better(state, validator, recipe, ctx, loss)
        except (ArithmeticError, ValueError) as failure:
            raise _diverged(state.step) from failure
        state.save(ctx)
        ctx.progress(state.step, recipe.steps, phase="distil", loss=loss, best=max(state.best_score, 0.0))
        if late and state.step < recipe.steps:
            ctx.warn(
                f"The time limit ended the distillation after {state.step} of {recipe.steps} steps; the "
                f"summary is the best one until then (step {state.best_step})."
            )
            break
    return state


def _check_finite(loss: float, grad: Tensor) -> None:
    if not (math.isfinite(loss) and bool(torch.isfinite(grad).all())):
        raise FloatingPointError("the loss or its gradient is not finite")


def _patience_ended(state: Progress, recipe: Recipe) -> bool:
    since = max(state.best_step, recipe.soft_until if state.step > recipe.soft_until else 0)
    waiting = recipe.finishes and state.step <= recipe.soft_until
    return state.best_rows is not None and not waiting and state.step - since >= recipe.patience


@torch.no_grad()
def _keep_if_better(state: Progress, validator: cf.Validator | None, recipe: Recipe, ctx: Context, loss: float) -> None:
    rows = rows_at(state.logits, recipe, ctx.seed, state.step)
    entry = {"step": float(state.step), "loss": loss}
    score = -loss
    if validator is not None:
        found = validator(rows)
        score = found.score
        entry |= {**found.metrics, "score": score, "lambda": found.ridge}
    state.history.append(entry)
    finishing = recipe.finishes and state.best_step <= recipe.soft_until < state.step
    if state.best_rows is None or score > state.best_score or finishing:
        state.best_rows, state.best_score, state.best_step = rows.clone(), score, state.step


def _diverged(step: int) -> JobError:
    return JobError(
        "diverged",
        f"The distillation diverged at step {step}: the loss or the kernel is no longer finite.",
        hint="Lower lr, or raise inner_lambda or tau.",
        pointer="/params/lr",
    )
