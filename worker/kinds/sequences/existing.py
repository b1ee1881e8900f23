"""Judging summaries that a job was given."""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.measurements import Measurements
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.leaks import held_out_events
from worker.kinds.sequences.summary import SequenceSummary


def judge_existing(data: Sequences, ctx: Context) -> Measurements:
    """Measure what the summaries among the inputs keep of the full data.

    Raises `JobError` `invalid_input` when one is no summary of sequences over these items.
    """
    from worker.kinds.sequences.judge import judge  # learners need torch, which reading summaries does not

    summaries = ctx.inputs["summary"]
    for summary in summaries:
        if not isinstance(summary, SequenceSummary) or list(summary.vocabulary) != list(data.vocabulary):
            raise JobError(
                "invalid_input",
                f"A summary is not over the {data.n_items} items of the dataset.",
                hint="Judge a summary against the dataset it was made of.",
                pointer="/inputs/summary",
            )
        asked = int(held_out_events(data, summary.rows, summary.row_ids).sum()) if summary.row_ids is not None else 0
        if asked:
            raise JobError(
                "invalid_input",
                f"{asked:,} events of a summary are held out in this version of the dataset: it was made of another.",
                hint="Judge a summary against the version it was made of.",
                pointer="/inputs/summary",
            )
    return judge(data, summaries, ctx.evaluate, ctx)
