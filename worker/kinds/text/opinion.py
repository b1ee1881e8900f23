"""What a language model thinks of documents: parameters, the asking itself, and what a report says of it.

Documents are read a window at a time and asked about longest first, two hundred at a time; answers are kept under a
hash of the text that was asked about, so equal texts are asked about once, a killed attempt pays nothing twice, and a
later job on the same dataset asks only what is new to it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.judging_prompt import Prompt, PromptId, gives_orders
from worker.kinds.text.selection import SelectParams
from worker.llm.asking import Way, ask, times_asked, tokens_out
from worker.llm.backend import Answer, Backend, Capability, Limits, open_backend
from worker.llm.guard import Guard
from worker.llm.store import Answers, known

ScoreKind = Literal["full_vocab", "yes_vs_no", "graded", "vote"]
WINDOW, CHUNK, BATCH_FILE = 4_096, 200, 50_000
MARGIN = 2  # tokens left free: a text that is cut may take one more where it meets the template
_WAYS: dict[ScoreKind, Way] = {
    "full_vocab": "probability", "yes_vs_no": "probability", "graded": "grade", "vote": "votes"
}  # fmt: skip
_LITTLE_MASS = 0.5
_REASONS = 20
_BYTES_A_TOKEN = 3  # for the estimate of costs: English has about 4, other languages fewer
_WINDOW_BYTES = 80_000_000  # of texts that are held at once


class OpinionParams(SelectParams):
    """What every method takes that asks a language model."""

    backend: str = Field("judge", min_length=1, max_length=100, description="Name the operator gave the model.")
    prompt_id: PromptId = Field(
        "signal-1", description="Wording of the question; signal-1-cue ends with a cue that small chat models need."
    )
    score_kind: Literal["auto", "full_vocab", "yes_vs_no", "graded", "vote"] = Field(
        "auto",
        description="full_vocab: log-probability of yes; yes_vs_no: of yes among yes and no; graded: numbers it "
        "writes; vote: how often it writes yes; auto: full_vocab where the model gives probabilities, else graded.",
    )
    max_input_tokens: int = Field(
        512, ge=64, le=32_768, description="Tokens of prompt and document together; longer documents are cut."
    )
    batch_tokens: int = Field(16_384, ge=64, le=1_000_000, description="Tokens of a batch of a local model.")
    concurrency: int = Field(8, ge=1, le=256, description="Questions asked of a server at the same time.")
    max_cost_usd: float | None = Field(None, gt=0, le=1e6, description="Most US dollars, by the operator's prices.")
    max_tokens: int | None = Field(None, ge=1, le=10**15, description="Most tokens, of questions and answers.")


@dataclass
class Opinions:
    """Of n documents: `score` float64, of the score kind, NaN where there is none; `logp_yes`, `logp_no` float64;
    `tokens` int32, of the question; `truncated`, `censored`, `orders` bool (see `gives_orders`). `reasons`: why
    documents have no score, and how many."""

    score: np.ndarray
    logp_yes: np.ndarray
    logp_no: np.ndarray
    mass: np.ndarray
    tokens: np.ndarray
    truncated: np.ndarray
    censored: np.ndarray
    orders: np.ndarray
    reasons: Counter[str] = field(default_factory=Counter[str])

    @classmethod
    def of(cls, count: int) -> Opinions:
        """None yet, of so many documents."""
        score, logp_yes, logp_no, mass = (np.full(count, np.nan) for _ in range(4))
        truncated, censored, orders = (np.zeros(count, bool) for _ in range(3))
        return cls(score, logp_yes, logp_no, mass, np.zeros(count, np.int32), truncated, censored, orders)

    def columns(self) -> dict[str, np.ndarray]:
        """For the file of scores, float32."""
        return {
            "p_yes": np.exp(self.logp_yes), "p_no": np.exp(self.logp_no), "input_tokens": self.tokens,
            "truncated": self.truncated,
        }  # fmt: skip


@dataclass
class Asker:
    """A model that is asked one question about documents of a corpus, in one way, within what it may cost."""

    data: Corpus
    backend: Backend
    capability: Capability
    prompt: Prompt
    kind: ScoreKind
    guard: Guard
    answers: Answers
    seed: int
    room: int  # tokens of a document

    def opinions(self, rows: np.ndarray, ctx: Context) -> Opinions:
        """Of the documents `rows` (sorted int64), aligned. Raises `JobError` `cost_limit`."""
        found = Opinions.of(len(rows))
        size = BATCH_FILE if self.capability.batch else WINDOW
        size = max(1, min(size, _WINDOW_BYTES // (4 * self.room)))  # a token of text has four bytes, as a rule
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            asked = list(self._asked(part, ctx))
            self._ask(asked, first, len(rows), ctx)
            for at, one in enumerate(asked, first):
                self._note(found, at, one)
        ctx.progress(len(rows), max(len(rows), 1), phase="ask")
        return found

    def expect(self, rows: np.ndarray, ctx: Context) -> None:
        """Refuse what would cost too much, before it is asked: all of `rows` that is not known yet."""
        if self.guard.max_cost_usd is None and self.guard.max_tokens is None:
            return
        new = {one.key: one.tokens for one in self._asked(rows, ctx) if one.key not in self.answers}
        self.expect_documents(len(new), sum(new.values()))

    def expect_documents(self, documents: int, tokens: int) -> None:
        """The same for a number of questions that take so many tokens together."""
        way = self.prompt.way
        self.guard.check_estimate(tokens * times_asked(way), documents * tokens_out(way))

    @property
    def longest(self) -> int:
        """Tokens that a question takes at most."""
        return self.backend.size(self.prompt.about("")) + self.room

    def facts(self, found: Opinions) -> dict[str, Any]:
        """For the report: what was asked, what came of it, what it took."""
        cost = self.guard.cost_usd
        return {
            "model": self.backend.model, "backend": self.backend.name, "dtype": self.backend.dtype,
            "score_kind": self.kind, "prompt_id": self.prompt.id, "prompt_hash": self.prompt.hash,
            "documents_with_a_score": int(np.isfinite(found.score).sum()),
            "answer_mass": _mean(found.mass), "failures": _most(found.reasons),
            "censored": int(found.censored.sum()), "truncated": int(found.truncated.sum()),
            "documents_that_give_orders": int(found.orders.sum()),
            "answers_of_earlier_jobs": self.answers.recalled, "tokens_in": self.guard.used_in,
            "tokens_out": self.guard.used_out, **({} if cost is None else {"cost_usd": round(cost, 6)}),
        }  # fmt: skip

    def warn(self, found: Opinions, ctx: Context) -> None:
        """Say what a reader must know before using the scores. Raises `JobError` where there are none."""
        most = ", ".join(f"{reason} ({count:,})" for reason, count in found.reasons.most_common(3))
        if len(found.score) and not np.isfinite(found.score).any():
            raise JobError(
                "model_unavailable",
                f"The model {self.backend.name!r} gave no score of any of {len(found.score):,} documents: {most}.",
                hint="Take another score_kind or model, or ask the operator to look at the model's entry.",
                pointer="/params/backend",
            )
        mass = _mean(found.mass)
        if self.prompt.way == "probability" and mass is not None and mass < _LITTLE_MASS:
            ctx.warn(
                f"The judge answers yes or no with a probability of {mass:.3f} on average: its first token is mostly "
                "something else. Try prompt_id signal-1-cue, or score_kind yes_vs_no."
            )
        if failed := sum(found.reasons.values()):
            ctx.warn(f"{failed:,} documents have no score and were not selected: {most}.")
        if censored := int(found.censored.sum()):
            ctx.warn(
                f"For {censored:,} documents the server did not list yes among its likeliest tokens: their scores are "
                "upper bounds."
            )
        if orders := int(found.orders.sum()):
            ctx.warn(f"{orders:,} documents hold what reads like an instruction to the judge; look at their scores.")

    def close(self) -> None:
        """Leave the answers to later jobs, and the model."""
        self.answers.remember()
        self.backend.close()

    def _asked(self, rows: np.ndarray, ctx: Context) -> Iterator[_Asked]:
        """What is asked about every document."""
        frame = self.backend.size(self.prompt.about(""))
        for at, text in enumerate(self.data.texts(rows)):
            if at % 256 == 0:
                ctx.progress(at, len(rows), phase="read")
            escaped = self.prompt.escaped(text)
            short = len(escaped.encode()) <= self.room  # a token has a byte at least
            head = escaped if short else self.backend.head(escaped, self.room)
            tokens = frame + -(-len(head.encode()) // _BYTES_A_TOKEN)
            yield _Asked(
                hashlib.sha256(head.encode()).digest(), head, tokens, len(head) < len(escaped), gives_orders(text)
            )

    def _ask(self, asked: Sequence[_Asked], before: int, total: int, ctx: Context) -> None:
        new = {one.key: one.text for one in asked if one.key not in self.answers}
        todo = sorted(new, key=lambda key: -len(new[key]))
        size = BATCH_FILE if self.capability.batch else CHUNK
        share = len(asked) / max(len(todo), 1)
        for first in range(0, len(todo), size):
            keys = todo[first : first + size]
            prompts = [self.prompt.about(new[key]) for key in keys]

            def told(done: int, first: int = first) -> None:
                ctx.progress(before + int((first + done) * share), total, phase="ask")

            given = ask(self.backend, prompts, self.prompt.way, self.seed, told)
            self.answers.add(keys, given)
            self.guard.spend(sum(one.n_in_tokens for one in given), sum(one.n_out_tokens for one in given))

    def _note(self, found: Opinions, at: int, asked: _Asked) -> None:
        answer = self.answers[asked.key]
        found.truncated[at], found.orders[at] = asked.truncated, asked.orders
        found.tokens[at] = 0 if answer.passing else answer.n_in_tokens
        if not known(answer):
            found.reasons[answer.reason or "no finite probability"] += 1
            return
        found.logp_yes[at], found.logp_no[at], found.mass[at] = answer.logp_yes, answer.logp_no, answer.answer_mass
        found.censored[at] = answer.censored
        found.score[at] = score_of(answer, self.kind)


@dataclass(frozen=True)
class _Asked:
    key: bytes
    text: str  # escaped and cut
    tokens: int  # with the question; estimated high
    truncated: bool
    orders: bool


def score_of(answer: Answer, kind: ScoreKind) -> float:
    """The figure that documents are ranked by: a logarithm, since probabilities near 1 are all the same in float32."""
    if kind == "yes_vs_no":
        return answer.logp_yes - float(np.logaddexp(answer.logp_yes, answer.logp_no))
    return answer.logp_yes


def open_asker(data: Corpus, params: OpinionParams, ctx: Context) -> Asker:
    """The model that the parameters name, after a question that finds out what it can do.

    Raises `JobError` `model_unavailable`, or `logprobs_unsupported` where a score kind needs probabilities that it does
    not give.
    """
    backend = open_backend(ctx.credentials, params.backend, ctx, Limits(params.concurrency, params.batch_tokens))
    capability = backend.probe()
    kind = _kind(params, capability)
    prompt = Prompt(params.prompt_id, _WAYS[kind], backend.reserved)
    context = min(params.max_input_tokens, capability.context - tokens_out(prompt.way))
    room = context - backend.size(prompt.about("")) - MARGIN
    if room < 1:
        raise JobError(
            "invalid_input",
            f"The question alone takes more than the {context} tokens that may be asked.",
            hint=f"Raise max_input_tokens; this model reads {capability.context:,} tokens.",
            pointer="/params/max_input_tokens",
        )
    parts = [prompt.hash, backend.identity, backend.dtype, prompt.way]
    if prompt.way != "probability":  # what is drawn is another thing under another seed
        parts.append(str(ctx.seed))
    answers = Answers(ctx, hashlib.sha256("\n".join(parts).encode()).hexdigest())
    guard = Guard(backend.prices, params.max_cost_usd, params.max_tokens, answers.paid_in, answers.paid_out)
    return Asker(data, backend, capability, prompt, kind, guard, answers, ctx.seed, room)


def _kind(params: OpinionParams, capability: Capability) -> ScoreKind:
    if params.score_kind == "auto":
        return "full_vocab" if capability.logprobs else "graded"
    if _WAYS[params.score_kind] == "probability" and not capability.logprobs:
        raise JobError(
            "logprobs_unsupported",
            f"The model {params.backend!r} gives no probabilities of its answers, which {params.score_kind} needs.",
            hint="Take score_kind graded or vote, or auto.",
            pointer="/params/score_kind",
        )
    return params.score_kind


def _most(reasons: Counter[str]) -> dict[str, int]:
    """The commonest reasons: servers number their excuses, so there may be one a document."""
    found = dict(sorted(reasons.most_common(_REASONS)))
    rest = reasons.total() - sum(found.values())
    return found | ({"others": rest} if rest else {})


def _mean(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None
