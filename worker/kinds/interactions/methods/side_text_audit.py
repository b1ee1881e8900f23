"""Does the text of reviews help to predict ratings on this very data? An audit with controls.

After "How useful are reviews for recommendation? A critical review and potential improvements" (Sachdeva and McAuley,
SIGIR 2020, arXiv:2005.12210): many models that read reviews do not beat a factorisation that does not, and hiding the
reviews changes their error little. So text has to beat two rivals here: the factorisation without text, and the same
model on the same texts in the wrong places. It works on a version that was uploaded with `keep_text`.

Time grows with reviews x arms x variants of the texts: 10,000 reviews take under a minute.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.evidence.findings import Findings
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.side_text.arms import TextArm
from worker.kinds.interactions.side_text.audit import run
from worker.kinds.interactions.side_text.evidence import findings
from worker.kinds.interactions.side_text.reviews import Reviews

Percent = Annotated[int, Field(ge=0, le=100)]


class SideTextAuditParams(BaseModel):
    """How the audit is done."""

    model_config = ConfigDict(extra="forbid")

    arms: list[TextArm] = Field(
        ["mf-text", "narre-lite", "hft-lite"],
        min_length=1,
        description="Models with text: features beside a factorisation, attention over reviews, text as a regulariser.",
    )
    k_core: int = Field(5, ge=0, le=20, description="Users and items with fewer reviews are left out, again and again.")
    mask: list[Percent] = Field(
        [100, 50, 0], max_length=5, description="Per cent of training reviews that keep their text, for each a run."
    )
    bootstrap: int = Field(1000, ge=100, le=20_000, description="Resamples behind every interval.")
    max_reviews: int = Field(
        100_000, ge=1000, le=2_000_000, description="Above it the reviews of a random part of the users are taken."
    )


@method(
    kind="interactions",
    task="audit",
    name="side-text-audit",
    version=1,
    paper="arXiv:2005.12210",
    memory_mb=2048,
    cost=Cost(seconds=(Term(5.0), Term(3e-3, {"events": 1})), memory_mb=(Term(400.0), Term(6e-3, {"events": 1}))),
)
def side_text_audit(data: Interactions, params: SideTextAuditParams, ctx: Context) -> Findings:
    """Whether text helps to predict ratings, beside a model without text and beside shuffled texts."""
    reviews = Reviews.of(data, params.k_core, params.max_reviews, ctx.seed)
    if (used := sum(len(part) for part in (reviews.train, reviews.validation, reviews.test))) < len(data.events):
        ctx.warn(f"{used:,} of {len(data.events):,} reviews were audited: see k_core and max_reviews.")
    arms = list(dict.fromkeys(params.arms))
    audit = run(reviews, arms, list(dict.fromkeys(params.mask)), params.bootstrap, ctx.seed, ctx)
    return findings(audit, ctx.warnings)
