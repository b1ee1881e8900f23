"""What a model itself holds of prompts, and what a server that lists its twenty likeliest tokens can say of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from worker.llm.answers import single_tokens
from worker.llm.backend import NO, YES
from worker.llm.hf_local import LocalModel

LISTED = 20
LIKELY, CLOSE = np.log(0.01), 1e-3


@dataclass(frozen=True)
class Truth:
    """Of n prompts: `logp` float64 (n, 2) of yes and of no over all spellings; `least` float64 (n,) of the least likely
    listed token; `listed` and `unlisted` int64 (n, 2), how many spellings of either are listed, and are not."""

    logp: np.ndarray
    least: np.ndarray
    listed: np.ndarray
    unlisted: np.ndarray

    @classmethod
    def of(cls, model: LocalModel, prompts: Sequence[str]) -> Truth:
        """One prompt at a time, from the logits of the model of a directory."""
        answers = [single_tokens(model.tokenizer, one) for one in (YES, NO)]
        logp: list[list[float]] = []
        least: list[float] = []
        unlisted: list[list[int]] = []
        for prompt in prompts:
            turn = [{"role": "user", "content": prompt}]
            text = model.tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
            with torch.inference_mode():
                logits = model.network(torch.tensor([model.tokenizer.encode(text)])).logits[0, -1]
            all_tokens = torch.log_softmax(logits.double(), -1)
            least.append(float(all_tokens.topk(LISTED).values[-1]))
            logp.append([float(all_tokens[ids].logsumexp(-1)) for ids in answers])
            unlisted.append([int((all_tokens[ids] < least[-1]).sum()) for ids in answers])
        spellings = np.array([len(ids) for ids in answers])
        return cls(np.array(logp), np.array(least), spellings - unlisted, np.array(unlisted))

    def check(self, remote: np.ndarray) -> None:
        """That log-probabilities float64 (n, 2) from a server are those of the model, as far as it can say them.

        A likely answer is the same. Any other is at most the model's own, and lower by no more than what spellings
        that are not listed can hold; one without a listed spelling is a bound, at most what six of them hold.
        """
        assert remote.shape == self.logp.shape
        likely, some = self.logp >= LIKELY, self.listed > 0
        least = np.broadcast_to(self.least[:, None], remote.shape)
        assert likely.any(axis=1).all()
        assert remote[likely] == pytest.approx(self.logp[likely], abs=CLOSE)
        assert (remote[some] <= self.logp[some] + CLOSE).all()
        with np.errstate(divide="ignore"):
            most = np.logaddexp(remote, least + np.log(self.unlisted))
        assert (self.logp[some] <= most[some] + CLOSE).all()
        assert (remote[~some] <= np.minimum(0.0, least[~some] + np.log(len(YES))) + CLOSE).all()
        assert (self.logp[~some] <= remote[~some] + CLOSE).all()
