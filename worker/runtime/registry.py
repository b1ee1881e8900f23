"""Every kind and method this worker can run, found by importing them."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

from worker.contract.kind import Kind
from worker.contract.method import METHODS, Method
from worker.contract.plugins import import_plugins


class MissingDependency(Exception):
    """A kind cannot be imported because a package it needs is not installed."""

    def __init__(self, kind: str, package: str) -> None:
        super().__init__(f"the kind {kind} needs the package {package}, which is not installed")
        self.kind = kind
        self.package = package


class _Registered(Mapping[tuple[str, str], Method]):
    """Methods by kind and name. Asking for one imports the plug-ins and its kind; only looking at all imports all."""

    def __getitem__(self, key: tuple[str, str]) -> Method:
        import_plugins()
        if key[0] in kind_names():
            _import_methods(key[0])
        return METHODS[key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        import_plugins()
        missing = unavailable()
        for name in kind_names():
            if name not in missing:
                _import_methods(name)
        return iter(list(METHODS))

    def __len__(self) -> int:
        return len(list(iter(self)))


def discover() -> Mapping[tuple[str, str], Method]:
    """Every method of `worker.kinds` and of installed plug-ins (entry points `distillery.methods`)."""
    return _Registered()


def kind_names() -> list[str]:
    """The kinds this worker has; a plug-in adds one by appending its folder to `worker.kinds.__path__`."""
    import worker.kinds as kinds

    return sorted({package.name for package in pkgutil.iter_modules(kinds.__path__) if package.ispkg})


def load_kind(name: str) -> Kind[Any]:
    """The kind of that name; KeyError when this worker has none, `MissingDependency` when it cannot be imported."""
    import_plugins()
    if name not in kind_names():
        raise KeyError(name)
    return _imported(name, f"worker.kinds.{name}").KIND


def unavailable() -> dict[str, str]:
    """Kinds that are here but cannot run, each with the package that is missing."""
    found: dict[str, str] = {}
    for name in kind_names():
        try:
            load_kind(name)
            _import_methods(name)
        except MissingDependency as missing:
            found[name] = missing.package
    return found


def _import_methods(kind: str) -> None:
    package = _imported(kind, f"worker.kinds.{kind}")
    methods = _imported(kind, f"worker.kinds.{kind}.methods")
    for module in pkgutil.iter_modules(methods.__path__, f"{methods.__name__}."):
        _imported(kind, module.name)
    # Summaries that learners judge can be compared by the scores that their reports hold, whatever the kind.
    if package.KIND.products and importlib.util.find_spec(f"worker.kinds.{kind}.learners"):
        from worker.evidence import compare  # only here: it needs numpy, which looking for kinds does not

        METHODS.setdefault((kind, compare.NAME), compare.method_of(kind))


def _imported(kind: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package == "worker":  # a fault of ours, not an absent package
            raise
        raise MissingDependency(kind, package) from missing
