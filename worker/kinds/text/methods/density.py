"""Keep documents that lie where few others do: redundancy goes, rare topics stay, and nobody is asked for an opinion.

Density sampling of "How to Train Data-Efficient LLMs" (arXiv:2402.09668, section 3.3): the sum of kernels of a document
with all others is estimated by a RACE sketch in one pass and looked up in a second; documents are then drawn without
replacement in proportion to its inverse. The last line of the paper's Algorithm 2 says in proportion to the density;
its text, Theorem A.2 and the proof need the inverse, which `direction: inverse` is.

Kernels are too wide at the published setting: densities then differ by a few percent and drawing is nearly uniform.
Here the width is 0.4 of the median distance of 2,000 documents, and as many hashes are joined as it takes for all
unrelated documents (those at the median distance) together to add no more than 1 % of what a document adds to itself.
Where densities still vary by less than a tenth, the report warns.

Two passes of O(N d R p), R B counters in memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy.spatial.distance import pdist

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.executor.passes import map_shards, run_pass
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.embedding.vectors import Block, EmbedParams, Vectors, aligned, embedded
from worker.kinds.text.noise import gumbel, uniform
from worker.kinds.text.selection import candidates, deliver, top
from worker.kinds.text.sizes import size_asked
from worker.kinds.text.summary import TextSummary
from worker.numerics import inclusion, sketch
from worker.numerics.compiled import while_waiting
from worker.numerics.lsh import Hashes, KernelName, collision_probability
from worker.numerics.sketch import Sketch

SAMPLE = 2_000
MOST_HASHES = 8
_UNRELATED = 0.01
_EVEN_BELOW = 0.1


class DensityParams(EmbedParams):
    """Parameters of `density`."""

    kernel: KernelName = Field(
        "l2", description="Distance of vectors: Euclidean, sum of absolute differences, or the angle."
    )
    width: float | None = Field(
        None, gt=0, description="Width of a hash, at most 10 times the median distance; unset: 0.4 of the median."
    )
    hashes: int | None = Field(
        None,
        ge=1,
        le=MOST_HASHES,
        description="Hashes joined to a bucket, which sharpen the kernel; unset: as many as make unrelated documents "
        "add at most 1 %. The spread of densities is in the report.",
    )
    rows: int = Field(1000, ge=32, le=4096, description="Independent buckets of a document; errors fall by the root.")
    range: int = Field(
        20_000, ge=1024, le=1 << 22, description="Counters of a row; at least ten times the root of the documents."
    )
    direction: Literal["inverse", "direct", "top", "bottom"] = Field(
        "inverse", description="Draw by inverse density, by density, or keep the densest or the rarest documents."
    )
    sampling: Literal["gumbel", "poisson", "systematic"] = Field(
        "gumbel",
        description="Drawing one after the other; or by fixed inclusion probabilities, independently (the size is then "
        "random) or in equal steps, with weights that make totals unbiased.",
    )
    clip: float = Field(1e4, ge=1, le=1e12, description="Most that the weights of two documents may differ by.")


@method(
    kind="text",
    task="select",
    name="density",
    version=1,
    paper="arXiv:2402.09668",
    memory_mb=1536,
    cost=Cost(
        seconds=(Term(5.0), Term(4e-4, {"documents": 1}), Term(3e-7, {"bytes": 1})),
        memory_mb=(Term(700), Term(1e-4, {"documents": 1})),
    ),
)
def density(data: Corpus, params: DensityParams, ctx: Context) -> TextSummary:
    """Documents drawn by the inverse of how many others are like them: coverage without repetition."""
    rows = candidates(data, params, ctx)
    _check_drawing(params)
    size_asked(data, rows, params)  # what cannot be kept is said before the work
    with embedded(data, rows, params, ctx) as (known, vectors), ctx.part("densities", 1, 2) as part:
        median = median_distance(vectors, data.key[known], params.kernel, ctx.seed)
        hashes = hash_functions(params, vectors, median, ctx.seed)
        densities = estimate(vectors, hashes, part)
    picked, scores, weights, facts = draw(data, known, densities, params, ctx.seed)
    spread = facts["coefficient_of_variation"]
    if spread < _EVEN_BELOW:
        ctx.warn(
            f"Densities vary by {spread:.1%} only: this is almost the same as drawing at random. A smaller width or "
            "more hashes tell documents apart."
        )
    facts |= {"median_distance": median, "width": hashes.width, "hashes": hashes.hashes, "range": hashes.buckets}
    settings = params.model_dump() | {"documents": len(picked)}
    return deliver(
        data, params, picked, {name: aligned(rows, known, one) for name, one in scores.items()}, rows,
        Origin("density", settings=settings), weights, tuple(ctx.warnings), facts,
    )  # fmt: skip


def _check_drawing(params: DensityParams) -> None:
    if params.kernel == "angular" and params.width is not None:
        raise JobError(
            "invalid_input",
            "The hash of angles has no width.",
            hint="Leave width out, or take kernel l2 or l1; hashes makes angles sharper.",
            pointer="/params/width",
        )
    if params.sampling == "gumbel":
        return
    if params.direction in ("top", "bottom"):
        raise JobError(
            "invalid_input",
            f"direction {params.direction} draws nothing, so sampling {params.sampling} has no meaning.",
            hint="Leave sampling out, or take direction inverse.",
            pointer="/params/sampling",
        )
    if params.group_floor:
        raise JobError(
            "invalid_input",
            f"Sampling {params.sampling} keeps to its inclusion probabilities and cannot promise a share of a source.",
            hint="Leave group_floor out, or sampling.",
            pointer="/params/group_floor",
        )


def hash_functions(params: DensityParams, vectors: Vectors, median: float, seed: int) -> Hashes:
    """The hash functions that the parameters ask for, of vectors whose median distance is known.

    Raises `JobError` for a width above 10 medians.
    """
    if params.width is not None and params.width > 10 * median:
        raise JobError(
            "invalid_input",
            f"The width {params.width:g} is more than ten times the median distance, {median:.4g}: all would be alike.",
            hint=f"Leave width out for {0.4 * median:.4g}, or take at most {10 * median:.4g}.",
            pointer="/params/width",
        )
    width = params.width or 0.4 * median
    hashes = params.hashes or _hashes_needed(params.kernel, median, width, vectors.count)
    buckets = max(params.range, math.ceil(10 * math.sqrt(vectors.count)))
    return Hashes(params.kernel, vectors.dimension, width, hashes, params.rows, buckets, seed)


def _hashes_needed(kernel: KernelName, median: float, width: float, documents: int) -> int:
    """The fewest p with documents k(median)^p <= 0.01, at most 8."""
    probability = float(collision_probability(kernel, median, width))
    if probability <= 0:
        return 1
    if probability >= 1:
        return MOST_HASHES
    return min(MOST_HASHES, max(1, math.ceil(math.log(_UNRELATED / documents) / math.log(probability))))


def median_distance(vectors: Vectors, keys: np.ndarray, kernel: KernelName, seed: int) -> float:
    """Of the pairs of up to 2,000 documents, those that differ; 1 where all are alike."""
    places = np.argsort(uniform(keys, seed, "distances"), kind="stable")[:SAMPLE]
    sample = vectors.take(places).astype(np.float64)
    if kernel == "angular":
        lengths = np.linalg.norm(sample, axis=1, keepdims=True)
        distances = np.arccos(np.clip(1 - pdist(sample / lengths, "sqeuclidean") / 2, -1, 1))
    else:
        distances = pdist(sample, "euclidean" if kernel == "l2" else "cityblock")
    apart = distances[distances > 1e-9 * distances.max(initial=0.0)]
    return float(np.median(apart)) if len(apart) else 1.0


def estimate(vectors: Vectors, hashes: Hashes, ctx: Context) -> np.ndarray:
    """Sums of kernels with all vectors, float64 (n,): a pass that counts and one that looks up."""
    while_waiting(sketch.warm_up, lambda: ctx.progress(0, 1, phase="density sketch"))
    blocks = vectors.blocks()
    counts, total = run_pass(Count(hashes), blocks, _added, ctx, name="density sketch", total=2)
    scores = map_shards(LookUp(hashes, counts, total), blocks, ctx, name="densities", step=1, total=2)
    return np.concatenate(list(scores))


@dataclass(frozen=True)
class Count:
    """The map of a pass: the counters of a block, and how many vectors it has."""

    hashes: Hashes

    def __call__(self, block: Block) -> tuple[np.ndarray, int]:
        """Of one block."""
        partial = Sketch(self.hashes)
        partial.add(block.read())
        return partial.counts, partial.count


def _added(one: tuple[np.ndarray, int], other: tuple[np.ndarray, int]) -> tuple[np.ndarray, int]:
    counts = sketch.merged(one[0], other[0], one[1] + other[1])
    return counts, one[1] + other[1]


@dataclass(frozen=True)
class LookUp:
    """The map of a pass: the densities of a block by the counters of all."""

    hashes: Hashes
    counts: np.ndarray
    count: int

    def __call__(self, block: Block) -> np.ndarray:
        """Of one block."""
        return Sketch(self.hashes, self.counts, self.count).densities(block.read())


def draw(
    data: Corpus, rows: np.ndarray, densities: np.ndarray, params: DensityParams, seed: int
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray | None, dict[str, Any]]:
    """What is picked of documents `rows` by their densities (aligned): numbers; the scores of all of `rows`; weights of
    the picked, where sampling has any; facts."""
    raw = densities if params.direction in ("direct", "top") else 1 / densities
    weights = inclusion.clipped(raw, params.clip)
    facts: dict[str, Any] = {
        "coefficient_of_variation": float(densities.std() / densities.mean()),
        "effective_sample_size": inclusion.effective_size(weights),
        "clipped": int((raw < weights).sum()),
    }
    scores = {"density": densities, "weight": weights}
    if params.direction in ("top", "bottom"):
        return top(data, rows, raw, params), scores, None, facts
    if params.sampling == "gumbel":
        picked = top(data, rows, np.log(weights) + gumbel(data.key[rows], seed, "density"), params)
        by_number = size_asked(data, rows, params).unit == "documents"
        if params.group_floor or not by_number:  # how likely a document was to be in depends on source or length, too
            return picked, scores, None, facts
        probabilities, exact = inclusion.successive_inclusion(weights, len(picked))
        facts["inclusion"] = "exact" if exact else "asymptotic"
        return picked, scores | {"inclusion_prob": probabilities}, None, facts
    size = size_asked(data, rows, params)
    probabilities = inclusion.proportional_inclusion(weights, size.amount, size.of(data, rows))
    noise = uniform(data.key[rows], seed, "density")
    if params.sampling == "poisson":
        places = inclusion.poisson(probabilities, noise)
    else:
        places = inclusion.systematic(probabilities, noise, float(np.random.default_rng(seed).random()))
    if not len(places):
        raise JobError(
            "budget_too_small",
            f"{size.amount:,} {size.unit} were asked for, and independent draws picked no document.",
            hint="Ask for more, or take sampling systematic.",
            pointer="/params/sampling",
        )
    facts["inclusion"] = "exact"
    return rows[places], scores | {"inclusion_prob": probabilities}, 1 / probabilities[places], facts
