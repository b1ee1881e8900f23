"""What the service says about a thing, with names for the parts that are used most. `view` is the API's
document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from distillery.errors import NoResult


class View:
    """A document of the API."""

    def __init__(self, view: dict[str, Any]) -> None:
        self.view = view

    @property
    def id(self) -> str:
        """Its identifier."""
        return self.view["id"]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class DatasetView(View):
    """A dataset: what it is called and which version is the latest."""

    @property
    def name(self) -> str:
        """The name it was given."""
        return self.view["name"]

    @property
    def kind(self) -> str:
        """What its data is, such as `interactions`."""
        return self.view["kind"]

    @property
    def state(self) -> str:
        """Of its latest version: open (before the first commit), ingesting, ready or failed."""
        return self.view["state"]

    @property
    def version(self) -> int:
        """The number of its latest version, 0 before the first commit."""
        return int(self.view["latest_version"])

    @property
    def reference(self) -> str:
        """Its latest version as jobs name it: `ds_…@1`."""
        return f"{self.id}@{self.version}"


class JobView(View):
    """A job as it was when it was last asked for."""

    @property
    def state(self) -> str:
        """queued, running, cancelling, succeeded, failed or cancelled."""
        return self.view["state"]

    @property
    def result(self) -> dict[str, str]:
        """The identifiers of what it made: `summary`, `report`, `dataset`."""
        return self.view.get("result") or {}

    @property
    def cached_from(self) -> str | None:
        """The finished job whose result answered this one."""
        return self.view.get("cached_from")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state}>"

    def made(self, what: str) -> str:
        """The identifier of one of its results; raises `NoResult` when there is none."""
        found = self.result.get(what)
        if not found:
            raise NoResult(f"Job {self.id} ({self.state}) has no {what}.")
        return found


def reference_of(thing: str | View) -> str:
    """How a job names a dataset version or a summary: by its reference, given as text or as the object."""
    if isinstance(thing, DatasetView):
        return thing.reference
    return thing.id if isinstance(thing, View) else thing


Given = str | View | Sequence[str | View]
Inputs = Mapping[str, Given]
"""Further inputs of a job by name: a reference or its object, or several where the method takes many."""


def references_of(given: Given) -> str | list[str]:
    """One reference, or a list of them."""
    return reference_of(given) if isinstance(given, str | View) else [reference_of(one) for one in given]


def job_body(
    method: str,
    dataset: str | View,
    *,
    params: dict[str, Any],
    seed: int,
    evaluate: dict[str, Any] | None,
    limits: dict[str, Any] | None,
    labels: dict[str, str] | None,
    inputs: Inputs | None,
    device: str,
    priority: int,
    force: bool,
    webhook: str | None,
) -> dict[str, Any]:
    """The body of `POST /v1/jobs`."""
    return {
        "method": method,
        "dataset": reference_of(dataset),
        "params": params,
        "seed": seed,
        "evaluate": evaluate,
        "limits": limits,
        "labels": labels,
        "inputs": {name: references_of(given) for name, given in (inputs or {}).items()},
        "device": device if device != "auto" else None,
        "priority": priority,
        "force": force,
        "webhook": _named(webhook),
    }


def _named(named: str | None) -> dict[str, str] | None:
    """How a job names who hears of its end: an endpoint by its identifier, or an address."""
    if named is None:
        return None
    return {"url": named} if "://" in named else {"endpoint_id": named}
