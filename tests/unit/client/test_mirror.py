"""The asynchronous client is the blocking one with await: the same names, parameters and defaults."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from distillery import AsyncClient, Client, _async_resources, _resources, _webhooks

PAIRS = [
    (Client, AsyncClient),
    (_resources.Dataset, _async_resources.AsyncDataset),
    (_resources.Datasets, _async_resources.AsyncDatasets),
    (_resources.Job, _async_resources.AsyncJob),
    (_resources.Summary, _async_resources.AsyncSummary),
    (_resources.Report, _async_resources.AsyncReport),
    (_resources.Keys, _async_resources.AsyncKeys),
    (_webhooks.Webhooks, _webhooks.AsyncWebhooks),
]
# A property cannot be awaited: this one needs a request, so it is a method of the asynchronous client.
AWAITED = {(_resources.Report, "verdict")}


def public(cls: type) -> dict[str, Any]:
    return {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}


def parameters(function: Any) -> list[tuple[str, Any, Any, str]]:
    found = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default, str(one.annotation).replace("Async", "")) for one in found]


def test_pairs_when_the_modules_are_looked_through_then_none_is_missing() -> None:
    modules = (_resources, _async_resources, _webhooks)
    classes = [one for module in modules for _, one in inspect.getmembers(module, inspect.isclass)]
    ours = {one for one in classes if one.__module__ in {module.__name__ for module in modules}}
    assert ours == {one for pair in PAIRS[1:] for one in pair}


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_asynchronous_class_when_compared_then_mirrors_the_blocking_one(blocking: type, asynchronous: type) -> None:
    theirs, ours = public(blocking), public(asynchronous)
    assert theirs.keys() == ours.keys()
    for name, one in theirs.items():
        other = ours[name]
        if (blocking, name) in AWAITED:
            assert isinstance(one, property)
            assert inspect.iscoroutinefunction(other)
        elif isinstance(one, property):
            assert isinstance(other, property), name
        else:
            assert parameters(one) == parameters(other), name
        assert inspect.getdoc(one) == inspect.getdoc(other), name
    assert parameters(blocking.__init__)[2:] == parameters(asynchronous.__init__)[2:]
