"""What all selections of real events share: how large they may be, and the summary they end in."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import sparse

from worker.contract.budget import OR_NONE, Budget, resolve, resolve_bytes
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import bytes_of_rows
from worker.kinds.interactions.picks import Queue
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.sampling.order import Order, TrainEvents
from worker.kinds.interactions.summary import InteractionsSummary

DEFAULT_PERCENT, DEFAULT_USERS = 20.0, 500


class EventsParams(BaseModel):
    """The size of a selection of events: `keep_percent` or `budget`, 20 % when neither is given."""

    model_config = ConfigDict(extra="forbid")
    default: ClassVar[tuple[str, float | int]] = ("keep_percent", DEFAULT_PERCENT)

    keep_percent: float | None = Field(
        None, ge=0.1, le=99.9, description="Percent of the training events to keep; 20 when no size is given."
    )
    budget: Budget | None = Field(
        None,
        description="The same in units: as many events as that many average users have.",
        json_schema_extra=OR_NONE,
    )

    @model_validator(mode="after")
    def _one_size(self) -> EventsParams:
        if self.keep_percent is not None and self.budget is not None:
            raise ValueError("give keep_percent or budget, not both")
        if self.keep_percent is None and self.budget is None:
            setattr(self, *self.default)
        return self


class UsersParams(EventsParams):
    """The size of a selection of users: `budget` or `keep_percent`, 500 users when neither is given."""

    default: ClassVar[tuple[str, float | int]] = ("budget", DEFAULT_USERS)

    keep_percent: float | None = Field(
        None, ge=0.1, le=99.9, description="Percent of the training events that the kept users may have."
    )
    budget: Budget | None = Field(
        None,
        description='The size as users (500), a share of them ("1%") or bytes ("150kB"); 500 when no size is given.',
        json_schema_extra=OR_NONE,
    )


def in_bytes(budget: int | str) -> bool:
    """Whether a budget is a size in bytes."""
    return isinstance(budget, str) and budget.strip().endswith("B")


def first_in_budget(data: Interactions, budget: int | str, order: np.ndarray) -> np.ndarray:
    """The users (n,) that come first in an order and fit in a budget: in bytes exactly as many as fit."""
    count = users_in_budget(data, budget)
    if in_bytes(budget):
        queue = Queue(UserRows(data.train, data.weights), order, "hard" if data.weights is None else "weighted")
        count = queue.fitting(resolve_bytes(budget, total_bytes=bytes_of_rows(data.training())) or 0)
    return order[:count]


def users_in_budget(data: Interactions, budget: int | str) -> int:
    """A budget as a number of users with training events; bytes count the average row as 0/1 CSR."""
    lengths = np.diff(data.train.indptr)
    users = int(np.count_nonzero(lengths))
    index = 2 if data.n_items <= 1 << 16 else 4
    return resolve(budget, total_units=users, bytes_per_unit=4 + index * data.train.nnz / max(1, users))


def events_to_keep(data: Interactions, params: EventsParams) -> int:
    """Number of events asked for; raises `JobError` `budget_too_small` when that is none."""
    events = data.train.nnz
    if params.budget is not None:
        count = users_in_budget(data, params.budget)
        return max(1, round(count * events / int(np.count_nonzero(np.diff(data.train.indptr)))))
    percent = params.keep_percent or DEFAULT_PERCENT
    keep = round(events * percent / 100)
    if keep < 1:
        raise JobError(
            "budget_too_small",
            f"keep_percent {percent:g} of {events} training events leaves none.",
            hint=f"Ask for at least {100 / events:.3g} percent.",
            pointer="/params/keep_percent",
        )
    return keep


def sampled(
    data: Interactions,
    events: TrainEvents,
    order: Order,
    params: EventsParams,
    method: str,
    ctx: Context,
    *,
    by_users: bool = False,
) -> InteractionsSummary:
    """The summary of as many events as the params ask for, in order; `by_users`: a budget counts units of the order.

    The origin's settings say how many events were kept, and which percent of all that is.
    """
    if by_users and params.budget is not None:
        _, first = np.unique(order.place, return_index=True)  # users in their order, by one event each
        kept = order.units(len(first_in_budget(data, params.budget, events.user[first])))
    else:
        kept = order.events(events_to_keep(data, params))
    rows = events.rows(kept)
    users = np.flatnonzero(np.diff(rows.indptr))
    ctx.progress(1, 1, phase="select")
    about = {
        **params.model_dump(),
        "seed": ctx.seed,
        "events": rows.nnz,
        "percent_of_events": round(100 * rows.nnz / len(events), 4),
    }
    return InteractionsSummary.of_users(
        UserRows(sparse.csr_array(rows[users]), None if data.weights is None else data.weights[users]),
        data.item_ids,
        origin=Origin(method, settings=about),
        row_ids=data.user_ids[users],
        warnings=tuple(ctx.warnings),
    )
