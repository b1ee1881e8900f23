"""The catalogue of this worker: every method, and the ingest of every kind."""

from __future__ import annotations

from typing import Any

from worker.runtime.registry import discover, kind_names, load_kind


def catalogue() -> list[dict[str, Any]]:
    """Rows for the `method` table, JSON only."""
    found = list(discover().values())  # first, because a plug-in may bring a kind with it
    kinds = kind_names()
    schemas = {name: load_kind(name).evaluate_params().model_json_schema() for name in kinds}
    methods = [{**method.announcement(), "evaluate_schema": schemas.get(method.kind, {})} for method in found]
    return methods + [_ingest(name) for name in kinds]


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
