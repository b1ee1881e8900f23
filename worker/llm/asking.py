"""Asking a model for a judgement of many texts, in one of the ways it can give one.

    probability    the probability that its first token is yes (or no)
    grade          a number from 0 to 100, written as JSON; the mean of three
    votes          how often it writes yes, of five times drawn at temperature 1

Figures of different ways are not comparable: whoever ranks by them asks all documents in one way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from worker.llm.answers import said
from worker.llm.backend import NO, YES, Answer, Backend, Generated, Sampling, Told

Way = Literal["probability", "grade", "votes"]
GRADES, VOTES = 3, 5
GRADE_TOKENS, VOTE_TOKENS = 24, 4
GRADE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"score": {"type": "integer"}},
    "required": ["score"],
    "additionalProperties": False,
}


def ask(backend: Backend, prompts: Sequence[str], way: Way, seed: int, told: Told) -> list[Answer]:
    """One answer a prompt. A grade g is the share (g + 0.5) / 101, v of m votes the share (v + 0.5) / (m + 1): shares
    whose logarithm is finite."""
    if way == "probability":
        return backend.score(prompts, YES, NO, told)
    if way == "grade":
        drawn = _several(backend, prompts, GRADES, seed, told, schema=GRADE_SCHEMA, tokens=GRADE_TOKENS)
        return [_pooled(many, _grade, lambda found: (float(np.mean(found)) + 0.5) / 101) for many in drawn]
    drawn = _several(backend, prompts, VOTES, seed, told, schema=None, tokens=VOTE_TOKENS)
    return [_pooled(many, _vote, lambda found: (sum(found) + 0.5) / (len(found) + 1)) for many in drawn]


def tokens_out(way: Way) -> int:
    """Tokens of one document's answers, at most."""
    return {"probability": 1, "grade": GRADES * GRADE_TOKENS, "votes": VOTES * VOTE_TOKENS}[way]


def times_asked(way: Way) -> int:
    """Questions that one document takes."""
    return {"probability": 1, "grade": GRADES, "votes": VOTES}[way]


def _several(
    backend: Backend, prompts: Sequence[str], times: int, seed: int, told: Told, *, schema: Any, tokens: int
) -> list[list[Generated]]:
    """What is written to every prompt, several times with seeds of their own."""
    drawn: list[list[Generated]] = [[] for _ in prompts]
    for number in range(times):
        sampling = Sampling(temperature=1.0, seed=(seed + number * 1_000_003) % 2**31)
        share = number * len(prompts)
        found = backend.generate(
            prompts, schema, tokens, sampling, lambda done, share=share: told((share + done) // times)
        )
        for at, one in enumerate(found):
            drawn[at].append(one)
    return drawn


def _pooled(
    many: Sequence[Generated], read: Callable[[Generated], float | None], share: Callable[[Sequence[float]], float]
) -> Answer:
    """One answer from what was written several times; what cannot be read is left out."""
    found = [value for one in many if (value := read(one)) is not None]
    spent = Answer(
        n_in_tokens=sum(one.n_in_tokens for one in many), n_out_tokens=sum(one.n_out_tokens for one in many),
        raw=many[-1].text[:40], answer_mass=len(found) / len(many),
    )  # fmt: skip
    if not found:
        reason = next((one.reason for one in many if one.reason), "") or "neither yes nor no"
        return replace(spent, reason=reason, answer_mass=math.nan, passing=all(one.passing for one in many))
    yes = share(found)
    return replace(spent, logp_yes=math.log(yes), logp_no=math.log1p(-yes))


def _grade(one: Generated) -> float | None:
    if one.reason or not 0 <= one.value["score"] <= 100:
        return None
    return float(one.value["score"])


def _vote(one: Generated) -> float | None:
    return {"yes": 1.0, "no": 0.0}.get(said(one.text)) if not one.reason else None
