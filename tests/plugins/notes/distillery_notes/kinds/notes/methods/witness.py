"""Two methods that do nothing but say what they see; one declares that it needs credentials."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from worker.contract.context import Context
from worker.contract.kind import NoParams
from worker.contract.method import Cost, Term, method
from worker.evidence.findings import Findings

COST = Cost(seconds=(Term(2.0), Term(0.5, {"notes": 1})))


@method(kind="notes", task="advise", name="look", version=1, device="any", cost=COST)
def look(data: Path, params: NoParams, ctx: Context) -> Findings:
    """Say what a method is given that needs nothing."""
    return _say(ctx)


@method(kind="notes", task="advise", name="ask", version=1, needs=("llm",))
def ask(data: Path, params: NoParams, ctx: Context) -> Findings:
    """Say what a method is given that needs credentials."""
    return _say(ctx)


def _say(ctx: Context) -> Findings:
    # Not the credentials themselves: a test looks for them everywhere.
    given = {name: hashlib.sha256(one["key"].encode()).hexdigest() for name, one in ctx.credentials.items()}
    named = [name for name in os.environ if "CREDENTIALS" in name]
    ctx.log(json.dumps({"device": ctx.device, "credentials": given, "environment": named}))
    return Findings.unmeasured(kind="notes", unit="note", units="notes", reason="there is nothing to measure")
