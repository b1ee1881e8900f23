"""What a corpus should be more like: a set of documents that some selections take beside the dataset."""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Input
from worker.kinds.text.summary import TextSummary

TARGET = Input(
    "target",
    "either",
    "text",
    description="Documents of the sort that is wanted: a dataset version, or what another job kept.",
)
FEWEST = 10


def target_of(ctx: Context) -> TextSummary:
    """The target set. Raises `JobError` where it is too small to learn from; warns of what was left out of it."""
    target: TextSummary = ctx.inputs["target"]
    if len(target) < FEWEST:
        raise JobError(
            "invalid_input",
            f"The target set has {len(target)} documents; at least {FEWEST} are needed to learn what is wanted.",
            hint="Give a target of some hundred documents.",
            pointer="/inputs/target",
        )
    for warning in target.warnings:
        ctx.warn(f"Target set: {warning}")
    return target
