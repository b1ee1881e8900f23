"""What it would cost to score a corpus, before anything is scored, and whether density would tell its documents apart.

Nothing is called and nothing timed: seconds of our own scorers are what their methods announce for a corpus of this
size on an ordinary CPU worker; a judge model's work is counted in tokens, 2 operations a parameter and token for one
forward pass, and in money where prices are given. Contrast is measured: the exact sum of kernels of 2,000 documents
with each other, with 1, 2, 4 and 8 hashes joined. Where it varies by less than a tenth, drawing by density is nearly
drawing at random.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial.distance import pdist, squareform

from worker.contract.context import Context
from worker.contract.method import METHODS, Cost, Term, method
from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.table import Column, Table
from worker.evidence.verdict import Verdict
from worker.kinds.text.dataset import TRAIN, Corpus
from worker.kinds.text.embedding import hashed
from worker.kinds.text.methods import (
    d4,
    density,
    dsir,
    perplexity,
    prototypes,
    quality_classifier,
    random,
    semdedup,
)
from worker.kinds.text.noise import uniform
from worker.kinds.text.selection import first_of_each
from worker.numerics.lsh import collision_probability

SAMPLE = 2_000
_MODULES = (random, density, semdedup, prototypes, d4, perplexity, dsir, quality_classifier)
_SCORERS = tuple(module.__name__.rsplit(".", 1)[-1].replace("_", "-") for module in _MODULES)
_JUDGES = (270e6, 1e9, 4e9, 11e9)
_EVEN_BELOW = 0.1
_VECTOR_BYTES = {"density": 256, "semdedup": 256, "prototypes": 256, "d4": 456}


class ScorerCostParams(BaseModel):
    """Parameters of `scorer-cost`."""

    model_config = ConfigDict(extra="forbid")

    bytes_per_token: float = Field(
        4.0, ge=1, le=16, description="Bytes of text that a judge's tokeniser makes a token."
    )
    max_input_tokens: int = Field(512, ge=64, le=65_536, description="Tokens of a document that a judge reads at most.")
    prompt_tokens: int = Field(120, ge=0, le=10_000, description="Tokens of the question around each document.")
    operations_per_s: float = Field(
        1e13, gt=0, le=1e20, description="Operations a second that a judge model gets from its accelerator."
    )
    price_per_million: float = Field(0.0, ge=0, le=1e6, description="Price of a million input tokens; 0: not known.")


@method(
    kind="text",
    task="advise",
    name="scorer-cost",
    version=1,
    memory_mb=1024,
    cost=Cost(seconds=(Term(6.0), Term(1e-7, {"bytes": 1}))),
)
def scorer_cost(data: Corpus, params: ScorerCostParams, ctx: Context) -> Findings:
    """What each way of scoring this corpus takes, and how much densities of its documents differ."""
    rows = data.rows(TRAIN)
    once = first_of_each(data, rows)
    tokens = np.ceil(data.bytes[once] / params.bytes_per_token)
    read = np.minimum(tokens, params.max_input_tokens) + params.prompt_tokens
    total, cut = float(read.sum()), int((tokens > params.max_input_tokens).sum())
    contrast, median = _contrast(data, once, ctx)
    best = max(contrast, key=lambda row: row["variation"])
    told = best["variation"] >= _EVEN_BELOW
    apart = (
        f"densities vary by up to {best['variation']:.0%} of their mean"
        if told
        else "densities hardly vary, so that drawing by them is nearly drawing at random"
    )
    times = dict.fromkeys(f"{_seconds(method, data):,.0f}" for method in ("quality-classifier", "d4"))
    sentence = (
        f"A judge would read {total:,.0f} tokens of {len(once):,} distinct documents; the scorers that need no model "
        f"take about {' to '.join(times)} s; {apart}."
    )
    return Findings(
        kind="text",
        unit="document",
        units="documents",
        test_units="documents looked at",
        n_test=min(SAMPLE, len(once)),
        verdict=Verdict("predicted", sentence),
        headline="What scoring would cost",
        because="Costs are counted and estimated; only the contrast of densities was measured.",
        key_figures=(
            KeyFigure("distinct documents", f"{len(once):,}", f"of {len(rows):,} for training"),
            KeyFigure("tokens a judge reads", f"{total:,.0f}", f"{cut:,} cut"),
            KeyFigure("variation of densities", f"{best['variation']:.2f}", f"{best['hashes']} hashes"),
        ),
        tables=(_scorers(data, len(once)), _judges(total, params), _contrasts(contrast, median)),
        warnings=tuple(ctx.warnings),
        protocol="Estimates for one ordinary CPU core and for a judge model of the given speed; no model was called.",
        footnote="Estimates within a factor of about three; variations are measured on a sample.",
        more={"tokens": total, "documents": len(once), "contrast": contrast},
    )


def _seconds(name: str, data: Corpus) -> float:
    """What a method announces for a corpus of this size."""
    known = {"documents": float(len(data)), "bytes": float(data.bytes.sum(dtype=np.int64))}
    terms = METHODS["text", name].cost.seconds
    return sum(term.value * math.prod(known[at] ** power for at, power in term.powers.items()) for term in terms)


def _scorers(data: Corpus, documents: int) -> Table:
    rows: list[dict[str, Any]] = [
        {
            "method": name,
            "seconds": _seconds(name, data),
            "scratch": documents * _VECTOR_BYTES.get(name, 0) / 1e6,
            "scores": documents * 12 / 1e6,
        }
        for name in _SCORERS
    ]
    columns = (
        Column("method", "method", "text"),
        Column("seconds", "time", unit="s"),
        Column("scratch", "disk while it runs", unit="MB"),
        Column("scores", "disk of the scores", unit="MB"),
    )
    return Table("scorers", "Scorers that need no language model, on an ordinary CPU worker.", columns, tuple(rows))


def _judges(tokens: float, params: ScorerCostParams) -> Table:
    rows: list[dict[str, Any]] = [
        {
            "parameters": size / 1e9,
            "operations": 2 * size * tokens / 1e15,
            "hours": 2 * size * tokens / params.operations_per_s / 3600,
            "price": tokens / 1e6 * params.price_per_million if params.price_per_million else None,
        }
        for size in _JUDGES
    ]
    columns = (
        Column("parameters", "parameters", unit="billion", decimals=2),
        Column("operations", "work", unit="10^15 operations", decimals=2),
        Column("hours", "time", unit="h", decimals=2),
        Column("price", "price of the input", decimals=2),
    )
    caption = f"A judge model that reads every distinct document once: {tokens:,.0f} tokens, no backward pass."
    return Table("judges", caption, columns, tuple(rows))


def _contrasts(contrast: list[dict[str, Any]], median: float) -> Table:
    columns = (
        Column("hashes", "hashes joined", decimals=0),
        Column("variation", "variation of densities", decimals=3),
        Column("densest", "densest over median", decimals=1),
    )
    caption = f"Exact densities of a sample at a width of 0.4 times the median distance ({median:.3f})."
    note = "Variation is the standard deviation over the mean; below 0.1 drawing by density is nearly uniform."
    return Table("contrast", caption, columns, tuple(contrast), note)


def _contrast(data: Corpus, rows: np.ndarray, ctx: Context) -> tuple[list[dict[str, Any]], float]:
    """Variation of exact kernel sums in a sample, by hashes joined; and the median distance."""
    sample = np.sort(rows[np.argsort(uniform(data.key[rows], ctx.seed, "contrast"), kind="stable")[:SAMPLE]])
    embedder = hashed.fit(data, sample, 64, ctx)
    x = np.concatenate([embedder(batch.column(0)) for batch in data.read(sample)]).astype(np.float64)
    x = x[x.any(axis=1)]
    distances = pdist(x)
    apart = distances[distances > 1e-9]
    median = float(np.median(apart)) if len(apart) else 1.0
    kernel = collision_probability("l2", squareform(distances), 0.4 * median)
    found: list[dict[str, Any]] = []
    for hashes in (1, 2, 4, 8):
        ctx.progress(hashes, 9, phase="contrast")
        sums = (kernel**hashes).sum(axis=1)
        variation = float(sums.std() / sums.mean()) if len(sums) else 0.0
        densest = float(sums.max() / np.median(sums)) if len(sums) else 1.0
        found.append({"hashes": hashes, "variation": variation, "densest": densest})
    return found, median
