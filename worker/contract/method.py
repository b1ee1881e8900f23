"""A method: one named way to do a job on a kind of data, as a plain function with a decorator that remembers it.

Nothing here knows of Celery, SQL or HTTP, so the same function runs in a notebook.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

TASKS = (
    "ingest", "distil", "select", "evaluate", "estimate", "learn", "advise", "tokenise", "audit", "search", "compare",
)  # fmt: skip
Run = Callable[[Any, Any, Any], Any]
"""`(data, params, ctx) -> Product | Findings`: what it returns decides what happens to it."""


@dataclass(frozen=True)
class Input:
    """Something a method takes beside its dataset, known in `ctx.inputs` under `name`.

    `type`: a `summary` (what an earlier job delivered), a `dataset` version as its own kind loads it, or `either`: a
    version of the method's kind is then read as a summary of the method's dataset; `evidence`: what the report of a
    summary measured (`worker.evidence.restore`). `kind`: of what kind, "" for the method's own. `many`: several of
    them, which then come as a list.
    """

    name: str
    type: Literal["summary", "dataset", "either", "evidence"] = "either"
    kind: str = ""
    required: bool = True
    many: bool = False
    description: str = ""


@dataclass(frozen=True)
class Term:
    """One addend of a cost: `value` times known quantities raised to powers.

    Quantities are the numbers of the version's statistics (`users`), of the job (`params.steps`, `evaluate.draws`), and
    `budget`, in units. `only`: the term counts only where a field of the job has this value, or holds it in a list
    ({"evaluate.learners": "infinite-ae"}).
    """

    value: float
    powers: Mapping[str, float] = field(default_factory=dict[str, float])
    only: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Cost:
    """What a run takes on an ordinary CPU worker, as sums of terms: wall-clock seconds and peak memory in MB."""

    seconds: tuple[Term, ...] = ()
    memory_mb: tuple[Term, ...] = ()


@dataclass(frozen=True)
class Method:
    """One method, as announced to the API."""

    kind: str
    task: str
    name: str
    version: int
    paper: str
    summary: str
    params: type[BaseModel]
    run: Run
    device: str
    queue: str
    memory_mb: int
    inputs: tuple[Input, ...]
    needs: tuple[str, ...]
    cost: Cost

    @property
    def about(self) -> str:
        """What its file says of it: what it does and when it is worth it, its formula and paper, what it costs."""
        return inspect.cleandoc(sys.modules[self.run.__module__].__doc__ or "")

    def announcement(self) -> dict[str, Any]:
        """The row of the `method` table: JSON only."""
        return {
            "kind": self.kind,
            "task": self.task,
            "name": self.name,
            "version": self.version,
            "paper": self.paper,
            "summary": self.summary,
            # In the schema, as what it says of judging is: a further column would say it of ingests, too.
            "params_schema": self.params.model_json_schema() | {"x-about": self.about},
            "device": self.device,
            "queue": self.queue,
            "cost": {"memory_mb": self.memory_mb, "estimate": asdict(self.cost)},
            "inputs": [asdict(one) for one in self.inputs],
            "needs": list(self.needs),
        }


METHODS: dict[tuple[str, str], Method] = {}
"""Every method whose module was imported, by kind and name."""


def method(
    *,
    kind: str,
    task: str,
    name: str,
    version: int,
    paper: str = "",
    device: Literal["cpu", "any", "cuda"] = "cpu",
    queue: str = "",
    memory_mb: int = 1024,
    inputs: tuple[Input, ...] = (),
    needs: tuple[str, ...] = (),
    cost: Cost | None = None,
) -> Callable[[Run], Run]:
    """Register a function `(data, params, ctx) -> Product | Findings` as a method.

    The annotation of `params` is the pydantic model of its parameters. `device`: `cpu`, `any` when it also runs on a
    GPU, `cuda` when only there. `memory_mb`: what one run declares to need on ordinary data; `cost`: how time and
    memory grow with the data, where that is known. `needs`: `llm` for credentials of language models.
    """
    if task not in TASKS:
        raise ValueError(f"{task!r} is not a task")

    def register(run: Run) -> Run:
        model = typing.get_type_hints(run)["params"]
        summary = (run.__doc__ or "").strip().split("\n")[0]
        where = queue or ("gpu" if device == "cuda" else "cpu")
        METHODS[kind, name] = Method(
            kind, task, name, version, paper, summary, model, run, device, where, memory_mb, inputs, needs,
            cost or Cost(),
        )  # fmt: skip
        return run

    return register
