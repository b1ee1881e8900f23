"""Judging chosen rounds: the policies learnt on them, going on after a kill, and ending when the time is over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.planted_bandit import tiny_bandit
from worker.contract.context import Checkpoint, Context
from worker.contract.errors import Cancelled, JobError, TimeOver
from worker.evidence.findings import Findings
from worker.kinds.bandit import canonical
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.judge import EvaluateParams, judge_rounds
from worker.kinds.bandit.methods.random_rounds import RandomRoundsParams, random_rounds

PARAMS = EvaluateParams(seeds=2)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> BanditLog:
    return canonical.load(tiny_bandit(tmp_path_factory.mktemp("log")))


@pytest.fixture(scope="module")
def kept(log: BanditLog) -> BanditLog:
    return random_rounds(log, RandomRoundsParams(budget="20%"), Context(seed=1)).log


class Ending(Context):
    """Stops, or runs out of time, at the first report of progress on `label`; counts reports of trainings."""

    def __init__(
        self, label: str = "", *, time_over: bool = False, points: Mapping[str, Checkpoint] | None = None
    ) -> None:
        super().__init__(seed=1, _points=dict(points or {}))
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


def test_judging_when_killed_while_policies_are_learnt_then_goes_on_with_the_one_it_was_at(log, kept):
    undisturbed = Ending()
    whole = judged(log, kept, undisturbed)
    killed = Ending(f"learn on random rounds {kept.n}")
    with pytest.raises(Cancelled):
        judged(log, kept, killed)
    done = [path for path, point in killed.saved.items() if point.done]
    assert done == ["/policies/all rounds", "/policies/this summary"]
    resumed = Ending(points=killed.saved)
    again = judged(log, kept, resumed)
    assert (again.tables, again.plots, again.verdict) == (whole.tables, whole.plots, whole.verdict)
    assert again.warnings == whole.warnings
    assert killed.reports + resumed.reports == undisturbed.reports, "no training is repeated"


def test_judging_when_time_ends_after_the_policies_compared_then_only_the_curve_is_shorter(log, kept):
    whole = judged(log, kept, Ending())
    ctx = Ending("learn on random rounds 64", time_over=True)
    found = judged(log, kept, ctx)
    assert found.tables == whole.tables
    assert any("random rounds of every size" in text for text in found.warnings)
    curves = [next(plot for plot in one.plots if plot.name == "size").series[0] for one in (whole, found)]
    assert set(curves[1].x) < set(curves[0].x)


def test_judging_when_time_ends_before_policies_are_learnt_then_compares_estimates_alone_and_says_so(log, kept):
    found = judged(log, kept, Ending("learn on this summary", time_over=True))
    alone = judged(log, kept, Ending(), EvaluateParams(seeds=2, learn=False))
    assert found.tables == alone.tables
    assert found.verdict == alone.verdict
    assert any("before policies were learnt" in text for text in found.warnings)


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
