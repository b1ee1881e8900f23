"""Every method and kind this worker can run, found by importing them.

A method is a plain function with a decorator; the decorator only remembers it. Nothing here knows of Celery, SQL
or HTTP, so the same function runs in a notebook.
"""

from __future__ import annotations

import importlib
import pkgutil
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

TASKS = (
    "ingest", "distil", "select", "evaluate", "estimate", "learn", "advise", "tokenise", "audit", "search", "compare",
)  # fmt: skip
Run = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Method:
    """One named way to do a job on a kind, as announced to the API."""

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
    inputs: tuple[str, ...]

    def announcement(self) -> dict[str, Any]:
        """The row of the `method` table: JSON only."""
        return {
            "kind": self.kind,
            "task": self.task,
            "name": self.name,
            "version": self.version,
            "paper": self.paper,
            "summary": self.summary,
            "params_schema": self.params.model_json_schema(),
            "device": self.device,
            "queue": self.queue,
            "cost": {"memory_mb": self.memory_mb},
            "inputs": list(self.inputs),
        }


class Kind(Protocol):
    """What the runtime asks of a kind of data; each `worker.kinds.<kind>` exports one as `KIND`."""

    name: str
    ingest_version: int

    def ingest_params(self) -> type[BaseModel]:
        """The schema of a dataset's options."""
        ...

    def ingest(
        self,
        sources: list[tuple[str, Path]],
        options: dict[str, Any],
        out: Path,
        ctx: Any,
        limits: dict[str, int],
    ) -> dict[str, Any]:
        """Turn uploaded files (logical name, path) into canonical files under `out`.

        Returns {statistics, preview, schema, warnings, detection}, which the API shows of the version.
        """
        ...

    def load(self, folder: Path) -> Any:
        """The in-memory dataset from its canonical files."""
        ...

    def evaluate_params(self) -> type[BaseModel]:
        """The schema of a job's `evaluate` field."""
        ...

    def describe(self, folder: Path) -> dict[str, Any]:
        """{statistics, preview, warnings} of canonical files, as `ingest` returns them."""
        ...

    def write_bundle(self, data: Any, summary: Any, folder: Path) -> None:
        """Write the delivered files of a summary; its export as canonical files goes below `dataset/`."""
        ...

    def read_bundle(self, folder: Path) -> Any:
        """The summary back from its delivered files: what is measured is what is delivered."""
        ...

    def read_subset(self, data: Any, folder: Path) -> Any:
        """Another version's canonical files (an uploaded subset) as a summary of `data`."""
        ...

    def judge(self, data: Any, summary: Any, params: Any, ctx: Any) -> Any:
        """Measure what a method made against the full data and the cheap baselines.

        Returns `Measurements` or `Findings` of `worker.evidence`. Methods that return findings are not judged again.
        """
        ...


_methods: dict[tuple[str, str], Method] = {}


def method(
    *,
    kind: str,
    task: str,
    name: str,
    version: int,
    paper: str = "",
    device: str = "cpu",
    queue: str = "",
    memory_mb: int = 1024,
    inputs: tuple[str, ...] = (),
) -> Callable[[Run], Run]:
    """Register a function `(data, params, ctx) -> result` as a method.

    The annotation of `params` is the pydantic model of its parameters. `device`: `cpu`, or `any` when it also runs
    on a GPU. `memory_mb`: what one run declares to need on ordinary data. `inputs`: names of further inputs; a name
    that ends with "?" may be left out.
    """
    if task not in TASKS:
        raise ValueError(f"{task!r} is not a task")

    def register(run: Run) -> Run:
        model = typing.get_type_hints(run)["params"]
        summary = (run.__doc__ or "").strip().split("\n")[0]
        where = queue or ("gpu" if device == "cuda" else "cpu")
        _methods[kind, name] = Method(
            kind, task, name, version, paper, summary, model, run, device, where, memory_mb, inputs
        )
        return run

    return register


class _Registered(Mapping[tuple[str, str], Method]):
    """Methods by kind and name. Asking for one imports the plug-ins and its kind; only looking at all imports all."""

    def __getitem__(self, key: tuple[str, str]) -> Method:
        _import_plugins()
        if key[0] in kind_names():
            _import_methods(key[0])
        return _methods[key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        _import_plugins()
        for name in kind_names():
            _import_methods(name)
        return iter(list(_methods))

    def __len__(self) -> int:
        return len(list(iter(self)))


def discover() -> Mapping[tuple[str, str], Method]:
    """Every method of `worker.kinds` and of installed plug-ins (entry points `distillery.methods`)."""
    return _Registered()


def kind_names() -> list[str]:
    """The kinds this worker has; a plug-in adds one by appending its folder to `worker.kinds.__path__`."""
    import worker.kinds as kinds

    return sorted({package.name for package in pkgutil.iter_modules(kinds.__path__) if package.ispkg})


def _import_methods(kind: str) -> None:
    methods = importlib.import_module(f"worker.kinds.{kind}.methods")
    for module in pkgutil.iter_modules(methods.__path__, f"{methods.__name__}."):
        importlib.import_module(module.name)


def _import_plugins() -> None:
    for plugin in entry_points(group="distillery.methods"):
        plugin.load()


def load_kind(name: str) -> Kind:
    """The kind of that name; KeyError when this worker has none."""
    try:
        return importlib.import_module(f"worker.kinds.{name}").KIND
    except ModuleNotFoundError as missing:
        raise KeyError(name) from missing
