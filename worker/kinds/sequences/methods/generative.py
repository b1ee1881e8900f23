"""Is a recommender better that reads and writes tokens? A T5-like network on ActionPiece tokens, beside the same
network on plain item ids and beside learners that rank (arXiv:2502.13581, sections 3.4 and 4).

The paper's size is `layers: 4, width: 128, inner: 1024, heads: 6, head_width: 64, epochs: 200, beams: 50`, which takes
hours on a GPU; the defaults are a size that a CPU trains. Learners that rank stand beside it, SASRec among them.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Input, Term, method
from worker.evidence.findings import Findings
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.methods.actionpiece import ActionPieceParams, actionpiece
from worker.kinds.sequences.tokeniser import Tokeniser


class GenerativeParams(BaseModel):
    """How the generative learner is built, trained and read. Learners beside it are `evaluate.learners`."""

    model_config = ConfigDict(extra="forbid")

    layers: int = Field(1, ge=1, le=12, description="Layers that read, and as many that write.")
    width: int = Field(64, ge=8, le=1024, description="Width of the network.")
    inner: int = Field(128, ge=8, le=4096, description="Width of its feed-forward parts.")
    heads: int = Field(4, ge=1, le=16, description="Heads of attention.")
    head_width: int = Field(16, ge=4, le=128, description="Width of a head.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout.")
    epochs: int = Field(5, ge=1, le=1000, description="Passes over all prefixes of the training sequences.")
    batch: int = Field(256, ge=8, le=4096, description="Prefixes a step.")
    rate: float = Field(3e-3, gt=0, le=0.1, description="Peak rate of AdamW; a cosine after the warm-up.")
    decay: float = Field(0.1, ge=0, le=1, description="Weight decay.")
    warmup: float = Field(0.05, ge=0, lt=1, description="Share of the steps that the rate rises over.")
    patience: int = Field(20, ge=1, le=1000, description="Epochs without a better validation after which it ends.")
    validate_every: int = Field(1, ge=1, le=100, description="Epochs between two validations; the best state is kept.")
    validation_cases: int = Field(1000, ge=10, le=100_000, description="Validation cases that states are chosen by.")
    actions: int = Field(20, ge=1, le=200, description="The latest actions that are read.")
    beams: int = Field(20, ge=2, le=200, description="Beams of the search, and items in the list it gives.")
    readings: int = Field(
        5, ge=1, le=20, description="Random orders of a history that are read and fused; 1 is beside."
    )


@method(
    kind="sequences",
    task="evaluate",
    name="generative",
    version=1,
    paper="arXiv:2502.13581",
    device="any",
    memory_mb=4096,
    inputs=(
        Input(
            "tokeniser",
            type="summary",
            required=False,
            description="What actionpiece made of this dataset; left out, one is learned with its defaults.",
        ),
    ),
    cost=Cost(seconds=(Term(10.0), Term(1.2e-3, {"training_events": 1, "params.epochs": 1}))),
)
def generative(data: Sequences, params: GenerativeParams, ctx: Context) -> Findings:
    """Recommending by writing ActionPiece tokens, beside the same network on item ids and beside learners that rank."""
    from worker.kinds.sequences.generative_report import compare  # learners need torch, which loading data does not

    tokeniser = ctx.inputs.get("tokeniser")
    if tokeniser is None:
        with ctx.part("tokeniser", 0, 2) as part:
            tokeniser = actionpiece(data, ActionPieceParams(), part)
    if not isinstance(tokeniser, Tokeniser) or tokeniser.item_ids.tolist() != data.vocabulary.tolist():
        raise JobError(
            "invalid_input",
            "The input is no tokeniser of this dataset's items.",
            hint="Give the job of an actionpiece run on this dataset version, or leave the input out.",
            pointer="/inputs/tokeniser",
        )
    with ctx.part("compare", 1, 2, seed=ctx.seed) as part:
        return compare(data, tokeniser, params, ctx.evaluate, part)
