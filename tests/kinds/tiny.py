"""What the tests need to know of a kind: something tiny to upload, and how its products are loaded elsewhere.

Each kind says it in `tests/kinds/<kind>/tiny.py`, as `TINY`. A kind that does is tried by `tests/conformance`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Tiny:
    """`upload(folder)`: writes files there and returns (logical name, path) of each. `options`: of the dataset.

    `evaluate`: params with which judging takes seconds. `loaded(product)`: a line of Python that reads the delivered
    files with the loader among them, in their folder, and prints a number; and the number that it must print.
    `credentials()`: for methods that need some.
    `others`: by method, the tiny data of those that need another form of it.
    """

    upload: Callable[[Path], list[tuple[str, Path]]]
    loaded: Callable[[Any], tuple[str, float]]
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    evaluate: Mapping[str, Any] = field(default_factory=dict[str, Any])
    credentials: Callable[[], Mapping[str, Any]] = dict
    others: Mapping[str, Tiny] = field(default_factory=dict[str, "Tiny"])

    def of(self, method: str) -> Tiny:
        """The data that a method needs."""
        return self.others.get(method, self)


def tiny_of(kind: str) -> Tiny:
    """The tiny data of a kind."""
    return import_module(f"tests.kinds.{kind}.tiny").TINY
