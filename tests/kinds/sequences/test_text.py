from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kinds.sequences.planted import prose
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import learners_of
from worker.evidence.measurements import Ratio
from worker.evidence.statistics import resample, value_of
from worker.kinds.sequences import dataset, ingest
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.splits import TEST, TRAIN, VALIDATION
from worker.kinds.sequences.upload import text

LEARNERS = learners_of("sequences")


def ingested(folder: Path, files: dict[str, str], **options: Any) -> tuple[Sequences, dict[str, Any], Context]:
    sources = []
    for name, content in files.items():
        (folder / name).write_text(content)
        sources.append((name, folder / name))
    (folder / "out").mkdir()
    ctx = Context()
    said = ingest.ingest(sources, options, folder / "out", ctx)
    return dataset.load(folder / "out"), said, ctx


def test_windows_when_cut_then_every_token_but_the_first_of_a_part_is_predicted_once():
    tokens = np.arange(23, dtype=np.int32)
    rows, codes = text.windows({TRAIN: tokens[:11], VALIDATION: tokens[11:12], TEST: tokens[12:]}, 4)
    assert [rows.row(at).tolist() for at in range(3)] == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [8, 9, 10]]
    assert codes.tolist() == [TRAIN] * 3 + [TEST] * 3
    predicted = np.concatenate([rows.row(at)[1:] for at in range(len(rows))]).tolist()
    assert predicted == [*range(1, 11), *range(13, 23)]


def test_words_when_read_then_lines_end_in_eos_and_rare_ones_are_unknown(tmp_path: Path):
    train = "a b a b\nb a c\n" * 20
    data, said, ctx = ingested(
        tmp_path,
        {"train.txt": train, "valid.txt": "a b\n" * 8, "test.txt": "a d c\n" * 5},
        max_len=10,
        content="text",
    )
    assert data.is_text
    assert sorted(data.vocabulary.tolist()) == ["<eos>", "<unk>", "a", "b", "c"]
    assert data.options["split"] == "given"
    assert said["detection"]["format"] == "text"
    assert any("5 test tokens" in warning and "<unk>" in warning for warning in ctx.warnings)
    first = data.vocabulary[data.rows.row(0)].tolist()
    assert first == ["a", "b", "a", "b", "<eos>", "b", "a", "c", "<eos>", "a", "b"]


def test_text_when_no_part_is_named_then_its_end_is_held_out(tmp_path: Path):
    data, _, _ = ingested(tmp_path, {"book.txt": prose(300)}, max_len=16)
    tokens = {part: int((np.diff(data.held(part).indptr) - 1).sum()) for part in ("validation", "test")}
    train = int((np.diff(data.training().indptr) - 1).sum())
    whole = len(prose(300).split()) + 300
    assert train == pytest.approx(0.8 * whole, abs=3)
    assert tokens["validation"] == pytest.approx(0.1 * whole, abs=3)
    assert tokens["test"] == pytest.approx(0.1 * whole, abs=3)


def test_characters_when_read_then_line_ends_are_among_them(tmp_path: Path):
    data, _, _ = ingested(tmp_path, {"play.txt": prose(200)}, tokeniser="char", max_len=32)
    assert "".join(data.vocabulary[data.rows.row(0)].tolist()) == prose(200)[:33]
    assert "<eos>" not in data.vocabulary


@pytest.mark.parametrize(
    ("files", "options", "said", "pointer"),
    [
        ({"a.txt": "a\n" * 500}, {"tokeniser": "ids", "content": "text"}, "1 different tokens", "/options/tokeniser"),
        ({"a.txt": prose(90)}, {"min_item_count": 1000}, "1 different tokens", "/options/min_item_count"),
        ({"a.txt": ""}, {"content": "text"}, "0 different tokens", "/options/min_item_count"),
        ({"a.txt": prose(90)}, {"split": "temporal"}, "whole stretches", "/options/split"),
        ({"a.txt": prose(90)}, {"split": "given"}, "needs a split column", "/options/split"),
        ({"a.txt": prose(3)}, {"content": "text", "max_len": 500}, "windows", "/options/max_len"),
        ({"a.txt": prose(90)}, {"split": "leave_one_out"}, "whole stretches", "/options/split"),
        ({"test.txt": prose(90)}, {}, "named train", "/options/split"),
        ({"train.txt": prose(90), "more.txt": prose(9)}, {}, "others are not", "/options/split"),
        (
            {"a.txt": " ".join(str(number) for number in range(260_000))},
            {"content": "text", "tokeniser": "ids"},
            "different tokens",
            "/options/min_item_count",
        ),
    ],
)
def test_text_when_it_cannot_be_used_then_says_which_option_cures_it(
    files: dict[str, str], options: dict[str, Any], said: str, pointer: str, tmp_path: Path
):
    with pytest.raises(JobError, match=said) as refused:
        ingested(tmp_path, files, **options)
    assert refused.value.pointer == pointer
    assert refused.value.hint


def test_unigram_and_bigram_when_asked_then_are_the_formulas_on_counts():
    rows = Rows.of([[0, 1, 0, 1, 2], [1, 0, 2]])
    data = TrainingSet.of(rows, 4, 10)
    targets = [1, 0, 1, 2, 0, 2]
    share = (np.bincount(targets, minlength=4) + 0.5) / (len(targets) + 2)
    asked = Rows.of([[0, 1, 3], [2, 0]])
    unigram = LEARNERS["unigram"].prepare(data, None, Context()).fit({}, Context())
    assert unigram.surprise(asked) == pytest.approx([-np.log(share[1]) - np.log(share[3]), -np.log(share[0])])
    bigram = LEARNERS["bigram"].prepare(data, None, Context()).fit({"discount": 0.5}, Context())
    # 0 -> 1 twice, 0 -> 2 once; 1 -> 0 twice, 1 -> 2 once; 2 -> nothing
    after_0 = np.array([0, 1.5 / 3, 0.5 / 3, 0]) + (1.0 / 3) * share
    assert bigram.probabilities(np.array([0, 2])) == pytest.approx(np.array([after_0, share]))
    assert bigram.probabilities(np.arange(4)).sum(axis=1) == pytest.approx(np.ones(4))
    expected = [-np.log(after_0[1]) - np.log((1.0 / 3) * share[3]), -np.log(share[0])]
    assert bigram.surprise(asked) == pytest.approx(expected)


def test_language_models_when_trained_then_beat_the_unigram_and_their_surprise_is_that_of_their_scores(tmp_path: Path):
    data, _, _ = ingested(tmp_path, {"book.txt": prose(400)}, max_len=12)
    train = TrainingSet.of(data.training().rows, data.n_items, data.max_len)
    held = data.held("test")
    predicted = float((held.lengths - 1).sum())
    found = {}
    settings = {"causal-lm": {"steps": 60, "dropout": 0.0}, "lstm": {"steps": 40, "dropout": 0.0}, "unigram": {}}
    for name, chosen in (settings | {"bigram": {"discount": 0.5}}).items():
        model = LEARNERS[name].prepare(train, None, Context()).fit(chosen, Context())
        found[name] = float(np.exp(model.surprise(held).sum() / predicted))
        if name in ("causal-lm", "lstm"):
            one = held.take(np.array([0]))
            total = 0.0
            for at in range(1, len(one.items)):
                scores = model.scores(Rows.of([one.items[:at].tolist()]))[0].astype(np.float64)
                total -= scores[one.items[at]] - np.log(np.exp(scores).sum())
            assert model.surprise(one)[0] == pytest.approx(total, rel=1e-4)
    assert found["bigram"] < 0.8 * found["unigram"]
    assert found["causal-lm"] < 0.8 * found["unigram"]
    assert found["lstm"] < 0.9 * found["unigram"]


def test_perplexity_when_resampled_then_is_e_to_the_mean_surprise_per_token():
    ratio = Ratio(np.array([2.0, 6.0]), np.array([1.0, 3.0]), exponential=True)
    assert value_of(ratio) == pytest.approx(np.exp(2.0))
    assert resample([ratio], resamples=20)[:, 0] == pytest.approx(np.full(20, np.exp(2.0)))


@pytest.mark.parametrize("ids", [False, True])
def test_text_when_a_column_says_the_parts_then_they_are_kept(ids: bool, tmp_path: Path):
    parts = ["test", "train", "valid"]
    rows = [{"split": parts[at % 3]} | ({"input_ids": [at % 3, 7] * 8} if ids else {"text": f"{parts[at % 3]} word"})
            for at in range(90)]  # fmt: skip
    file = "".join(json.dumps(row) + "\n" for row in rows)
    options = {"tokeniser": "ids", "content": "text"} if ids else {}
    data, _, _ = ingested(tmp_path, {"a.jsonl": file}, max_len=10, min_item_count=1, **options)
    assert data.options["split"] == "given"
    held = data.vocabulary[data.items[data.split == TEST]].tolist()
    assert set(data.vocabulary[data.items[data.split == TRAIN]]) >= {"7" if ids else "word"}
    assert "<unk>" in held and "7" in held if ids else "<unk>" in held and "word" in held
    assert np.bincount(data.split).tolist() == [np.bincount(data.split)[0]] * 3


def test_text_when_a_part_is_empty_then_is_read_and_a_warning_says_that_nothing_can_be_measured(tmp_path: Path):
    data, said, _ = ingested(tmp_path, {"train.txt": prose(90), "test.txt": ""})
    assert not len(data.held("test"))
    assert any("nothing can be measured" in warning for warning in said["warnings"])
