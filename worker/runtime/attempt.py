"""One attempt at a job, from canonical files to delivered files. Knows neither database nor broker."""

from __future__ import annotations

import hashlib
import json
import platform
import resource
import shutil
import time
from pathlib import Path
from typing import Any

from worker.runtime.child_context import ChildContext
from worker.contract.errors import JobError
from worker.runtime.protocol import Brief
from worker.runtime.registry import discover, load_kind

MANIFEST_VERSION = 1
DELIVERING = ("distil", "select", "learn")  # tasks that make a summary: something to download and use


def run_attempt(brief: Brief, ctx: ChildContext) -> dict[str, Any]:
    """Do the job and leave its files under `brief.out`; returns what goes into the database with them."""
    kind = load_kind(brief.job["kind"])
    if brief.job["task"] == "ingest":
        return _ingest(kind, brief, ctx)
    method = discover()[brief.job["kind"], brief.job["method"]]
    return _run_method(kind, method, brief, ctx)


def environment(device: str) -> dict[str, Any]:
    """The versions that results depend on; no times and no machine names, so equal work gives equal bytes."""
    from importlib.metadata import version

    names = ("distillery-service", "torch", "numpy", "scipy", "pyarrow")
    return {"python": platform.python_version(), "device": device, **{name: version(name) for name in names}}


def _ingest(kind: Kind, brief: Brief, ctx: ChildContext) -> dict[str, Any]:
    out = brief.out / "canonical"
    out.mkdir(parents=True)
    ctx.stage("ingest")
    sources = [(name, Path(path)) for name, path in brief.sources]
    version = kind.ingest(sources, brief.job["params"], out, ctx, brief.ingest_limits)
    return {"version": version, "environment": environment("cpu")}


def _run_method(kind: Kind, method: Method, brief: Brief, ctx: ChildContext) -> dict[str, Any]:
    from worker.evidence.findings import Findings
    from worker.evidence.report import build

    ctx.stage("load")
    data = kind.load(Path(brief.data))
    ctx.inputs = {name: _load_input(kind, data, given) for name, given in brief.inputs.items()}
    params = method.params.model_validate(brief.job["params"])
    ctx.stage("run")
    started = time.monotonic()
    result = method.run(data, params, ctx)
    cost = {
        "seconds": time.monotonic() - started + ctx.spent_s,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }
    answer: dict[str, Any] = {"environment": environment(ctx.device)}
    if method.task in DELIVERING:
        answer |= _deliver(kind, data, result, brief, answer["environment"])
        result = kind.read_bundle(brief.out / "summary")  # what is measured is what is delivered
    ctx.stage("evaluate")
    evaluate = kind.evaluate_params().model_validate(brief.job["evaluate"])
    evidence = result if isinstance(result, Findings) else kind.judge(data, result, evaluate, ctx)
    ctx.stage("report")
    report = build(evidence, {**brief.job, "environment": answer["environment"], "cost": cost})
    report.write(brief.out / "report")
    return {**answer, "verdict": report.json["verdict"]}


def _load_input(kind: Kind, data: Any, given: dict[str, str]) -> Any:
    folder = Path(given["folder"])
    return kind.read_bundle(folder) if given["type"] == "summary" else kind.read_subset(data, folder)


def _deliver(kind: Kind, data: Any, summary: Any, brief: Brief, versions: dict[str, Any]) -> dict[str, Any]:
    """Write the bundle with its manifest, and the export as a dataset version beside it."""
    folder = brief.out / "summary"
    folder.mkdir(parents=True)
    kind.write_bundle(data, summary, folder)
    version: dict[str, Any] = {}
    if (folder / "dataset").is_dir():
        shutil.copytree(folder / "dataset", brief.out / "dataset")
        version = kind.describe(folder / "dataset")
    manifest = _manifest(brief, folder, versions)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    # The file names the data by its content alone, so that equal work gives equal bytes in every installation.
    source = {"reference": brief.job["dataset"], **manifest["dataset"]}
    return {"manifest": {**manifest, "dataset": source}, "version": version}


def _manifest(brief: Brief, folder: Path, versions: dict[str, Any]) -> dict[str, Any]:
    job = brief.job
    files: dict[str, dict[str, Any]] = {
        path.relative_to(folder).as_posix(): {"sha256": _sha256(path), "size": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if not files:
        raise JobError("internal", f"{job['method']} delivered no files.")
    return {
        "manifest_version": MANIFEST_VERSION,
        **{name: job[name] for name in ("kind", "method", "method_version", "task", "params", "seed", "input_hash")},
        "dataset": {"content_sha256": job["dataset_content"]},
        "environment": versions,
        "files": files,
        "bytes": sum(entry["size"] for entry in files.values()),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
