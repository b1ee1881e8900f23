"""Judging chosen rounds: going on after a kill, ending when the time is over, and what the verdict says when."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest

from tests.planted_bandit import tiny_bandit
from worker.contract.context import Checkpoint, Context
from worker.contract.errors import Cancelled, JobError, TimeOver
from worker.evidence.findings import Findings
from worker.kinds.bandit import canonical
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimators import PerRound
from worker.kinds.bandit.intervals import normal
from worker.kinds.bandit.judge import EvaluateParams, judge_rounds
from worker.kinds.bandit.learning.params import PolicyGradientParams
from worker.kinds.bandit.methods.random_rounds import RandomRoundsParams, random_rounds
from worker.kinds.bandit.rounds import evidence, learning
from worker.kinds.bandit.rounds.comparison import FULL, SUMMARY, PolicyComparison
from worker.kinds.bandit.rounds.coresets import RANDOM
from worker.kinds.bandit.rounds.estimates import Kept

PARAMS = EvaluateParams(seeds=2)


@pytest.fixture(scope="module", autouse=True)
def short_trainings() -> Iterator[None]:
    """Five epochs a training: what is tried here is which trainings run, not how well they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "DEFAULTS", PolicyGradientParams(epochs=5))
        yield


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> BanditLog:
    return canonical.load(tiny_bandit(tmp_path_factory.mktemp("log"), rounds=300))


@pytest.fixture(scope="module")
def kept(log: BanditLog) -> BanditLog:
    return random_rounds(log, RandomRoundsParams(budget="20%"), Context(seed=1)).log


class Ending(Context):
    """Stops, or runs out of time, at the first report of progress on `label`; counts reports of trainings."""

    def __init__(
        self,
        label: str = "",
        *,
        time_over: bool = False,
        points: Mapping[str, Checkpoint] | None = None,
        content: str = "",
    ) -> None:
        super().__init__(seed=1, content=content, _points=dict(points or {}))
        self.label, self.time_over = label, time_over
        self.reports = 0
        self.saved: dict[str, Checkpoint] = {}

    def save_checkpoint(self, points: Mapping[str, Checkpoint]) -> None:
        self.saved = {path: replace(point, state=json.loads(json.dumps(point.state))) for path, point in points.items()}

    def report_progress(self, step: int, total: int, phase: str, metrics: Mapping[str, float], fraction: float) -> None:
        self.reports += phase.startswith("k = ")
        if self.label and phase == self.label:
            if self.time_over:
                raise TimeOver
            self.stop()


def judged(log: BanditLog, kept: BanditLog, ctx: Context, params: EvaluateParams = PARAMS) -> Findings:
    return judge_rounds(log, kept, (), params, ctx)


@pytest.fixture(scope="module")
def undisturbed(log: BanditLog, kept: BanditLog) -> tuple[Ending, Findings]:
    ctx = Ending()
    return ctx, judged(log, kept, ctx)


def test_judging_when_killed_while_policies_are_learnt_then_goes_on_with_the_one_it_was_at(log, kept, undisturbed):
    ctx, whole = undisturbed
    killed = Ending(f"learn on random rounds {kept.n}")
    with pytest.raises(Cancelled):
        judged(log, kept, killed)
    done = [path for path, point in killed.saved.items() if point.done]
    assert done == ["/policies/all rounds", "/policies/this summary"]
    resumed = Ending(points=killed.saved)
    again = judged(log, kept, resumed)
    assert (again.tables, again.plots, again.verdict) == (whole.tables, whole.plots, whole.verdict)
    assert again.warnings == whole.warnings
    assert killed.reports + resumed.reports == ctx.reports, "no training is repeated"


def test_judging_when_another_job_has_learnt_on_the_same_version_then_learns_on_the_summary_alone(log, kept):
    first = Ending(content="abc")
    whole = judged(log, kept, first)
    figures = {key: replace(one, job="7f") for key, one in first._figures.items()}
    second = Ending(content="abc")
    second._figures = figures
    again = judged(log, kept, second)
    assert again.tables == whole.tables
    assert 0 < second.reports < first.reports / 2
    assert f"Learnt in the earlier job 7f: all rounds, random rounds {kept.n}, " in again.protocol
    assert "this summary" not in again.protocol
    larger = random_rounds(log, RandomRoundsParams(budget="25%"), Context(seed=1)).log
    third = Ending(content="abc")
    third._figures = figures
    assert judged(log, larger, third).plots == judged(log, larger, Ending()).plots, (
        "other rounds are drawn beside others"
    )
    elsewhere = Ending(f"learn on random rounds {kept.n}", content="abd")
    elsewhere._figures = figures
    with pytest.raises(Cancelled):
        judged(log, kept, elsewhere)
    assert elsewhere.reports > second.reports, "figures of another version are not taken"


def test_judging_when_time_ends_after_the_policies_compared_then_only_the_curve_is_shorter(log, kept, undisturbed):
    whole = undisturbed[1]
    ctx = Ending("learn on random rounds 64", time_over=True)
    found = judged(log, kept, ctx)
    assert found.tables == whole.tables
    assert "random rounds of other sizes" in found.unfinished
    assert not whole.unfinished
    curves = [next(plot for plot in one.plots if plot.name == "size").series[0] for one in (whole, found)]
    assert set(curves[1].x) < set(curves[0].x)


def test_judging_when_time_ends_before_policies_are_learnt_then_compares_estimates_alone_and_says_so(log, kept):
    found = judged(log, kept, Ending("learn on this summary", time_over=True))
    alone = judged(log, kept, Ending(), EvaluateParams(seeds=2, learn=False))
    assert found.tables == alone.tables
    assert found.verdict == alone.verdict
    assert "no policies were learnt" in found.unfinished


def test_judging_when_time_ends_before_anything_then_lets_it_be_known(log, kept):
    with pytest.raises(TimeOver):
        judged(log, kept, Ending("estimates", time_over=True))


def test_judging_when_learning_warns_then_the_report_says_of_which_rounds(log, kept):
    def unknown(one: BanditLog) -> BanditLog:
        return replace(one, logging=None)

    found = judged(unknown(log), unknown(kept), Ending())
    assert any(
        text.startswith("Learning on all rounds and on this summary: Without the logging policy")
        for text in found.warnings
    )


def test_judging_when_the_rounds_are_of_another_log_then_refuses(log, kept):
    with pytest.raises(JobError) as caught:
        judged(log, replace(kept, n_actions=13), Ending())
    assert caught.value.pointer == "/inputs/summary"


# Verdicts


def values(gain: float, seed: int, n: int = 2000) -> PerRound:
    """A policy's per-round values; all share most of their noise, as paired estimates do."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=n) + 0.1 * np.random.default_rng(seed).normal(size=n)
    return PerRound(np.zeros(n), 1.0 + gain + noise - noise.mean())


def compared(log: BanditLog, kept: BanditLog, ours: float, random: float) -> Findings:
    """Findings where the policy of all rounds earns 1, ours and that of random rounds by so much more."""
    names = {FULL: values(0.0, 2), SUMMARY: values(ours, 3), RANDOM: values(random, 4)}
    learnt = PolicyComparison(2000, names, values(-0.5, 5), dict.fromkeys(names, 10), 0.05, 0.05, (), "snips")
    estimates = [Kept("target", normal(values(0, 2)), 1.0, {RANDOM: np.full(20, 0.1)})]
    return evidence.findings(log, kept, estimates, learnt, draws=20, warnings=())


@pytest.mark.parametrize(
    ("ours", "random", "status"),
    [
        (0.0, -0.3, "equivalent"),
        (0.0, 0.0, "cheap_would_do"),
        (0.0, 0.3, "cheap_is_better"),
        (-0.3, -0.3, "short"),
        (-0.3, 0.0, "cheap_is_better"),
    ],
)
def test_verdict_when_policies_are_compared_then_the_paired_difference_to_random_rounds_decides_too(
    log, kept, ours, random, status
):
    verdict = compared(log, kept, ours, random).verdict
    assert verdict.status == status
    assert verdict.low < ours < verdict.high
    assert verdict.value == pytest.approx(ours, abs=1e-9)
    assert verdict.details["over_random"] == pytest.approx(ours - random, abs=1e-9)
    assert "random rounds of the same number" in verdict.sentence


@pytest.mark.parametrize(
    ("error", "draws", "status"),
    [
        (0.01, 20, "ahead"),
        (0.10, 20, "cheap_would_do"),
        (0.50, 20, "cheap_is_better"),
        (0.01, 9, "undetermined"),
    ],
)
def test_verdict_when_only_estimates_are_compared_then_the_draws_of_the_best_cheap_pick_decide(
    log, kept, error, draws, status
):
    spread = np.linspace(0.05, 0.15, draws)
    full = normal(values(0.0, 2))
    one = Kept("target", full, full.value + error, {RANDOM: spread, "top rewards": spread + 1.0})
    verdict = evidence.findings(log, kept, [one], None, draws=draws, warnings=()).verdict
    assert verdict.status == status
    assert verdict.value == pytest.approx(error)
    assert "the best cheap pick, random rounds" in verdict.sentence
    assert bool(verdict.reasons) == (status == "undetermined")


def test_judging_when_too_few_rounds_were_kept_to_learn_from_then_compares_estimates_and_says_so(log):
    few = random_rounds(log, RandomRoundsParams(budget=10), Context(seed=1)).log
    found = judged(log, few, Context(seed=1))
    assert any("No policies were learnt" in text and "30 is the fewest" in text for text in found.warnings)
    assert "policies" not in {table.name for table in found.tables}
    assert found.verdict.sentence
