"""Which tokens mean yes and which mean no, and what their probabilities come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from worker.contract.errors import JobError
from worker.llm.backend import Answer

_LEAST_LEFT = 1e-6  # rounding of the listed probabilities


def single_tokens(tokenizer: Any, spellings: Sequence[str]) -> list[int]:
    """Ids of the spellings that are one token, each once, in order.

    `tokenizer`: of transformers. A spelling counts both as it is encoded on its own and as a piece of the vocabulary
    (with the marks that sentencepiece and byte-level vocabularies use for a space). Raises `JobError`
    `model_unsuitable` where no spelling is one token: a first token then means nothing.
    """
    wanted = {spelling.strip() for spelling in spellings}
    found: dict[int, None] = {}
    for spelling in spellings:
        encoded: list[int] = tokenizer.encode(spelling, add_special_tokens=False)
        pieces = [tokenizer.convert_tokens_to_ids(mark + spelling.strip()) for mark in ("", "▁", "Ġ")]
        for token in [*(encoded if len(encoded) == 1 else []), *pieces]:
            if token is None or token == tokenizer.unk_token_id or token in found:
                continue
            if tokenizer.decode([token]).strip() in wanted:
                found[token] = None
    if not found:
        raise JobError(
            "model_unsuitable",
            f"The model has no single token for {spellings[0]!r}, so its first token is no answer.",
            hint="Use a model whose vocabulary has yes and no as words, or `score_kind` graded or vote.",
            pointer="/params/backend",
        )
    return list(found)


def plain(token: str) -> str:
    """A token as text: some servers show the marks of the vocabulary in place of spaces."""
    return token.replace("▁", " ").replace("Ġ", " ")


def summed(listed: Mapping[str, float], spellings: Iterable[str]) -> float:
    """Log of the summed probability of those spellings that a server listed; -inf where it listed none."""
    found = [listed[spelling] for spelling in dict.fromkeys(spellings) if spelling in listed]
    return float(np.logaddexp.reduce(found)) if found else -math.inf


def by_text(candidates: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Listed (token, log-probability) pairs by their plain text; pairs of equal text are summed."""
    found: dict[str, float] = {}
    for token, logp in candidates:
        text = plain(token)
        found[text] = float(np.logaddexp(found[text], logp)) if text in found else float(logp)
    return found


def from_listed(
    pairs: Sequence[tuple[str, float]], text: str, spent_in: int, spent_out: int, yes: Sequence[str], no: Sequence[str]
) -> Answer:
    """The answer that listed alternatives amount to. Of an answer that was not listed, every spelling is at most as
    likely as the least likely token that was, and all together at most what the listed ones leave of 1: an answer is
    taken as the lesser of the two."""
    listed = {token: logp for token, logp in by_text(pairs).items() if math.isfinite(logp)}
    if not listed:
        reason = "no probabilities in the answer" if text else "an empty answer"
        return Answer(n_in_tokens=spent_in, n_out_tokens=spent_out, raw=text[:40], reason=reason)
    logp_yes, logp_no, least = summed(listed, yes), summed(listed, no), min(listed.values())
    left = math.log(max(_LEAST_LEFT, 1 - math.fsum(map(math.exp, listed.values()))))
    mass = min(1.0, math.exp(logp_yes) + math.exp(logp_no))
    return Answer(
        logp_yes if math.isfinite(logp_yes) else min(left, least + math.log(len(yes))),
        logp_no if math.isfinite(logp_no) else min(left, least + math.log(len(no))),
        mass, spent_in, spent_out,
        raw=max(listed, key=lambda token: listed[token])[:40],
        censored=not math.isfinite(logp_yes),
    )  # fmt: skip


def said(text: str) -> str:
    """`yes`, `no` or "": what a written answer says with its first word."""
    first = next(iter("".join(c if c.isalpha() else " " for c in text.lower()).split()), "")
    return first if first in ("yes", "no") else ""
