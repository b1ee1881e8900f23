"""ActionPiece: tokens for sequences of actions, whose meaning depends on their neighbours (arXiv:2502.13581).

Every action is a set of features; sets of features that occur together, in an action or in neighbouring ones, become
tokens, by weights that are how often two features would be adjacent if every set were shuffled. The published code
(commit ae8e61a) never takes off what a pair had counted in a sequence from which it vanishes; here counts are exact
after every merge, and `compat: stale` learns what that code learns.

Time: about 9 s of CPU for 154,000 training events and 37,000 tokens; it grows with the events that merges touch.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.pieces import corpus, encoding, item_codes
from worker.kinds.sequences.pieces.encoding import Encoder
from worker.kinds.sequences.pieces.learning import Rules, learn
from worker.kinds.sequences.tokeniser import Tokeniser
from worker.numerics.compiled import ready


class ActionPieceParams(BaseModel):
    """How a vocabulary of action tokens is learned."""

    model_config = ConfigDict(extra="forbid")

    vocab_size: int = Field(
        40_000, ge=3, le=200_000, description="Tokens wanted, features and padding included; fewer where pairs run out."
    )
    context: bool = Field(True, description="Whether features of neighbouring actions may become one token.")
    weighted: bool = Field(True, description="Whether pairs count by how often they would be adjacent; else once each.")
    min_count: float = Field(2.0, ge=0, le=1e6, description="The least count of a pair that becomes a token.")
    features: Literal["auto", "attributes", "columns", "pq"] = Field(
        "auto",
        description="What an action's features are: its attributes dealt to columns, columns of the upload, or codes "
        "of vectors (given, or of attributes and what occurs together). auto: columns where there are any, else pq.",
    )
    pq_codebooks: int = Field(4, ge=1, le=32, description="Codes of an item, or columns that attributes are dealt to.")
    pq_bits: int = Field(8, ge=1, le=12, description="Bits of a code.")
    hash_buckets: int | None = Field(
        None, ge=1, le=65_536, description="Values of the digit that tells equal items apart; left out: as few as do."
    )
    train_events: int = Field(
        1_000_000, ge=100, le=20_000_000, description="Training events that the vocabulary is learned from at most."
    )
    compat: Literal["exact", "stale"] = Field(
        "exact", description="stale: the published code's counts, for comparison; it knows no min_count."
    )


# A rough guide: from Amazon Beauty (154,000 training events) and a made-up log of 206,000.
COST = Cost(
    seconds=(Term(6.0), Term(5e-5, {"training_events": 1})),
    memory_mb=(Term(400.0), Term(2.5e-4, {"training_events": 1})),
)


@method(
    kind="sequences",
    task="tokenise",
    name="actionpiece",
    version=1,
    paper="arXiv:2502.13581",
    memory_mb=3072,
    cost=COST,
)
def actionpiece(data: Sequences, params: ActionPieceParams, ctx: Context) -> Tokeniser:
    """A vocabulary of tokens for sets of item features, and every sequence written in it."""
    if data.is_text:
        raise JobError(
            "invalid_input",
            "This dataset is a text: its tokens have no features that could be merged.",
            hint="Use actionpiece on a log of events.",
        )
    rows = data.training().rows
    drawn = corpus.drawn(rows, params.train_events, ctx)
    with ctx.part("features", 0, 10) as part:
        codes = item_codes.build(data, drawn, params, part)
    with ctx.part("vocabulary", 1, 3) as part:
        rules = Rules(params.vocab_size, params.min_count, params.weighted, params.context, params.compat)
        vocabulary = learn(drawn.indptr, drawn.items, codes.features, rules, part)
    if len(vocabulary) < params.vocab_size:
        ctx.warn(
            f"The vocabulary has {len(vocabulary):,} of the {params.vocab_size:,} tokens asked for: no further pair "
            f"counts {params.min_count:g}."
        )
    with ctx.part("tokens", 2, 3) as part:
        ready(encoding.warm_up, lambda: part.progress(0, 1, phase="compile"))
        written = corpus.written(data, Encoder.of(vocabulary, codes.features), part)
    facts = codes.facts | {
        "learned_from_events": len(drawn.items),
        "training_events": len(rows.items),
        "items_unseen_in_training": int(np.count_nonzero(np.bincount(rows.items, minlength=data.n_items) == 0)),
    }
    settings = params.model_dump() | {"tokens": len(vocabulary), "features_used": codes.source, "seed": ctx.seed}
    return Tokeniser(
        vocabulary, codes.features, data.vocabulary, data.ids, written, facts,
        Origin("actionpiece", settings=settings), tuple(ctx.warnings),
    )  # fmt: skip
