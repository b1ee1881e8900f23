"""Uploads of score tables: three forms of them, and refusals that name the field and the cure."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.kinds.scores.planted import answers, rows, write_csv
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.scores import dataset
from worker.kinds.scores.ingest import ingest

Table = list[dict[str, Any]]


@pytest.fixture
def uploaded(tmp_path: Path) -> Callable[..., tuple[dataset.ScoreTable, dict[str, Any]]]:
    """Ingest tables by file name -> the version and what was said of it."""

    def run(options: dict[str, Any] | None = None, **tables: Table) -> tuple[dataset.ScoreTable, dict[str, Any]]:
        sources = [(f"{name}.csv", write_csv(tmp_path / f"{name}.csv", table)) for name, table in tables.items()]
        return ingested(sources, options or {}, tmp_path)

    return run


def ingested(
    sources: list[tuple[str, Path]], options: dict[str, Any], folder: Path
) -> tuple[dataset.ScoreTable, dict[str, Any]]:
    out = folder / "canonical"
    out.mkdir()
    said = ingest(sources, options, out, Context(), {})
    return dataset.load(out), said


def refused(run: Callable[..., Any], code: str, detail: str, pointer: str, **tables: Table) -> JobError:
    with pytest.raises(JobError) as caught:
        run(**tables)
    assert (caught.value.code, caught.value.pointer) == (code, pointer)
    assert detail in caught.value.detail
    assert caught.value.hint
    return caught.value


def test_long_table_and_answers_come_back_as_uploaded(uploaded: Callable[..., Any]):
    table = rows(runs=5, each=1)
    version, said = uploaded(scores=table, answers=answers(table, 4))
    assert len(version) == len(table)
    assert version.stages == ("pretrained", "tuned")
    assert said["statistics"] | {"runs": 5, "benchmarks": 3, "common_runs": 5, "examples": 120} == said["statistics"]
    of = {tuple(one[name] for name in ("run", "stage", "benchmark", "metric")): one["value"] for one in table}
    w = version.words
    keys = zip(w["run"], w["stage"], w["benchmark"], w["metric"], strict=True)
    assert [of[key] for key in keys] == version.value.tolist()
    assert version.examples is not None
    assert len(version.examples) == 120


def test_rows_in_another_order_give_the_same_files_but_for_the_order_of_stages(tmp_path: Path):
    table = rows(runs=5, each=1)
    shuffled = [table[at] for at in np.random.default_rng(0).permutation(len(table))]
    files = []
    for name, one in (("a", table), ("b", shuffled)):
        (tmp_path / name).mkdir()
        ingested([("scores.csv", write_csv(tmp_path / f"{name}.csv", one))], {}, tmp_path / name)
        files.append((tmp_path / name / "canonical" / dataset.SCORES_FILE).read_bytes())
    assert files[0] == files[1]


def test_answers_alone_are_summed_up(uploaded: Callable[..., Any]):
    given = answers(rows(runs=4, each=1), 25)
    version, said = uploaded(answers=given)
    w = version.words
    (at,) = np.flatnonzero(
        (w["run"] == "run02") & (w["stage"] == "tuned") & (w["benchmark"] == "noise-0") & (w["metric"] == "accuracy")
    )
    mine = [one for one in given if (one["run"], one["stage"], one["benchmark"]) == ("run02", "tuned", "noise-0")]
    assert version.value[at] == pytest.approx(np.mean([one["correct"] for one in mine]))
    assert version.n_examples[at] == 25
    assert "computed from answers" in said["warnings"][0]


def test_parquet_with_other_names_is_read_by_the_column_map(tmp_path: Path):
    table = [{"model": one["run"], "when": one["stage"], "task": one["benchmark"], "acc": one["value"]}
             for one in rows(runs=4, each=1) if one["metric"] == "accuracy"]  # fmt: skip
    parquet.write_table(pa.Table.from_pylist(table), tmp_path / "t.parquet")
    version, said = ingested(
        [("t.parquet", tmp_path / "t.parquet")], {"columns": {"stage": "when", "value": "acc"}}, tmp_path
    )
    assert set(version.words["metric"]) == {"accuracy"}
    assert "name no metric" in said["warnings"][0]


def harness_file(accuracy: float, n: int = 200) -> str:
    results = {
        "arc_easy": {"alias": "arc_easy", "acc,none": accuracy, "acc_stderr,none": 0.01, "acc_norm,none": accuracy / 2},
        "boolq": {"acc,none": accuracy - 0.1, "acc_stderr,none": "N/A"},
        "all": {"acc,none": accuracy, "alias": "all"},
    }
    counts = {"arc_easy": {"original": 2 * n, "effective": n}}
    return json.dumps(
        {"results": results, "n-samples": counts, "group_subtasks": {"all": ["arc_easy", "boolq"], "boolq": []}}
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("{run}/{stage}/results_2026.json", {}),
        ("{run}__{stage}.json", {}),
        ("eval/{stage}-{run}/r.json", {"names": "{stage}-{run}/*.json"}),
    ],
)
def test_harness_results_in_a_zip_become_scores(name: str, options: dict[str, str], tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "results.zip", "w") as archive:
        for number in range(4):
            for stage in ("pt", "sft"):
                archive.writestr(name.format(run=f"m{number}", stage=stage), harness_file(0.5 + number / 10))
    version, said = ingested([("results.zip", tmp_path / "results.zip")], options, tmp_path)
    w = version.words
    assert set(w["benchmark"]) == {"arc_easy", "boolq"}  # the mean over the group is no benchmark
    assert set(w["metric"]) == {"accuracy", "acc_norm"}
    assert version.stages == ("pt", "sft")
    arc = (w["benchmark"] == "arc_easy") & (w["metric"] == "accuracy") & (w["run"] == "m2") & (w["stage"] == "sft")
    assert version.value[arc] == pytest.approx([0.7])
    assert (version.n_examples[arc], version.stderr[arc]) == (200, 0.01)
    assert np.isnan(version.stderr[w["benchmark"] == "boolq"]).all()
    assert set(w["category"]) == {"all"}
    assert said["statistics"]["common_runs"] == 4


def test_harness_results_whose_names_say_no_run_are_refused_with_the_option(tmp_path: Path):
    (tmp_path / "r.json").write_text(harness_file(0.5))
    with pytest.raises(JobError) as caught:
        ingested([("r.json", tmp_path / "r.json")], {}, tmp_path)
    assert caught.value.pointer == "/options/names"


@pytest.mark.parametrize("names", ["{run}.json", "{run}{stage}{run}", "{run}/{stage}/{day}"])
def test_patterns_without_run_and_stage_are_refused(names: str, tmp_path: Path):
    (tmp_path / "r.json").write_text(harness_file(0.5))
    with pytest.raises(JobError) as caught:
        ingested([("r.json", tmp_path / "r.json")], {"names": names}, tmp_path)
    assert caught.value.pointer == "/options/names"


def test_two_values_of_one_score_are_refused_unless_seeds_tell_them_apart(uploaded: Callable[..., Any]):
    table = rows(runs=4, each=1)
    refused(uploaded, "invalid_input", "stands there twice", "/columns/seed", scores=[*table, dict(table[0])])


def test_seeds_are_kept_apart(uploaded: Callable[..., Any]):
    table = rows(runs=4, each=1)
    version, _ = uploaded(scores=[one | {"seed": seed} for seed in (0, 1) for one in table])
    assert len(version) == 2 * len(table)


def test_confidence_outside_its_range_is_refused(uploaded: Callable[..., Any]):
    table = rows(runs=4, each=1)
    wrong = next(one for one in table if one["metric"] == "confidence")
    wrong["value"] = 1.2
    refused(uploaded, "invalid_input", "outside [0, 1]", "/columns/value", scores=table)


def test_too_few_common_runs_and_a_single_stage_are_refused(uploaded: Callable[..., Any]):
    table = rows(runs=4, each=1)
    few = [one for one in table if one["stage"] == "tuned" or one["run"] in ("run00", "run01")]
    refused(uploaded, "too_few_rows", "the most is 2", "/columns/run", scores=few)


def test_a_single_stage_is_refused(uploaded: Callable[..., Any]):
    one_stage = [one for one in rows(runs=4, each=1) if one["stage"] == "tuned"]
    refused(uploaded, "invalid_input", "two stages", "/columns/stage", scores=one_stage)


@pytest.mark.parametrize(
    ("change", "detail", "pointer"),
    [
        ({"correct": 2}, "it is 0 or 1", "/columns/correct"),
        ({"confidence": 98}, "outside [0, 1]", "/columns/confidence"),
        ({"example_id": "q1"}, "a second time", "/columns/example_id"),
    ],
)
def test_answers_that_cannot_be_are_refused(
    uploaded: Callable[..., Any], change: dict[str, Any], detail: str, pointer: str
):
    table = rows(runs=3, each=1)
    given = answers(table, 3)
    given[0] |= change
    refused(uploaded, "invalid_input", detail, pointer, scores=table, answers=given)


def test_per_cent_become_shares_and_a_mixture_of_both_is_refused(uploaded: Callable[..., Any]):
    table = rows(runs=4, each=1)
    for one in table:
        if one["metric"] == "accuracy":
            one["value"] = 100 * float(str(one["value"]))
    table[0]["value"] = 0.5
    refused(uploaded, "invalid_input", "per cent", "/columns/value", scores=table)


def test_per_cent_are_said(uploaded: Callable[..., Any]):
    table = [one | {"value": 100 * one["value"]} for one in rows(runs=4, each=1) if one["metric"] == "accuracy"]
    version, said = uploaded(scores=table)
    assert version.value.max() < 1
    assert "per cent" in said["warnings"][0]


def test_missing_values_are_left_out_and_infinite_ones_refused(uploaded: Callable[..., Any]):
    table = rows(runs=4, each=1)
    table[0]["value"] = ""
    table[1]["value"] = "inf"
    refused(uploaded, "invalid_input", "infinite", "/columns/value", scores=table)


def test_a_table_without_stages_names_what_it_lacks(uploaded: Callable[..., Any]):
    table = [{name: one[name] for name in ("run", "benchmark", "value")} for one in rows(runs=4, each=1)]
    refused(uploaded, "unknown_column", "stage", "/columns/stage", scores=table)


def test_shares_of_one_benchmark_among_per_cent_of_others_are_refused(uploaded: Callable[..., Any]):
    table = [one for one in rows(runs=4, each=1) if one["metric"] == "accuracy"]
    table = [one | {"value": 100 * one["value"]} if one["category"] != "noise" else one for one in table]
    problem = refused(uploaded, "invalid_input", "noise-0", "/columns/value", scores=table)
    assert "as shares" in problem.hint


def test_sizes_and_errors_that_cannot_be_are_counted(uploaded: Callable[..., Any]):
    table = [one | {"stderr": 0.01} for one in rows(runs=4, each=1)]
    table[0]["n_examples"], table[1]["stderr"], table[2]["stderr"] = 0, -0.1, -0.2
    version, said = uploaded(scores=table)
    assert said["warnings"] == [
        "1 values of n_examples are not above 0 and were taken as unknown.",
        "2 values of stderr are below 0 and were taken as unknown.",
    ]
    assert (int(np.isnan(version.n_examples).sum()), int(np.isnan(version.stderr).sum())) == (1, 2)


def test_a_wide_table_is_refused_with_the_line_that_makes_it_long(uploaded: Callable[..., Any]):
    wide = [{"run": f"r{run}", "stage": stage, "arc": 0.1, "mmlu": 0.2} for run in range(4) for stage in ("a", "b")]
    assert 'df.melt(["run", "stage"]' in refused(uploaded, "unknown_column", "arc", "/columns/benchmark", t=wide).hint
