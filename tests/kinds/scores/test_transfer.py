"""The whole comparison on tables whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kinds.scores.planted import answers, rows, write_csv
from tests.kinds.scores.test_correlation import A, B
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.findings import Findings
from worker.evidence.report import build
from worker.kinds.scores import dataset, panel, report_tables
from worker.kinds.scores.dataset import ScoreTable
from worker.kinds.scores.ingest import ingest
from worker.kinds.scores.methods.transfer_correlation import TransferCorrelationParams, transfer_correlation


def loaded(folder: Path, *tables: list[dict[str, Any]]) -> ScoreTable:
    sources = [(f"{at}.csv", write_csv(folder / f"{at}.csv", table)) for at, table in enumerate(tables)]
    (folder / "canonical").mkdir(exist_ok=True)
    ingest(sources, {}, folder / "canonical", Context(), {})
    return dataset.load(folder / "canonical")


def compared(data: ScoreTable, **params: Any) -> Findings:
    given = TransferCorrelationParams(
        **({"scatters": 1, "resamples": 400, "permutations": 2000, "example_resamples": 100} | params)
    )
    return transfer_correlation(data, given, Context(seed=3))


def table_of(found: Findings, name: str) -> list[dict[str, Any]]:
    return list(next(table for table in found.tables if table.name == name).rows)


def benchmarks(found: Findings) -> dict[str, dict[str, Any]]:
    return {one["benchmark"]: one for one in found.verdict.details["benchmarks"]}


def test_planted_benchmarks_get_their_words_and_the_report_says_them(tmp_path: Path):
    table = rows(runs=14, each=1)
    found = compared(loaded(tmp_path, table, answers(table)))
    words = {name: one["word"] for name, one in benchmarks(found).items()}
    assert words == {"follows-0": "reliable", "noise-0": "undetermined", "reverses-0": "unreliable"}
    assert found.status == "Reliable in part"
    assert "reverses-0 is unreliable, of which reversing" in found.verdict.sentence
    assert any("noise-0" in one for one in found.verdict.settled_by)
    decisions = {one["benchmark"]: one for one in table_of(found, "decisions")}
    assert decisions["follows-0"]["pairwise"] > 85 > 20 > decisions["reverses-0"]["pairwise"]
    (suite,) = (one for one in table_of(found, "suites") if one["suite"] == "follows")
    assert suite["accuracy"] == pytest.approx(benchmarks(found)["follows-0"]["pearson"])
    assert {one["stage"] for one in table_of(found, "calibration-all")} == {"pretrained", "tuned"}
    assert {"transfer", "coherence-first", "regret", "reliability", "scatter-1-follows-0"} <= {
        p.name for p in found.plots
    }
    report = build(found, {"method": "transfer-correlation", "task": "compare", "kind": "scores"})
    assert report.json["verdict"]["benchmarks"][0]["benchmark"] == "follows-0"
    assert "Which benchmarks can be trusted" in report.markdown


def paper(**more: Any) -> list[dict[str, Any]]:
    return [
        {"run": f"m{at}", "stage": stage, "benchmark": "b", "metric": "accuracy", "value": value} | more
        for stage, values in (("pt", A), ("sft", B))
        for at, value in enumerate(values.tolist())
    ]


def test_nine_runs_in_a_table_have_the_known_correlations(tmp_path: Path):
    found = compared(loaded(tmp_path, paper()), resamples=2000)
    (row,) = table_of(found, "verdicts")
    assert row["pearson"] == pytest.approx(0.895929, abs=5e-7)
    assert row["kendall"] == pytest.approx(0.777778, abs=5e-7)
    assert row["word"] == "undetermined"  # rho is 0.87, and its interval reaches below 0.3
    assert row["needed"] > 9


def test_seeds_are_averaged_before_runs_are_compared(tmp_path: Path):
    noisy = [one | {"value": one["value"] + sign * 0.2, "seed": sign} for sign in (-1, 1) for one in paper()]
    (row,) = table_of(compared(loaded(tmp_path, noisy)), "verdicts")
    assert row["pearson"] == pytest.approx(0.895929, abs=5e-7)


def test_scales_are_compared_one_by_one(tmp_path: Path):
    """Two scales of pure noise, far apart: pooled they would correlate at nearly 1."""
    rng = np.random.default_rng(0)
    table = [
        {"run": f"m{at}", "stage": stage, "benchmark": "b", "scale": scale, "metric": "accuracy",
         "value": float(level + 0.01 * rng.standard_normal())}
        for scale, level in (("240M", 0.3), ("1B", 0.7)) for at in range(10) for stage in ("pt", "sft")
    ]  # fmt: skip
    found = compared(loaded(tmp_path, table))
    assert {one["scale"] for one in table_of(found, "verdicts")} == {"240M", "1B"}
    assert {one["word"] for one in found.verdict.details["benchmarks"]} <= {"undetermined", "unreliable"}
    assert found.status in ("Undetermined", "Unreliable")
    assert any("one by one" in one for one in found.warnings)


def test_three_stages_are_refused_without_a_pair_and_compared_with_one(tmp_path: Path):
    table = [*paper(), *(one | {"stage": "rl"} for one in paper()[:9])]
    data = loaded(tmp_path, table)
    with pytest.raises(JobError) as caught:
        compared(data)
    assert caught.value.pointer == "/params/stage_pair"
    assert "'rl'" in caught.value.detail
    found = compared(data, stage_pair=["pt", "rl"])
    assert table_of(found, "verdicts")[0]["pearson"] == pytest.approx(1)
    for pair in (["pt", "none"], ["pt", "pt"]):
        with pytest.raises(JobError):
            compared(data, stage_pair=pair)


@pytest.mark.parametrize("pair", [["pretrained"], ["tuned", "tuned"]])
def test_a_pair_of_one_stage_is_refused(pair: list[str], tmp_path: Path):
    with pytest.raises(JobError, match="alone") as caught:
        compared(loaded(tmp_path, rows(runs=6, each=1)), stage_pair=pair)
    assert caught.value.pointer == "/params/stage_pair"


def test_very_many_benchmarks_are_refused_and_many_are_not_shown_two_by_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = loaded(tmp_path, rows(runs=6, each=1))
    monkeypatch.setattr(report_tables, "MOST_PAIRED", 2)
    found = compared(data)
    assert not any(table.name == "coherence" for table in found.tables)
    assert any("not of every two" in one for one in found.warnings)
    monkeypatch.setattr(panel, "MOST_BENCHMARKS", 2)
    with pytest.raises(JobError, match="3 benchmarks are more than the 2") as caught:
        compared(data)
    assert caught.value.hint


def test_a_metric_that_nothing_has_is_refused_with_those_that_are_there(tmp_path: Path):
    with pytest.raises(JobError) as caught:
        compared(loaded(tmp_path, paper()), metric="f1")
    assert caught.value.pointer == "/params/metric"
    assert "accuracy" in caught.value.hint


def test_of_perplexity_less_is_better(tmp_path: Path):
    table = [one | {"metric": "perplexity", "value": 20 - 10 * one["value"]} for one in paper()]
    found = compared(loaded(tmp_path, table))
    assert table_of(found, "verdicts")[0]["pearson"] == pytest.approx(0.895929, abs=5e-7)
    (made,) = table_of(found, "decisions")
    assert (made["favourite"], made["best"], made["regret"]) == ("m6", "m6", 0)


def test_a_constant_benchmark_has_no_correlation_and_a_reason(tmp_path: Path):
    table = [*paper(), *(one | {"benchmark": "c", "value": 0.25} for one in paper())]
    found = compared(loaded(tmp_path, table))
    constant = benchmarks(found)["c"]
    assert (constant["pearson"], constant["word"]) == (None, "undetermined")
    assert "all the same" in constant["reason"]
    assert any("no correlation exists" in one for one in found.warnings)
    build(found, {})  # JSON without NaN


def test_runs_of_one_stage_are_left_out_with_a_word(tmp_path: Path):
    table = [*paper(), {"run": "lone", "stage": "pt", "benchmark": "b", "metric": "accuracy", "value": 0.9}]
    found = compared(loaded(tmp_path, table))
    assert benchmarks(found)["b"]["runs"] == 9
    assert any("lone" in one for one in found.warnings)


def test_within_mixtures_only_their_own_runs_count(tmp_path: Path):
    """Mixtures differ much at both stages; among the runs of one there is only noise."""
    rng = np.random.default_rng(1)
    table = [
        {"run": f"{mixture}{at}", "stage": stage, "benchmark": "b", "mixture": mixture, "metric": "accuracy",
         "value": float(level + 0.01 * rng.standard_normal())}
        for mixture, level in (("web", 0.3), ("code", 0.6)) for at in range(8) for stage in ("pt", "sft")
    ]  # fmt: skip
    found = compared(loaded(tmp_path, table))
    assert benchmarks(found)["b"]["pearson"] > 0.95
    assert all(abs(one["transfer"]) < 0.8 for one in table_of(found, "mixtures"))


def test_missing_scores_leave_pairs_of_runs_out_and_not_the_benchmark(tmp_path: Path):
    table = [*paper(), *(one | {"benchmark": "c"} for one in paper() if one["run"] not in ("m0", "m1"))]
    found = compared(loaded(tmp_path, table))
    assert (benchmarks(found)["b"]["runs"], benchmarks(found)["c"]["runs"]) == (9, 7)
    assert benchmarks(found)["c"]["pearson"] == pytest.approx(np.corrcoef(A[2:], B[2:])[0, 1])


def test_noise_of_measurement_is_shown_where_examples_are_counted(tmp_path: Path):
    (row,) = table_of(compared(loaded(tmp_path, paper(n_examples=5000))), "noise")
    assert row["corrected"] > row["observed"]
