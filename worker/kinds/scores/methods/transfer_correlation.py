"""Which benchmarks at one stage say what another stage will give? (arXiv:2602.11217)

Scores of the same runs (mixtures, summaries, proxies) at two stages are correlated across runs, benchmark by
benchmark, with intervals over runs; every benchmark gets a word by the rule of `worker.kinds.scores.words`. Beside it
stand what a decision at the first stage would lose, coherence of benchmarks, alignment of confidence with accuracy,
and, where single answers are known, calibration. The paper gives correlations of 9 runs without intervals; at 9 runs
most of them are undetermined, and the report says how many runs would settle them. Time is resamples x runs^2 x
benchmarks, and resamples x answers.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.evidence.findings import Findings
from worker.kinds.scores import panel, report, transfer
from worker.kinds.scores.calibrating import calibrated
from worker.kinds.scores.dataset import ScoreTable
from worker.kinds.scores.words import Rule

LOWER = ["perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "loss", "error", "wer"]


class TransferCorrelationParams(BaseModel):
    """Parameters of `transfer-correlation`."""

    model_config = ConfigDict(extra="forbid")

    stage_pair: list[str] = Field(
        [], max_length=2, description="The stage that is decided at and the stage that counts; needed of more than two."
    )
    metric: str = Field(
        "", description="What runs are compared by; blank: accuracy, and of a benchmark without it another of its own."
    )
    level: float = Field(
        0.3,
        ge=0,
        le=0.9,
        description="The correlation that a reliable benchmark exceeds and an unreliable one does not.",
    )
    false_discovery_rate: float = Field(
        0.05, gt=0, le=0.2, description="Share of wrong words among those given that is accepted, over all benchmarks."
    )
    lower_is_better: list[str] = Field(LOWER, max_length=100, description="Metrics of which less is better.")
    resamples: int = Field(2000, ge=200, le=20_000, description="Bootstrap resamples of runs.")
    permutations: int = Field(
        10_000, ge=1000, le=1_000_000, description="Random orders of the permutation test; up to 8 runs it takes all."
    )
    bins: int = Field(15, ge=2, le=100, description="Bins of calibration errors.")
    example_resamples: int = Field(500, ge=100, le=10_000, description="Bootstrap resamples of examples.")
    scatters: int = Field(24, ge=0, le=200, description="Benchmarks that get a scatter plot of their own.")


@method(
    kind="scores",
    task="compare",
    name="transfer-correlation",
    version=1,
    paper="arXiv:2602.11217",
    memory_mb=1024,
    # Measured on 3 to 20 benchmarks of 9 to 500 runs and 40,000 answers. Most of a benchmark's second is its drawing.
    cost=Cost(
        seconds=(
            Term(6.0),
            Term(1.0, {"benchmarks": 1}),
            Term(2.4e-9, {"params.resamples": 1, "benchmarks": 1, "runs": 2}),
            Term(6.5e-7, {"params.example_resamples": 1, "examples": 1}),
        ),
        memory_mb=(
            Term(250.0),
            Term(3e-4, {"examples": 1}),
            Term(3.2e-5, {"params.resamples": 1, "benchmarks": 1}),
        ),
    ),
)
def transfer_correlation(data: ScoreTable, params: TransferCorrelationParams, ctx: Context) -> Findings:
    """Which benchmarks at one stage predict the ranking of runs at another."""
    stages = panel.stages_of(data, params.stage_pair)
    found_panels = panel.panels(data, stages, params.metric, ctx)
    rule = Rule(params.level, params.false_discovery_rate)
    with ctx.part("correlations", 0, 2) as part:
        found = transfer.compare(
            found_panels, rule, part, lower_is_better=params.lower_is_better, resamples=params.resamples,
            permutations=params.permutations,
        )  # fmt: skip
    with ctx.part("calibration", 1, 2) as part:
        answers = calibrated(
            data.examples, stages, found_panels, part, bins=params.bins, resamples=params.example_resamples
        )
    asked = report.Asked(
        stages, rule, params.resamples, params.permutations, params.bins, params.example_resamples, params.scatters
    )
    return report.findings(found, answers, asked, tuple(ctx.warnings))
