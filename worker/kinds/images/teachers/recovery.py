"""Images made from a teacher's batch statistics (SRe2L: Yin et al., NeurIPS 2023, arXiv:2306.13092, section 3.2).

    min_x  CE(teacher(x), y) + r sum_l w_l ( ||mu_l(x) - running mean_l||_2 + ||var_l(x) - running variance_l||_2 )

over batches with one image of every class; l runs over the teacher's batch norms, w is 10 for the first and 1 for the
others. Adam (0.5, 0.9) with a cosine, images rolled by a few pixels each step, values kept within those of pixels.
The published code means to deliver the best iterate but delivers the last one; so does this, on purpose: the loss at
another step is of another roll.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from worker.contract.errors import JobError
from worker.numerics.seeds import mix


@dataclass
class Statistics:
    """Sum over batch norms of how far the statistics of what they read are from their own; see `watched`."""

    terms: list[Tensor] = field(default_factory=list)

    def penalty(self) -> Tensor:
        """sum_l w_l (...), of the last forward pass."""
        weighted = [10 * term if number == 0 else term for number, term in enumerate(self.terms)]
        return torch.stack(weighted).sum()


@contextmanager
def watched(teacher: nn.Module) -> Iterator[Statistics]:
    """Gather what the batch norms of a teacher in evaluation mode read, forward pass by forward pass.

    Raises `JobError` `invalid_input` where the teacher has none.
    """
    norms = [one for one in teacher.modules() if isinstance(one, nn.BatchNorm2d)]
    if not norms:
        raise JobError(
            "invalid_input",
            "sre2l needs a teacher with batch norms: it makes images from their statistics.",
            hint="Choose a teacher with batch norms (norm=batch), or use rded or softlabel.",
            pointer="/params/teacher",
        )
    found = Statistics()

    def read(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        if norm is norms[0]:
            found.terms.clear()
        mean = x.mean(dim=(0, 2, 3))
        variance = x.var(dim=(0, 2, 3), unbiased=False)
        assert norm.running_mean is not None  # noqa: S101 - of a trained batch norm
        assert norm.running_var is not None  # noqa: S101
        found.terms.append(
            torch.linalg.vector_norm(mean - norm.running_mean) + torch.linalg.vector_norm(variance - norm.running_var)
        )

    handles = [one.register_forward_pre_hook(read) for one in norms]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Recovery:
    """How images are recovered: `steps` of size `rate`, `weight` r of the statistics, rolls of `jitter` pixels."""

    steps: int = 1000
    rate: float = 0.25
    weight: float = 0.01
    jitter: int = 4


def recovered(
    teacher: nn.Module,
    start: Tensor,
    y: Tensor,
    low: Tensor,
    high: Tensor,
    recovery: Recovery,
    seed: int,
    tick: Callable[[int], None],
) -> Tensor:
    """Images (n, c, h, w) of the classes `y` (n,) from `start`, every value within [low, high] (c,) of its channel.

    `teacher`: in evaluation mode, its parameters not to be trained. `tick(step)` is called at every step.
    """
    low, high = low.view(1, -1, 1, 1), high.view(1, -1, 1, 1)
    x = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([x], lr=recovery.rate, betas=(0.5, 0.9))
    with watched(teacher) as statistics:
        for step in range(recovery.steps):
            tick(step)
            for group in optimiser.param_groups:
                group["lr"] = recovery.rate * 0.5 * (1 + math.cos(math.pi * step / recovery.steps))
            generator = torch.Generator().manual_seed(mix(seed, step))
            dy, dx = torch.randint(-recovery.jitter, recovery.jitter + 1, (2,), generator=generator).tolist()
            logits = teacher(torch.roll(x, (dy, dx), dims=(2, 3)))
            loss = nn.functional.cross_entropy(logits, y) + recovery.weight * statistics.penalty()
            (x.grad,) = torch.autograd.grad(loss, x)
            optimiser.step()
            with torch.no_grad():
                x.copy_(torch.minimum(torch.maximum(x, low), high))
    return x.detach()
