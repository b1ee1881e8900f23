"""The work that is tried: running a method, judging a product. Picklable, so that another process can do it."""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.kinds.tiny import tiny_of
from worker.contract.context import Context
from worker.contract.method import Method
from worker.contract.product import Product
from worker.evidence.findings import Findings
from worker.evidence.measurements import Measurements
from worker.evidence.report import build
from worker.evidence.restore import restore
from worker.runtime.registry import discover, load_kind


def product_of(method: Method) -> type[Product] | None:
    """What a method says it delivers; None for findings, also where it says that they are of one of two sorts."""
    made = typing.get_type_hints(method.run)["return"]
    return made if isinstance(made, type) and issubclass(made, Product) else None


@dataclass(frozen=True)
class RunMethod:
    """Run a method with its defaults on the data below `canonical`; what it delivers is written to `out`."""

    kind: str
    name: str
    canonical: Path
    out: Path

    @property
    def method(self) -> Method:
        return discover()[self.kind, self.name]

    @property
    def _evidence(self) -> Path:
        return self.canonical.parent / "evidence"

    def made_ready(self) -> RunMethod:
        """What the method takes is made: the evidence of the dataset itself, which needs no other method."""
        kind = load_kind(self.kind)
        if any(one.type == "evidence" for one in self.method.inputs) and not self._evidence.exists():
            assert kind.adopt is not None
            data, params = kind.load(self.canonical), kind.judging.params()(**tiny_of(self.kind).evaluate)
            judged = kind.adopt(data, data).judge(data, params, Context())
            build(judged, {"kind": self.kind, "method": "itself"}).write(self._evidence)
        return self

    def do(self, ctx: Context) -> Any:
        """What the method returns."""
        kind, method = load_kind(self.kind), self.method
        data = kind.load(self.canonical)
        tiny = tiny_of(self.kind)
        ctx.evaluate = kind.judging.params()(**(tiny.of(self.name).evaluate or tiny.evaluate))
        if method.needs:
            ctx.credentials = dict(tiny.credentials())
        if any(one.type == "evidence" for one in method.inputs):
            ctx.inputs = {one.name: [restore(self._evidence), restore(self._evidence)] for one in method.inputs}
        elif any(one.required for one in method.inputs):  # the dataset itself is the summary that needs no other method
            assert kind.adopt is not None
            given = kind.adopt(data, data)
            ctx.inputs = {one.name: [given] if one.many else given for one in method.inputs if one.required}
        return method.run(data, method.params(), ctx)

    def outcome(self, made: Any) -> str:
        """A hash of the files that are delivered, or of the report of what was found."""
        assert isinstance(made, product_of(self.method) or Findings | Measurements)
        if not isinstance(made, Product):
            return hash_of_report(made, self.method)
        self.out.mkdir(exist_ok=True)
        out = self.out / str(len(list(self.out.iterdir())))
        out.mkdir()
        made.write(out, load_kind(self.kind).load(self.canonical))
        return hash_of_files(out)


@dataclass(frozen=True)
class Judge:
    """Judge the product whose files lie in `files`."""

    kind: str
    type: str
    canonical: Path
    files: Path

    def do(self, ctx: Context) -> Any:
        """The evidence."""
        kind = load_kind(self.kind)
        product = kind.product(self.type).read(self.files)
        params = kind.judging.params()(**tiny_of(self.kind).evaluate)
        return product.judge(kind.load(self.canonical), params, ctx)

    def outcome(self, made: Any) -> str:
        """A hash of the report."""
        return hash_of_report(made, None)


def hash_of_report(evidence: Any, method: Method | None) -> str:
    """A hash of all that a report says but the times, which differ."""
    if isinstance(evidence, Measurements):
        untimed = (replace(r, fit_s=(), tune_s=0.0, predict_s=0.0, peak_mb=None) for r in evidence.results)
        evidence = replace(evidence, results=tuple(untimed))
    job = {} if method is None else {"method": method.name, "task": method.task, "kind": method.kind}
    report = build(evidence, job)
    return _hash([("report.json", report.json_text().encode()), *report.files.items()])


def hash_of_files(folder: Path) -> str:
    """A hash of the names and contents of all files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return _hash((path.relative_to(folder).as_posix(), path.read_bytes()) for path in files)


def _hash(files: Iterable[tuple[str, bytes]]) -> str:
    return hashlib.sha256(repr(sorted(files)).encode()).hexdigest()
