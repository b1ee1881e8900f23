"""Resume points and remembered figures as files: safetensors, whose metadata holds the JSON beside the arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from worker.contract.context import Checkpoint, Figures


def write_points(path: Path, points: Mapping[str, Checkpoint], about: Mapping[str, Any]) -> None:
    """All resume points of an attempt by their path, and what else the next attempt must know (JSON)."""
    heads = {name: {"step": p.step, "state": p.state, "done": p.done} for name, p in points.items()}
    _write(path, {name: p.arrays for name, p in points.items()}, {"points": heads, "about": dict(about)})


def read_points(path: Path) -> tuple[dict[str, Checkpoint], dict[str, Any]]:
    """The points and what stands about them."""
    arrays, head = _read(path)
    points = {
        name: Checkpoint(one["step"], arrays.get(name, {}), one["state"], one["done"])
        for name, one in head["points"].items()
    }
    return points, head["about"]


def write_figures(path: Path, figures: Mapping[str, Figures]) -> None:
    """Figures by their key."""
    _write(
        path, {key: one.arrays for key, one in figures.items()}, {"states": {k: f.state for k, f in figures.items()}}
    )


def read_figures(path: Path, job: str) -> dict[str, Figures]:
    """The figures that a job remembered."""
    arrays, head = _read(path)
    return {key: Figures(arrays.get(key, {}), state, job) for key, state in head["states"].items()}


def _write(path: Path, groups: Mapping[str, Mapping[str, np.ndarray]], head: Mapping[str, Any]) -> None:
    names = [(group, name) for group, arrays in groups.items() for name in arrays]
    tensors = {str(at): np.asarray(groups[group][name], order="C") for at, (group, name) in enumerate(names)}
    save_file(tensors, path, {"head": json.dumps(head), "names": json.dumps(names)})


def _read(path: Path) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]]:
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
        arrays: dict[str, dict[str, np.ndarray]] = {}
        for at, (group, name) in enumerate(json.loads(metadata["names"])):
            arrays.setdefault(group, {})[name] = file.get_tensor(str(at))
        return arrays, json.loads(metadata["head"])
