"""The method that does nothing."""

from __future__ import annotations

import sys
from pathlib import Path

from worker.contract.context import Context
from worker.contract.kind import NoParams
from worker.contract.method import method
from worker.evidence.findings import Findings


@method(kind="notes", task="advise", name="no-op", version=1)
def no_op(data: Path, params: NoParams, ctx: Context) -> Findings:
    """Do nothing."""
    if "warm" not in sys.argv:  # a child that was started for this job, not forked from what has everything
        assert "torch" not in sys.modules, "the child of a method without torch has imported it"
        assert "worker.kinds.interactions" not in sys.modules, "it has imported another kind"
    return Findings.unmeasured(kind="notes", unit="note", units="notes", reason="there is nothing to measure")
