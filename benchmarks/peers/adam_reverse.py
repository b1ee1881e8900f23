"""One cell of `benchmarks.adam_reverse`, in a process of its own: seconds, peak memory and the gradient it came to.

python -m venv peers && peers/bin/pip install higher==0.2.1 torchopt==0.7.3 numpy and the torch of the worker
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ITEMS, ROWS, LENGTH, RANK, HIDDEN = 1299, 25, 20, 32, 32  # Magazine's items, 25 sequences of 20 events
LR, EPS, RUNS = 1e-2, 1e-4, 3


class Network(nn.Module):
    """SASRec with one block: (n, L) items to (n, L, V) logits; attention written out, for second derivatives."""

    def __init__(self) -> None:
        super().__init__()
        self.item, self.position = nn.Embedding(ITEMS, HIDDEN), nn.Embedding(LENGTH, HIDDEN)
        self.norms = nn.ModuleList(nn.LayerNorm(HIDDEN) for _ in range(3))
        self.qkv, self.out = nn.Linear(HIDDEN, 3 * HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.wide, self.narrow = nn.Linear(HIDDEN, 64), nn.Linear(64, HIDDEN)
        self.register_buffer("mask", torch.full((LENGTH, LENGTH), -1e9).triu(1))

    def forward(self, items: Tensor) -> Tensor:
        x = self.item(items) + self.position.weight
        q, k, v = self.qkv(self.norms[0](x)).chunk(3, -1)
        x = x + self.out(torch.softmax(q @ k.transpose(1, 2) / HIDDEN**0.5 + self.mask, -1) @ v)
        x = x + self.narrow(F.gelu(self.wide(self.norms[1](x))))
        return self.norms[2](x) @ self.item.weight.T


torch.set_num_threads(1)
torch.manual_seed(0)
NETWORK = Network()
with torch.no_grad():
    NETWORK.item.weight.mul_(0.1)
INPUTS, REAL = torch.randint(0, ITEMS, (2, ROWS, LENGTH))
LABELS, DECODER = torch.randn(ROWS, LENGTH, RANK).requires_grad_(), torch.randn(RANK, ITEMS).requires_grad_()


def soft() -> Tensor:
    """The soft targets (n, L, V)."""
    return torch.softmax(LABELS @ DECODER, -1)


def synthetic(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * torch.log_softmax(logits, -1)).sum(-1).mean()


def real(logits: Tensor) -> Tensor:
    return F.cross_entropy(logits.reshape(-1, ITEMS), REAL.reshape(-1))


def ours(steps: int, trajectory: str = "store") -> tuple[Tensor, ...]:
    from worker.numerics.adam import Adam, Layout, State
    from worker.numerics.adam_reverse import differentiate

    layout = Layout.of(NETWORK)

    def logits(theta: Tensor) -> Tensor:
        return torch.func.functional_call(NETWORK, layout.named(theta), (INPUTS,))

    made = soft()
    targets = made.detach().requires_grad_()  # what comes together for them goes through the softmax once
    found = differentiate(
        lambda theta: real(logits(theta)),
        lambda theta, _: synthetic(logits(theta), targets),
        State.start(layout.vector(NETWORK)),
        steps,
        Adam(LR, eps=EPS),
        (targets,),
        trajectory=trajectory,
    )
    return torch.autograd.grad(made, (LABELS, DECODER), found.phi)


def by_higher(steps: int) -> tuple[Tensor, ...]:
    import higher

    targets = soft()
    optimiser = torch.optim.Adam(NETWORK.parameters(), LR, eps=EPS)
    with higher.innerloop_ctx(NETWORK, optimiser) as (network, inner):
        for _ in range(steps):
            inner.step(synthetic(network(INPUTS), targets))
        return torch.autograd.grad(real(network(INPUTS)), (LABELS, DECODER))


def by_torchopt(steps: int) -> tuple[Tensor, ...]:
    import torchopt

    targets = soft()
    before = torchopt.extract_state_dict(NETWORK)
    inner = torchopt.MetaAdam(NETWORK, lr=LR, eps=EPS)
    for _ in range(steps):
        inner.step(synthetic(NETWORK(INPUTS), targets))
    found = torch.autograd.grad(real(NETWORK(INPUTS)), (LABELS, DECODER))
    torchopt.recover_state_dict(NETWORK, before)
    return found


CELLS: dict[str, Callable[[int], tuple[Tensor, ...]]] = {
    "store": ours,
    "checkpoint": lambda steps: ours(steps, "checkpoint"),
    "higher": by_higher,
    "torchopt": by_torchopt,
}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


name, count, target = sys.argv[1], int(sys.argv[2]), sys.argv[3]
CELLS[name](1)  # imports and the first allocations
base, seconds = peak_mb(), []
for _ in range(RUNS):
    started = time.perf_counter()
    gradients = CELLS[name](count)
    seconds.append(time.perf_counter() - started)
torch.save([one.detach() for one in gradients], target)
found = {"seconds": min(seconds), "peak_mb": peak_mb() - base, "torch": torch.__version__}
sys.stdout.write(json.dumps(found) + "\n")
