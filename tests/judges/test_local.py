"""A model from a directory: what it is asked, batches, padding, both sorts of networks."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.kinds.text.judging_prompt import Prompt
from worker.llm.answers import said, single_tokens
from worker.llm.backend import NO, YES, open_backend
from worker.llm.hf_local import LocalModel, batches, padded

PROMPT = Prompt("signal-1", "probability")


def opened(folder: Path, **fields: Any) -> LocalModel:
    found = open_backend({"judge": {"backend": "hf-local", "path": str(folder), **fields}}, "judge", Context())
    assert isinstance(found, LocalModel)
    return found


def scores(model: LocalModel, prompts: list[str]) -> np.ndarray:
    return np.array([(one.logp_yes, one.logp_no) for one in model.score(prompts, YES, NO)])


@pytest.mark.parametrize("kind", ["checkpoint", "t5"])
def test_score_when_in_batches_of_any_size_and_padded_on_any_side_then_is_that_of_one_prompt_alone(
    kind: str, request: pytest.FixtureRequest, pool: tuple[list[str], list[bool]]
):
    model = opened(request.getfixturevalue(kind))
    prompts = [PROMPT.about(text * (1 + at % 3)) for at, text in enumerate(pool[0][:8])]
    alone = np.concatenate([scores(model, [one]) for one in prompts])
    assert np.isfinite(alone).all()
    model.batch_tokens = 10**6
    assert scores(model, prompts) == pytest.approx(alone, abs=1e-4)
    model.padding = "right"
    assert scores(model, prompts) == pytest.approx(alone, abs=1e-4)
    model.batch_tokens = 1
    assert scores(model, prompts) == pytest.approx(alone, abs=1e-4)


def test_score_of_a_causal_model_is_the_softmax_of_all_yes_tokens_after_the_template(
    checkpoint: Path, pool: tuple[list[str], list[bool]]
):
    model = opened(checkpoint)
    prompt = PROMPT.about(pool[0][0])
    text = model.tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
    )
    with torch.inference_mode():
        logits = model.network(torch.tensor([model.tokenizer.encode(text)])).logits[0, -1].double().numpy()
    likely = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    ids = {model.tokenizer.encode(word)[0] for word in YES if len(model.tokenizer.encode(word)) == 1}
    assert len(ids) >= 2
    [answer] = model.score([prompt], YES, NO)
    assert answer.logp_yes == pytest.approx(math.log(sum(likely[list(ids)])), abs=1e-5)
    assert answer.n_in_tokens == len(model.tokenizer.encode(text)) == model.size(prompt)


class _Fixed(torch.nn.Module):
    """A network whose logits after any prompt are given."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)
        self.config = SimpleNamespace(is_encoder_decoder=False, get_text_config=lambda: None)

    def forward(self, input_ids: torch.Tensor, attention_mask: Any, position_ids: Any, use_cache: bool = False) -> Any:
        return SimpleNamespace(logits=self.logits.expand(*input_ids.shape, -1))


class _Words:
    """A tokenizer of five words."""

    words = ("yes", " Yes", "no", "a", "<unk>")
    unk_token_id, pad_token_id, eos_token_id, chat_template, is_fast = 4, 3, 3, None, False

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [self.words.index(text)] if text in self.words else [3, 3]

    def convert_tokens_to_ids(self, token: str) -> int:
        return self.words.index(token) if token in self.words else 4

    def decode(self, ids: list[int]) -> str:
        return self.words[ids[0]]

    def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[3] * len(text) for text in texts]}


def test_score_of_fixed_logits_is_the_log_softmax_computed_by_hand():
    words: Any = _Words()
    model = LocalModel("n", "m", "float32", "i", words, _Fixed([2.0, 1.0, 0.5, -1.0, 0.0]))
    total = math.log(sum(math.exp(x) for x in (2.0, 1.0, 0.5, -1.0, 0.0)))
    for answer in model.score(["ab", "abcd", "a"], YES, NO):
        assert answer.logp_yes == pytest.approx(math.log(math.exp(2) + math.exp(1)) - total, abs=1e-6)
        assert answer.logp_no == pytest.approx(0.5 - total, abs=1e-6)
        assert answer.answer_mass == pytest.approx(1 - (math.exp(-1) + 1) / math.exp(total), abs=1e-6)


def test_a_model_without_a_token_for_yes_is_refused():
    class OnlyNo(_Words):
        words = ("n", "o", "no", "a", "<unk>")

    assert single_tokens(OnlyNo(), NO) == [2]
    with pytest.raises(JobError) as refused:
        single_tokens(OnlyNo(), YES)
    assert refused.value.code == "model_unsuitable"


def test_head_when_a_text_is_long_then_is_its_very_beginning_in_as_many_tokens(
    checkpoint: Path, pool: tuple[list[str], list[bool]]
):
    model = opened(checkpoint)
    text = "  Größe  und\tMaß! " + pool[0][3] * 4
    head = model.head(text, 40)
    assert text.startswith(head)
    assert 30 <= len(model.tokenizer.encode(head)) <= 41
    assert model.head("short", 40) == "short"
    assert model.head(text, 0) == ""


def test_prompt_when_longer_than_the_context_then_has_no_score_and_the_others_have(
    checkpoint: Path, pool: tuple[list[str], list[bool]]
):
    long, short = opened(checkpoint).score(["word " * 2_000, PROMPT.about(pool[0][0])], YES, NO)
    assert "context" in long.reason
    assert math.isnan(long.logp_yes)
    assert not short.reason


def test_a_directory_that_holds_no_model_is_refused_without_naming_it(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nothing"}))
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(JobError) as refused:
            opened(path)
        assert refused.value.code == "model_unavailable"
        assert str(tmp_path) not in refused.value.detail + refused.value.hint


def test_a_checkpoint_that_is_broken_is_refused(checkpoint: Path, tmp_path: Path):
    folder = tmp_path / "broken"
    shutil.copytree(checkpoint, folder)
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(JobError, match="cannot be read") as refused:
        opened(folder)
    assert str(folder) not in refused.value.detail + refused.value.hint


def test_identity_when_weights_or_dtype_change_then_changes(checkpoint: Path, t5: Path):
    one = opened(checkpoint).identity
    assert one == opened(checkpoint).identity
    assert len({one, opened(checkpoint, dtype="bfloat16").identity, opened(t5).identity}) == 3


def test_scoring_when_stopped_then_ends(checkpoint: Path):
    def told(done: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        opened(checkpoint).score(["a", "b"], YES, NO, told)


def test_batches_hold_like_lengths_within_the_budget_and_every_prompt_once():
    lengths = [5, 90, 7, 30, 8, 31, 200]
    found = list(batches(lengths, 64))
    assert sorted(at for batch in found for at in batch) == list(range(7))
    assert found[0] == [6]
    assert all(len(batch) == 1 or max(lengths[at] for at in batch) * len(batch) <= 64 for batch in found)


def test_padding_is_masked_on_the_side_asked_for():
    ids, mask = padded([[1, 2], [3]], 9, "left")
    assert (ids.tolist(), mask.tolist()) == ([[1, 2], [9, 3]], [[1, 1], [0, 1]])
    ids, mask = padded([[1, 2], [3]], 9, "right")
    assert (ids.tolist(), mask.tolist()) == ([[1, 2], [3, 9]], [[1, 1], [1, 0]])


def test_a_written_answer_is_read_by_its_first_word():
    assert [said(text) for text in ("Yes.", " **no**, because", "yesterday", "", "maybe yes")] == [
        "yes", "no", "", "", "",
    ]  # fmt: skip


def test_generated_text_when_drawn_with_a_seed_then_is_the_same_again(
    checkpoint: Path, pool: tuple[list[str], list[bool]]
):
    from worker.llm.backend import Sampling

    model = opened(checkpoint)
    prompts = [PROMPT.about(text) for text in pool[0][:2]]
    one = model.generate(prompts, None, 4, Sampling(1.0, 7))
    assert one == model.generate(prompts, None, 4, Sampling(1.0, 7))
    assert all(text.n_out_tokens <= 4 for text in one)
    assert model.generate(prompts[::-1], None, 4, Sampling(1.0, 7)) == one[::-1]  # whatever else is asked
    assert model.generate(prompts[1:], None, 4, Sampling(1.0, 7)) == one[1:]
    many = [model.generate(prompts[:1], None, 4, Sampling(50.0, seed))[0].text for seed in range(8)]
    assert len(set(many)) > 1
    [shaped] = model.generate(prompts[:1], {"type": "object"}, 4)
    assert shaped.reason
