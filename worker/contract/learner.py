"""A learner: a model that is trained on the full data and on summaries, to compare them. One file, one contract.

A learner is a function with a decorator. It takes what it is trained on and returns a `Trainable`: everything that
trainings at different settings share, such as a Gram matrix. The settings it lists are tried on validation data for
every training set anew, the same for every set, so that rankings of settings can be compared. A learner may go on
beyond the last of them, since one that is cut off at the end of its grid is under-tuned.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from worker.contract.context import Context

Settings = Mapping[str, float | int | str]


class Trainable(Protocol):
    """A learner on one training set."""

    def fit(self, settings: Settings, ctx: Context) -> Any:
        """The model trained at these settings, in the form that its kind measures.

        Raises `JobError` `diverged` where that is impossible (a singular kernel): the setting is then left out.
        """
        ...


Prepare = Callable[[Any, Any, Context], Trainable]
"""`(training set, the kind's evaluate params, ctx) -> Trainable`; random numbers come from `ctx.seed`."""


Further = Callable[[Sequence[tuple[Settings, float]]], Settings | None]
"""From what was tried, with its validation metric (more is better), the next settings; None when that will do."""


@dataclass(frozen=True)
class Learner:
    """A learner as the evidence knows it.

    `floor`: it is a trivial model that others must beat. `usual`: it is trained unless a job names its learners; others
    are there for who asks for them. `ordered`: it learns from the order of events in time. `featured`: it learns from
    what is known of items beside who used them, and cannot be trained without. `seeds`: how many trainings
    its figures average; 1 for closed forms. `settings`: the configurations that tuning tries, in order; one empty one
    where there is nothing to tune; `further`: what it tries after them. `version`: raised when it would learn something
    else from the same data.
    """

    name: str
    label: str
    kind: str = ""
    floor: bool = False
    usual: bool = True
    ordered: bool = False
    featured: bool = False
    note: str = ""
    version: int = 1
    seeds: int = 1
    settings: tuple[Settings, ...] = ({},)
    further: Further | None = None
    prepare: Prepare | None = None


_LEARNERS: dict[tuple[str, str], Learner] = {}


def learner(
    *,
    kind: str,
    name: str,
    label: str,
    floor: bool = False,
    usual: bool = True,
    ordered: bool = False,
    featured: bool = False,
    note: str = "",
    version: int = 1,
    seeds: int = 1,
    settings: Iterable[Settings] = ({},),
    further: Further | None = None,
) -> Callable[[Prepare], Prepare]:
    """Register a function as a learner of a kind; the fields are those of `Learner`."""

    def register(prepare: Prepare) -> Prepare:
        _LEARNERS[kind, name] = Learner(
            name, label, kind, floor, usual, ordered, featured, note, version, seeds, tuple(settings), further, prepare
        )
        return prepare

    return register


def learners_of(kind: str) -> dict[str, Learner]:
    """Every learner of a kind by name: those in `worker.kinds.<kind>.learners`, and what plug-ins have registered."""
    package = importlib.import_module(f"worker.kinds.{kind}.learners")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return {name: one for (of, name), one in sorted(_LEARNERS.items()) if of == kind}


def and_floors(names: Iterable[str], known: Mapping[str, Learner]) -> list[str]:
    """Names of learners, each once, and after them the floors among `known` that were not named.

    Judges train floors unasked: where a learner has learned nothing, a summary keeps all of it, and a report that has
    no floor beside it would call that a success.
    """
    return list(dict.fromkeys([*names, *(name for name, one in known.items() if one.floor)]))
