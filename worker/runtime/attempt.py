"""One attempt at a job, from canonical files to delivered files. Knows neither database nor broker.

A product that took long to make is kept durably before it is judged, so that an attempt that is killed while judging
does not have to make it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from worker.contract.context import Context
from worker.contract.errors import JobError, TimeOver
from worker.contract.kind import Kind
from worker.contract.method import Input, Method
from worker.contract.product import Product
from worker.runtime.child_context import ChildContext
from worker.runtime.protocol import Assignment, GivenInput
from worker.runtime.registry import discover, load_kind

MANIFEST_VERSION = 2
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Made:
    """What a method returned, and what that took."""

    result: Any
    cost: dict[str, float]


def run_attempt(assignment: Assignment, ctx: ChildContext) -> dict[str, Any]:
    """Do the job and leave its files under `assignment.out`; returns what goes into the database with them."""
    kind = load_kind(assignment.job["kind"])
    if assignment.job["task"] == "ingest":
        return _ingest(kind, assignment, ctx)
    method = discover()[assignment.job["kind"], assignment.job["method"]]
    return _run_method(kind, method, assignment, ctx)


def checked(model: type[Model], given: Mapping[str, Any], pointer: str) -> Model:
    """What the API checked by the schema, checked by what no schema says: which fields go together.

    Raises `JobError` `invalid_params` that points at the first field at fault, below `pointer`.
    """
    try:
        return model.model_validate(given)
    except ValidationError as unfit:
        first = unfit.errors()[0]
        where = "".join(f"/{part}" for part in first["loc"])
        raise JobError(
            "invalid_params",
            f"{(pointer + where).strip('/')}: {first['msg'].removeprefix('Value error, ')}.",
            hint="Correct what is named, or leave it out; /v1/methods describes every field.",
            pointer=pointer + where,
        ) from unfit


def environment(device: str) -> dict[str, Any]:
    """The versions that results depend on; no times and no machine names, so equal work gives equal bytes."""
    from importlib.metadata import version

    names = ("distillery-service", "torch", "numpy", "scipy", "pyarrow")
    return {"python": platform.python_version(), "device": device, **{name: version(name) for name in names}}


def _ingest(kind: Kind[Any], assignment: Assignment, ctx: ChildContext) -> dict[str, Any]:
    out = assignment.out / "canonical"
    out.mkdir(parents=True)
    ctx.stage("ingest")
    sources = [(name, Path(path)) for name, path in assignment.sources]
    version = kind.ingest.run(sources, assignment.job["params"], out, ctx, assignment.ingest_limits)
    return {"version": version, "environment": environment("cpu")}


def _run_method(kind: Kind[Any], method: Method, assignment: Assignment, ctx: ChildContext) -> dict[str, Any]:
    from worker.evidence.report import build

    ctx.stage("load")
    data = kind.load(Path(assignment.data))
    for one in (*method.inputs, *kind.judging.inputs):
        if one.name in assignment.inputs:
            loaded = [_load_input(kind, data, one, given) for given in assignment.inputs[one.name]]
            ctx.inputs[one.name] = loaded if one.many else loaded[0]
    if method.task in ("distil", "select", "evaluate"):  # what cannot be judged as asked is said before the work
        checked(kind.judging.params(), assignment.job["evaluate"], "/evaluate")
    answer: dict[str, Any] = {"environment": environment(ctx.device)}
    cost: dict[str, Any] = {}
    if method.task == "evaluate":  # it judges what is there already, which says nothing about making it
        params = checked(method.params, assignment.job["params"], "/params")
        evidence = _judge(kind, assignment, ctx, lambda part: method.run(data, params, part))
        evidence = _with_provenance(evidence, assignment)
    else:
        made = _kept_product(kind, assignment, ctx) or _make(method, data, assignment, ctx)
        cost, evidence = {"cost": made.cost}, made.result
        if isinstance(made.result, Product):
            product = made.result
            answer |= _deliver(kind, product, assignment, answer["environment"])
            evidence = _judge(kind, assignment, ctx, lambda part: product.judge(data, part.evaluate, part))
    ctx.stage("report")
    report = build(evidence, {**assignment.job, "environment": answer["environment"], **cost})
    report.write(assignment.out / "report")
    ctx.write_remembered(assignment.out / "figures")
    return {**answer, "verdict": report.json["verdict"], "cut": ctx.cut}


def _load_input(kind: Kind[Any], data: Any, declared: Input, given: GivenInput) -> Any:
    folder = Path(given.folder)
    if given.type == "evidence":
        from worker.evidence.restore import restore

        return restore(folder, f"/inputs/{declared.name}")
    own = kind if given.kind == kind.name else load_kind(given.kind)
    if given.type == "summary":
        return read_product(own, folder)
    other = (own.load_input or own.load)(folder)
    return kind.adopt(data, other) if declared.type == "either" and kind.adopt is not None else other


def _with_provenance(evidence: Any, assignment: Assignment) -> Any:
    """Evidence in which summaries that were made of another content are marked so."""
    from worker.evidence.measurements import Measurements
    from worker.evidence.provenance import marked

    if not isinstance(evidence, Measurements):
        return evidence
    own = assignment.job["dataset_content"]
    return marked(evidence, [_content_of(given) not in ("", own) for given in assignment.inputs.get("summary", ())])


def _content_of(given: GivenInput) -> str:
    """The hash of the data that a summary was made of, by its manifest; "" for a version that was uploaded as one."""
    if given.type != "summary":
        return ""
    manifest = json.loads((Path(given.folder) / "manifest.json").read_text(encoding="utf-8"))
    return manifest["dataset"]["content_sha256"]


def read_product(kind: Kind[Any], folder: Path) -> Product:
    """The product of a kind from its delivered files, by the type that its manifest names."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return kind.product(manifest["product"]).read(folder)


def _make(method: Method, data: Any, assignment: Assignment, ctx: ChildContext) -> Made:
    """Run the method; what is a product comes back from its files, since from here on they are what counts."""
    params = checked(method.params, assignment.job["params"], "/params")
    ctx.stage("run")
    started = time.monotonic()
    result = method.run(data, params, ctx)
    cost = {"seconds": time.monotonic() - started + ctx.spent_s, "peak_mb": _peak_mb(assignment, ctx)}
    if not isinstance(result, Product):
        return Made(result, cost)
    folder = assignment.out / "summary"
    folder.mkdir(parents=True)
    result.write(folder, data)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise JobError("internal", f"{method.name} delivered no files.")
    if cost["seconds"] >= assignment.checkpoint_every_s:  # what is made faster is made again
        _keep_product(result, files, folder, cost, ctx)
    return Made(type(result).read(folder), cost)


def _peak_mb(assignment: Assignment, ctx: ChildContext) -> float:
    """Of this process and, as if all had been as large as the largest, of those its executor had on this machine."""
    ctx.executor.close()  # the system tells the size of processes that have ended
    own, others = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + others * (assignment.executor_processes or os.cpu_count() or 1)) / 1000


def _keep_product(product: Product, files: list[Path], folder: Path, cost: dict[str, float], ctx: ChildContext) -> None:
    kept = ctx.keep("product")
    for path in files[len(kept) :]:
        kept.append_file(path)
    names = [path.relative_to(folder).as_posix() for path in files]
    ctx.finish({}, {"product": type(product).type, "files": names, "cost": cost, "cut": ctx.cut})
    ctx.save_now()


def _kept_product(kind: Kind[Any], assignment: Assignment, ctx: ChildContext) -> Made | None:
    """What an earlier attempt had made before it ended."""
    point = ctx.restore()
    if point is None or not point.done:
        return None
    folder = assignment.out / "summary"
    for name, path in zip(point.state["files"], ctx.keep("product").files(), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    ctx.cut.update(point.state["cut"])
    return Made(kind.product(point.state["product"]).read(folder), point.state["cost"])


def _judge(kind: Kind[Any], assignment: Assignment, ctx: ChildContext, judge: Callable[[Context], Any]) -> Any:
    """The evidence; where the time for judging ends before there is any, findings that say so."""
    from worker.evidence.findings import Findings

    ctx.evaluate = checked(kind.judging.params(), assignment.job["evaluate"], "/evaluate")
    ctx.stage("evaluate")
    try:
        # A part, so that what judging finishes does not take the place of the product among the resume points.
        with ctx.part("judge", seed=ctx.seed) as part:
            return judge(part)
    except TimeOver:
        reason = f"judging ended with limits.evaluate_s ({assignment.evaluate_s:g} s) before anything was measured"
        return Findings.unmeasured(kind=kind.name, unit=kind.unit, units=kind.units, reason=reason)


def _deliver(kind: Kind[Any], product: Product, assignment: Assignment, versions: dict[str, Any]) -> dict[str, Any]:
    """Add the manifest to the files, and lay the export as a dataset version beside them."""
    folder = assignment.out / "summary"
    version: dict[str, Any] = {}
    if (folder / "dataset").is_dir():
        shutil.copytree(folder / "dataset", assignment.out / "dataset")
        version = kind.describe(folder / "dataset")
    manifest = _manifest(product, assignment, folder, versions)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    # The file names the data by its content alone, so that equal work gives equal bytes in every installation.
    source = {"reference": assignment.job["dataset"], **manifest["dataset"]}
    return {"manifest": {**manifest, "dataset": source}, "version": version}


def _manifest(product: Product, assignment: Assignment, folder: Path, versions: dict[str, Any]) -> dict[str, Any]:
    job = assignment.job
    files: dict[str, dict[str, Any]] = {
        path.relative_to(folder).as_posix(): {"sha256": _sha256(path), "size": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {
        "manifest_version": MANIFEST_VERSION,
        "product": type(product).type,
        **{name: job[name] for name in ("kind", "method", "method_version", "task", "params", "seed", "input_hash")},
        "dataset": {"content_sha256": job["dataset_content"]},
        "environment": versions,
        "files": files,
        "bytes": sum(entry["size"] for entry in files.values()),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
