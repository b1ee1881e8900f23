"""Answers that are paid for once: kept while a job runs, remembered for the jobs after it.

An answer is found by a key of the text that was asked about; what it depends on beside that (the prompt, the model,
its arithmetic, how it was asked) is in the name of the store. Within a job answers are durable two hundred at a time,
so an attempt that goes on after a kill asks nothing again; jobs that succeed leave them to later ones on the same
dataset, but for failures that may have passed by then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.llm.backend import Answer

KEY_BYTES = 32
_NUMBERS = ("logp_yes", "logp_no", "answer_mass")
_COUNTS = ("n_in_tokens", "n_out_tokens", "censored", "passing")


class Answers:
    """Answers by key (32 bytes), of one way of asking one model.

    `name`: a hash of that. `recalled`: how many were known before this job. `paid`: how many this job, its earlier
    attempts included, has asked for; `paid_in`, `paid_out`: tokens that it has spent on them.
    """

    def __init__(self, ctx: Context, name: str) -> None:
        self._ctx, self._name = ctx, f"answers/{name}"
        self._kept = ctx.keep(f"answers-{name[:16]}")
        self._known: dict[bytes, Answer] = {}
        earlier = ctx.recall(self._name)
        if earlier is not None:
            self._known.update(_read(earlier.arrays))
        self.recalled = len(self._known)
        self.paid = self.paid_in = self.paid_out = 0
        for entry in self._kept:
            self._take(list(_read(entry)))

    def __contains__(self, key: bytes) -> bool:
        """Whether it is known."""
        return key in self._known

    def __getitem__(self, key: bytes) -> Answer:
        """The answer; KeyError when it is not known."""
        return self._known[key]

    def add(self, keys: Sequence[bytes], answers: Sequence[Answer]) -> None:
        """Keep answers that were just given; they are on the disk when this returns."""
        pairs = list(zip(keys, answers, strict=True))
        self._kept.append(_written(pairs))
        self._take(pairs)

    def remember(self) -> None:
        """Leave all that is known to later jobs."""
        lasting = [(key, one) for key, one in self._known.items() if not one.passing]
        if lasting:
            self._ctx.remember(self._name, _written(lasting), {})

    def _take(self, pairs: Sequence[tuple[bytes, Answer]]) -> None:
        self._known.update(pairs)
        self.paid += len(pairs)
        self.paid_in += sum(one.n_in_tokens for _, one in pairs)
        self.paid_out += sum(one.n_out_tokens for _, one in pairs)


def _written(pairs: Sequence[tuple[bytes, Answer]]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {
        "key": np.frombuffer(b"".join(key for key, _ in pairs), np.uint8).reshape(-1, KEY_BYTES)
    }
    for name in _NUMBERS:
        arrays[name] = np.array([getattr(one, name) for _, one in pairs], np.float64)
    for name in _COUNTS:
        arrays[name] = np.array([getattr(one, name) for _, one in pairs], np.int64)
    for name in ("raw", "reason"):
        encoded = [getattr(one, name).encode("utf-8", "replace") for _, one in pairs]
        arrays[f"{name}_ends"] = np.cumsum([len(one) for one in encoded], dtype=np.int64)
        arrays[f"{name}_text"] = np.frombuffer(b"".join(encoded) or b"\0", np.uint8)  # never empty
    return arrays


def _read(arrays: dict[str, np.ndarray]) -> Iterator[tuple[bytes, Answer]]:
    def words(name: str) -> list[str]:
        ends, text = arrays[f"{name}_ends"].tolist(), arrays[f"{name}_text"].tobytes()
        return [text[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]

    columns = {name: arrays[name].tolist() for name in (*_NUMBERS, *_COUNTS)}
    columns |= {"raw": words("raw"), "reason": words("reason")}
    for at, key in enumerate(arrays["key"]):
        fields: dict[str, Any] = {name: column[at] for name, column in columns.items()}
        fields |= {"censored": bool(fields["censored"]), "passing": bool(fields["passing"])}
        yield key.tobytes(), Answer(**fields)


def known(answer: Answer) -> bool:
    """Whether there is a score."""
    return not answer.reason and math.isfinite(answer.logp_yes)
