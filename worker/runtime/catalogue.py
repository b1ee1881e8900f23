"""The catalogue of this worker: every method, and the ingest of every kind."""

from __future__ import annotations

import pkgutil
from typing import Any

import worker.kinds as kinds
from worker.runtime.registry import discover, load_kind


def catalogue() -> list[dict[str, Any]]:
    """Rows for the `method` table, JSON only."""
    found = [package.name for package in pkgutil.iter_modules(kinds.__path__) if package.ispkg]
    schemas = {name: load_kind(name).evaluate_params().model_json_schema() for name in found}
    methods = [
        {**method.announcement(), "evaluate_schema": schemas.get(method.kind, {})} for method in discover().values()
    ]
    return methods + [_ingest(name) for name in found]


def _ingest(name: str) -> dict[str, Any]:
    kind = load_kind(name)
    return {
        "kind": name,
        "task": "ingest",
        "name": "ingest",
        "version": kind.ingest_version,
        "paper": "",
        "summary": f"Turn uploaded files into a version of {name}.",
        "params_schema": kind.ingest_params().model_json_schema(),
        "evaluate_schema": {},
        "device": "cpu",
        "queue": "io",
        "cost": {"memory_mb": 2048},
        "inputs": [],
    }
