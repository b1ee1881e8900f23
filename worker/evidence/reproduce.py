"""The box that repeats a job: the same request for curl, for the Python client and for the command line."""

from __future__ import annotations

import json
import keyword
import shlex
from collections.abc import Mapping
from typing import Any

# The client's own arguments: a method's parameter of such a name goes into `params`.
_RESERVED = frozenset(
    "self method dataset params seed evaluate limits labels inputs device priority force".split()  # noqa: SIM905
)


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
    return f"from distillery import Client\n\nc = Client()\njob = {call}\njob.wait()\nprint(job.report.verdict)"


def command_line(job: Mapping[str, Any]) -> str:
    """A shell line for the command line client."""
    words = ["distillery", "run", str(job.get("method", "")), str(job.get("dataset", ""))]
    for option, field in (("--param", "params"), ("--input", "inputs"), ("--evaluate", "evaluate")):
        for name, value in (job.get(field) or {}).items():
            words += [option, f"{name}={_typed(value)}"]
    return shlex.join([*words, "--seed", str(job.get("seed", 0))])


def _typed(value: Any) -> str:
    """The value as the command line reads it: JSON where it is JSON, else text."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value, ensure_ascii=False)
