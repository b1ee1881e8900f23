"""The catalogue of this worker: every method, and the ingest of every kind."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from typing import Any

from worker.contract.kind import Kind
from worker.runtime.registry import discover, kind_names, load_kind, unavailable


def catalogue() -> list[dict[str, Any]]:
    """Rows for the `method` table, JSON only. Kinds that lack a package are left out; `unavailable` says which."""
    found = list(discover().values())  # first, because a plug-in may bring a kind with it
    missing = unavailable()
    kinds = {name: load_kind(name) for name in kind_names() if name not in missing}
    judging = {name: _judging(kind) for name, kind in kinds.items()}
    methods: list[dict[str, Any]] = []
    for method in found:
        if (one := judging.get(method.kind)) is not None:
            row = method.announcement()
            row["inputs"] += [
                extra for extra in one["inputs"] if extra["name"] not in {i["name"] for i in row["inputs"]}
            ]
            # What takes evidence judges nothing: that was done.
            judges = all(given["type"] != "evidence" for given in row["inputs"])
            cost = one["cost"] if judges else {"units": one["cost"]["units"]}
            methods.append(row | {"evaluate_schema": one["schema"] if judges else {}, "cost": row["cost"] | cost})
    return methods + [_ingest(kind) for kind in kinds.values()]


def _judging(kind: Kind[Any]) -> dict[str, Any]:
    # In the schema, beside what it says of the fields: a further column would say it of ingests, too.
    needs = {"x-needs": [asdict(one) for one in kind.judging.needs]} if kind.judging.needs else {}
    return {
        "schema": kind.judging.params().model_json_schema() | needs,
        "inputs": [asdict(one) | {"required": False} for one in kind.judging.inputs],
        "cost": {"judging": asdict(kind.judging.cost), "units": kind.units},
    }


def _ingest(kind: Kind[Any]) -> dict[str, Any]:
    about = import_module(f"worker.kinds.{kind.name}").__doc__ or ""
    return {
        "kind": kind.name,
        "task": "ingest",
        "name": "ingest",
        "version": kind.ingest.version,
        "paper": "",
        "summary": about.strip().partition("\n")[0] or f"Files that are read as {kind.name}.",
        "params_schema": kind.ingest.options.model_json_schema(),
        "evaluate_schema": {},
        "device": "cpu",
        "queue": "io",
        "cost": {"memory_mb": 2048, "units": kind.units},
        "inputs": [],
        "needs": [],
    }
