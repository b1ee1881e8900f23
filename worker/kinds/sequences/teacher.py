"""A teacher: a SASRec trained on the full data, whose opinion of what comes next labels other rows.

Its probabilities at a place are softmax(h E^T), h its last hidden state and E its item table: exactly of low rank, so
labels cost nothing but the states (`LowRank` with latent h and decoder E^T). Dropout and steps are chosen on validation
cases, where there are none they are `UNTUNED`; test cases are never looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from worker.contract.context import Context
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.fitting import Fitting
from worker.kinds.sequences.forms import LowRank, TrainingSet
from worker.kinds.sequences.learners import sasrec
from worker.kinds.sequences.networks import targets
from worker.kinds.sequences.networks.next_event import NextEvent
from worker.kinds.sequences.ranking import Ranking
from worker.kinds.sequences.rows import Rows

DROPOUT, STEPS = (0.2, 0.5), tuple(range(80, 401, 40))
PATIENCE = 3
UNTUNED = {"dropout": 0.2, "steps": 240.0}  # where there is nothing to choose by: about what is chosen elsewhere


@dataclass(frozen=True)
class Teacher:
    """A trained network in evaluation mode; `settings` it was chosen at, `validation` its nDCG@10 there (0 to 1)."""

    net: NextEvent
    max_len: int
    settings: dict[str, float]
    validation: float | None

    @property
    def decoder(self) -> np.ndarray:
        """The transposed item table, float16 (h, V)."""
        return self.net.items.weight.detach().cpu().numpy().T.astype(np.float16)

    @torch.no_grad()
    def states(self, data: TrainingSet, rows_at_once: int = 256) -> np.ndarray:
        """Hidden states float16 (places, h) at every place of a set."""
        found = np.zeros((data.places, self.net.items.embedding_dim), np.float16)
        for start in range(0, len(data), rows_at_once):
            rows = np.arange(start, min(start + rows_at_once, len(data)))
            batch = targets.Batch.of(data, rows, str(self.net.items.weight.device))
            states = self.net.states(batch.embedded(self.net, data))
            found[batch.at] = states[batch.row, batch.column].cpu().numpy()
        return found

    def labelled(self, rows: Rows, max_len: int) -> TrainingSet:
        """Rows whose next events are the teacher's probabilities instead of what happened; the last event is read, too,
        and cut where that makes a row longer than `max_len`."""
        given = rows.last(max_len)
        inputs = TrainingSet.of_inputs(given, self.net.n_items, max_len)
        return inputs.with_targets(LowRank(self.states(inputs), self.decoder))


def teach(data: Sequences, ctx: Context) -> Teacher:
    """Train a teacher on the training part; each dropout ends when validation has not risen for some rounds.

    A resumed attempt finds a finished teacher among its resume points.
    """
    some = data.training()
    train = TrainingSet.of(some.rows, data.n_items, data.max_len, weight=some.weights)
    cases = data.cases("validation")
    if not len(cases):
        ctx.warn("There are no validation events: the teacher was trained at usual settings, not at tuned ones.")
    point = ctx.restore()
    if point is not None and point.done:
        settings = dict(point.state["settings"])
        net = sasrec.network(train, settings).to(ctx.device)
        net.load_state_dict({name: torch.from_numpy(value) for name, value in point.arrays.items()})
        return Teacher(net.eval(), data.max_len, settings, point.state["validation"])
    fitting = Fitting(sasrec.RECIPE, train, ctx.seed, ctx.device)
    if len(cases):
        best = _best(fitting, Ranking(cases.some(5000, ctx.seed), (10,), data.n_items), data.max_len, ctx)
    else:
        best = Teacher(fitting.fit(UNTUNED, ctx).net, data.max_len, dict(UNTUNED), None)
    state = {name: value.detach().cpu().numpy() for name, value in best.net.state_dict().items()}
    ctx.finish(state, {"settings": best.settings, "validation": best.validation})
    return best


def _best(fitting: Fitting, ranking: Ranking, max_len: int, ctx: Context) -> Teacher:
    """The teacher of the dropout and the number of steps that rank validation cases best."""
    best: Teacher | None = None
    for number, dropout in enumerate(DROPOUT):
        worse, top = 0, -1.0
        for steps in _steps():
            ctx.progress(number, len(DROPOUT), phase="teacher")
            settings = {"dropout": dropout, "steps": float(steps)}
            model = fitting.fit(settings, ctx)
            value = float(ranking(model)["ndcg@10"].mean())
            if best is None or value > (best.validation or 0.0):
                best = Teacher(model.net, max_len, settings, value)
            worse = 0 if value > top else worse + 1
            top = max(top, value)
            if worse >= PATIENCE:
                break
    assert best is not None  # noqa: S101 - there is one dropout at least
    return best


def _steps() -> Iterator[int]:
    """After how many training steps is validated: first those of `STEPS`, then a quarter more each time."""
    yield from (steps for steps in STEPS if steps <= sasrec.LIMIT)
    steps = STEPS[-1]
    while steps < sasrec.LIMIT:
        steps = min(sasrec.LIMIT, int(1.25 * steps))
        yield steps
