"""Inputs made after public bug reports, which lie beside the clone: what is right for each of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kinds.bandit import uploads
from tests.shared_data import shared
from tests.unit.ingest.test_interactions import run
from worker.contract.errors import JobError
from worker.kinds.interactions.dataset import load

WHOLE = (320, 40, 30)
READ = {
    "gowalla.txt": WHOLE, "float_ids.csv": WHOLE, "label01.csv": WHOLE, "label01.npz": WHOLE, "spark.zip": WHOLE,
    "isostr.parquet": WHOLE, "boolrating.jsonl": WHOLE, "comment.csv": WHOLE, "sepline.csv": WHOLE,
    "hdr012.csv": WHOLE, "bx.csv": WHOLE, "decimal.parquet": WHOLE, "quotes_mid.tsv": (360, 60, 6),
    "mixednaive.csv": (72, 12, 6), "genres.csv": (72, 12, 6), "multiline.csv": (72, 12, 6),
}  # fmt: skip
TOLD = {
    "float_ids.csv": "written like 12.0", "label01.csv": "149 of 320 rows are rated 0",
    "label01.npz": "149 of 320 rows are rated 0", "mixednaive.csv": "no time zone", "hdr012.csv": "pandas",
    "quotes_mid.tsv": "Line 62 ",
}  # fmt: skip


def case(name: str, folder: Path) -> Path:
    """A copy of one of the inputs, where results can be written beside it."""
    source = shared("../cases/ingest") / name
    copied = shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder)
    return Path(copied)


@pytest.mark.parametrize("name", READ)
def test_interactions_when_awkward_then_all_rows_and_told(tmp_path: Path, name: str) -> None:
    result, _ = run(case(name, tmp_path))
    found = result["statistics"]
    assert (found["rows"], found["users"], found["items"]) == READ[name]
    assert name not in TOLD or any(TOLD[name] in warning for warning in result["warnings"])


def test_interactions_when_seconds_have_fractions_then_the_last_is_the_test(tmp_path: Path) -> None:
    data = load(run(case("fracsec.csv", tmp_path), split="leave_2")[1])
    (test,) = data.events.item[(data.events.user == 0) & (data.events.split == 2)]
    assert data.item_ids[test] == "0"


def test_interactions_when_a_split_is_published_as_files_then_kept(tmp_path: Path) -> None:
    path = case("splits.zip", tmp_path)
    assert any("split=files" in warning for warning in run(path)[0]["warnings"])
    assert run(path, split="files")[0]["statistics"]["rows"] == 320


@pytest.mark.parametrize(
    ("name", "pointer"), [("steam400.parquet", "/columns/user"), ("date_hour.csv", "/columns/timestamp")]
)
def test_interactions_when_not_to_be_known_then_refused(tmp_path: Path, name: str, pointer: str) -> None:
    path = case(name, tmp_path)
    with pytest.raises(JobError) as refused:
        run(path, split="leave_2")
    assert refused.value.pointer == pointer


def upload(name: str, folder: Path) -> Path:
    """One of the logs as an upload of its own."""
    path = folder / "up"
    path.mkdir()
    copied = case(name, path)
    return copied if copied.is_dir() else path


@pytest.mark.parametrize(("name", "width"), [("b_ctxfree.csv", 0), ("b_ctxstr.csv", 2), ("b_bool.jsonl", 2), ("b6", 2)])
def test_bandit_when_awkward_then_contexts_and_actions(tmp_path: Path, name: str, width: int) -> None:
    log, _ = uploads.read(upload(name, tmp_path), {"builtin_targets": ["uniform"]})
    assert (log.n, log.n_actions, log.x.shape[1]) == (600, 4, width)
    assert 0 < log.reward.mean() < 1
    policy, expected = {"b6": ("new", 0.6013), "b_ctxfree.csv": ("uniform", 0.356)}.get(name, ("uniform", 0.4783))
    weight = log.targets[policy].at(log.action) / log.propensity
    assert (weight * log.reward).sum() / weight.sum() == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(("name", "words"), [("b_vw_two.vw", "2 labels"), ("b_adf.vw", "cb_adf")])
def test_bandit_when_vw_says_more_than_one_action_then_refused_by_name(tmp_path: Path, name: str, words: str) -> None:
    assert words in uploads.refusal(upload(name, tmp_path)).detail


def test_bandit_when_a_page_has_two_propensities_then_told(tmp_path: Path) -> None:
    _, told = uploads.read(upload("b_slate.csv", tmp_path))
    assert any('columns={"propensity": "pscore_item_position"}' in warning for warning in told["warnings"])
