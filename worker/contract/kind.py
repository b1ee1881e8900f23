"""A kind of data: a typed record of what the runtime asks of it. Every `worker.kinds.<kind>` exports one as `KIND`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Input
from worker.contract.product import Product

Data = TypeVar("Data")
Sources = Sequence[tuple[str, Path]]
"""Uploaded files: (logical name, path)."""


class NoParams(BaseModel):
    """No parameters."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Ingest:
    """How uploads of a kind become a version.

    `run(sources, options, out, ctx, limits)` writes canonical files to the folder `out` and returns {statistics,
    preview, schema, warnings, detection}, which the API shows of the version. `limits`: the settings
    `DISTILLERY_INGEST_*` by name. `options`: the model of a dataset's options, `columns` among them. `version`: raised
    when the same upload would give other files.
    """

    options: type[BaseModel]
    run: Callable[[Sources, Mapping[str, Any], Path, Context, Mapping[str, int]], dict[str, Any]]
    version: int = 1


@dataclass(frozen=True)
class Need:
    """What a job that is judged cannot do without: `quantity`, a number of the version's statistics, above 0.

    Where it is 0, a job is refused before it is made, with `code`, `detail`, `hint` and `pointer`. `only`: where fields
    of the job have these values, as of a `Term`.
    """

    quantity: str
    code: str
    detail: str
    hint: str
    pointer: str = "/dataset"
    only: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def refusal(self) -> JobError:
        """The same as an error of a job that was made nevertheless."""
        return JobError(self.code, self.detail, hint=self.hint, pointer=self.pointer)


@dataclass(frozen=True)
class Judging:
    """How products of a kind are judged.

    `params()`: the model of a job's `evaluate` field; asked for late, since learners may be slow to import. `inputs`:
    what judging may be given beside the dataset (a held-out set), known in `ctx.inputs`. `needs`: what the dataset must
    have, for jobs of the tasks `distil`, `select` and `evaluate`. `cost`: what it takes.
    """

    params: Callable[[], type[BaseModel]] = lambda: NoParams
    inputs: tuple[Input, ...] = ()
    needs: tuple[Need, ...] = ()
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class Kind(Generic[Data]):
    """What the runtime asks of a kind.

    `unit`, `units`: what a row is called. `load(folder)`: the dataset from its canonical files, in memory or mapped.
    `load_input(folder)`: a version that is a job's further input, where that may be more than a dataset; None: `load`.
    `describe(folder)`: {statistics, preview, warnings} of canonical files. `products`: the types its methods may
    return. `adopt(data, other)`: another version of this kind, uploaded or derived, as a product of `data`, so that it
    can be judged like ours; None where there is no such thing.
    """

    name: str
    unit: str
    units: str
    ingest: Ingest
    load: Callable[[Path], Data]
    describe: Callable[[Path], dict[str, Any]]
    products: tuple[type[Product], ...] = ()
    load_input: Callable[[Path], Any] | None = None
    adopt: Callable[[Data, Data], Product] | None = None
    judging: Judging = field(default_factory=Judging)

    def product(self, type_name: str) -> type[Product]:
        """The product that manifests call so; KeyError when there is none."""
        for product in self.products:
            if product.type == type_name:
                return product
        raise KeyError(type_name)
