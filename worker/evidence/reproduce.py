"""The box that repeats a job: the same request for curl, for the Python client and for the command line."""

from __future__ import annotations

import json
import keyword
import shlex
from collections.abc import Mapping
from typing import Any

_RESERVED = ("seed", "evaluate", "inputs", "params", "task", "method", "dataset")


def reproduce(job: Mapping[str, Any]) -> dict[str, Any]:
    """Request, versions and hash of a job, and the three ways to send it again.

    `job` has the keys id, method, method_version, kind, task, dataset, params, seed, evaluate, input_hash and
    environment; what is missing is left out. The address and the key come from the reader's own environment.
    """
    names = ("id", "kind", "task", "method", "method_version", "dataset", "inputs", "params", "seed", "evaluate")
    facts = {name: job[name] for name in (*names, "input_hash", "environment") if job.get(name) is not None}
    return facts | {"curl": curl(job), "python": python(job), "cli": command_line(job)}


def request(job: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the POST that made the job."""
    body = {name: job[name] for name in ("task", "method", "dataset") if job.get(name)}
    body |= {name: job[name] for name in ("inputs", "params", "evaluate") if job.get(name)}
    return body | {"seed": job.get("seed", 0)}


def curl(job: Mapping[str, Any]) -> str:
    """A shell line; the body is quoted for the shell."""
    body = shlex.quote(json.dumps(request(job), ensure_ascii=False))
    return (
        'curl -X POST "$DISTILLERY_URL/v1/jobs" \\\n'
        '  -H "Authorization: Bearer $DISTILLERY_API_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {body}"
    )


def python(job: Mapping[str, Any]) -> str:
    """Lines for the Python client."""
    named = dict(job.get("params") or {})
    odd = {k: named.pop(k) for k in list(named) if not k.isidentifier() or keyword.iskeyword(k) or k in _RESERVED}
    arguments = [repr(str(job.get("method", ""))), repr(str(job.get("dataset", "")))]
    arguments += [f"{name}={value!r}" for name, value in named.items()]
    arguments += [f"params={odd!r}"] if odd else []
    arguments += [f"{name}={job[name]!r}" for name in ("inputs", "evaluate") if job.get(name)]
    arguments.append(f"seed={job.get('seed', 0)!r}")
    call = f"c.run({', '.join(arguments)})"
    if len(call) > 100:
        call = "c.run(\n    " + ",\n    ".join(arguments) + ",\n)"
    return f"from distillery import Client\n\nc = Client()\njob = {call}\njob.wait()\nprint(job.report.verdict.sentence)"


def command_line(job: Mapping[str, Any]) -> str:
    """A shell line for the command line client."""
    words = ["distillery", "run", str(job.get("method", "")), str(job.get("dataset", ""))]
    for name, value in (job.get("params") or {}).items():
        said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        words += ["--param", f"{name}={said}"]
    if job.get("evaluate"):
        words += ["--evaluate", json.dumps(job["evaluate"], ensure_ascii=False)]
    return shlex.join([*words, "--seed", str(job.get("seed", 0))])
