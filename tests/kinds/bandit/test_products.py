"""What bandit jobs deliver: files that come back as they were, and judge themselves in that form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from tests.planted_bandit import tiny_bandit
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import METHODS
from worker.contract.product import Origin, Product
from worker.kinds.bandit import KIND
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.methods.importance_rounds import ImportanceRoundsParams, importance_rounds
from worker.kinds.bandit.methods.log_diagnostics import LogDiagnosticsParams, log_diagnostics
from worker.kinds.bandit.methods.random_rounds import RandomRoundsParams, random_rounds
from worker.kinds.bandit.methods.summary_policy import NoParams, summary_policy
from worker.kinds.bandit.summary import LearntPolicy, RoundsSummary


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> BanditLog:
    return KIND.load(tiny_bandit(tmp_path_factory.mktemp("log")))


def test_kind_when_a_dataset_is_loaded_then_torch_is_not_imported(tmp_path: Path):
    folder = tiny_bandit(tmp_path)
    code = (
        "import sys, pathlib; from worker.kinds.bandit import KIND; "
        f"print(KIND.load(pathlib.Path({str(folder)!r})).n, 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["600", "False"]


def test_kind_when_asked_for_a_product_then_knows_both_by_name():
    assert KIND.product("policy") is LearntPolicy
    assert KIND.product("rounds") is RoundsSummary
    assert (KIND.unit, KIND.units) == ("round", "rounds")


def test_rounds_when_written_and_read_then_are_the_same_with_their_origin(log: BanditLog, tmp_path: Path):
    made = importance_rounds(log, ImportanceRoundsParams(budget="10%"), Context(seed=4))
    assert made.origin == Origin("importance-rounds", settings={"budget": "10%", "targets": ["target"], "seed": 4})
    made.write(tmp_path, log)
    about = json.loads((tmp_path / "summary.json").read_text())
    assert about["origin"] == made.origin.to_json()
    back = RoundsSummary.read(tmp_path)
    assert back.origin == made.origin
    for name in ("action", "reward", "propensity", "weight"):
        np.testing.assert_array_equal(getattr(back.log, name), getattr(made.log, name))
    assert parquet.read_table(tmp_path / "rounds.parquet")["round_weight"].to_pylist() == made.log.weight.tolist()
    assert KIND.describe(tmp_path / "dataset")["statistics"]["rounds"] == made.log.n


@pytest.mark.parametrize(("product", "file"), [(LearntPolicy, "policy.json"), (RoundsSummary, "summary.json")])
def test_products_when_their_files_are_of_another_format_then_are_refused(
    product: type[Product], file: str, tmp_path: Path
):
    (tmp_path / file).write_text(json.dumps({"format": "something else", "version": 1}))
    with pytest.raises(ValueError, match="does not describe"):
        product.read(tmp_path)


def test_adopted_rounds_when_of_another_version_then_are_judged_like_ours(log: BanditLog):
    assert KIND.adopt is not None
    picked = random_rounds(log, RandomRoundsParams(budget="30%"), Context(seed=1))
    adopted = KIND.adopt(log, picked.log)
    params = KIND.judging.params()(learn=False, seeds=2)
    ours, theirs = (one.judge(log, params, Context(seed=1)) for one in (picked, adopted))
    assert theirs.tables == ours.tables
    asked = summary_policy(log, NoParams(), Context(seed=1, inputs={"summary": adopted}, evaluate=params))
    assert asked.tables == ours.tables


def test_inputs_when_of_the_wrong_sort_then_say_what_is_wanted(log: BanditLog):
    rounds = random_rounds(log, RandomRoundsParams(budget="30%"), Context())
    for run, params, name in (
        (log_diagnostics, LogDiagnosticsParams(), "policy"),
        (summary_policy, NoParams(), "summary"),
    ):
        wrong = rounds if name == "policy" else object()
        with pytest.raises(JobError) as caught:
            run(log, params, Context(inputs={name: wrong}))
        assert caught.value.pointer == f"/inputs/{name}"
        assert [one.name for one in METHODS["bandit", run.__name__.replace("_", "-")].inputs][:1] == [name]
