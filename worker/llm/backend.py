"""What every language model offers here, wherever it runs: probabilities of an answer, and text.

The operator names models in the file of credentials; a job names an entry of it and nothing else:

    {"judge": {"backend": "hf-local", "path": "/models/flan-t5-xl"},
     "hosted": {"backend": "openai-compatible", "base_url": "https://...", "model": "...", "api_key": "..."}}

Keys and addresses stay in that file: no error, log line or report repeats them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from worker.contract.context import Context
from worker.contract.errors import JobError

YES = ("yes", "Yes", " yes", " Yes", "YES", " YES")
NO = ("no", "No", " no", " No", "NO", " NO")
"""Spellings of the two answers; a model is asked for those of them that are one token of its own."""

Told = Callable[[int], None]
"""Is told at least every second how many of the prompts are answered; what it raises ends the asking."""


@dataclass(frozen=True)
class Answer:
    """What a model makes of one prompt: natural logarithms of the probability that it answers yes, or no.

    Of several spellings the probabilities are summed. `answer_mass`: probability of either. `censored`: no spelling of
    yes was among those that a server lists, so `logp_yes` is an upper bound. `raw`: the likeliest first token, or the
    text. `reason`: why there is no score, "" where there is one; both logarithms are then NaN. `passing`: the reason
    may be gone when it is asked again (a server that was busy).
    """

    logp_yes: float = math.nan
    logp_no: float = math.nan
    answer_mass: float = math.nan
    n_in_tokens: int = 0
    n_out_tokens: int = 0
    raw: str = ""
    censored: bool = False
    reason: str = ""
    passing: bool = False


@dataclass(frozen=True)
class Generated:
    """Text that a model wrote. `value`: it as JSON that fits the schema asked for, None where none was asked for.

    `reason`: why there is none, "" where there is; `passing` as in `Answer`.
    """

    text: str = ""
    value: Any = None
    n_in_tokens: int = 0
    n_out_tokens: int = 0
    reason: str = ""
    passing: bool = False


@dataclass(frozen=True)
class Capability:
    """What a model can do, found out with one request a job.

    `logprobs`: it gives probabilities of the first token, of the `max_top_logprobs` likeliest. `context`: tokens of
    prompt and answer together. `batch`: requests go as one file, and answers may take hours.
    """

    logprobs: bool
    max_top_logprobs: int
    context: int
    batch: bool = False


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens, as the operator states them."""

    input: float
    output: float

    def of(self, in_tokens: int, out_tokens: int) -> float:
        """What this many tokens cost, in dollars."""
        return (in_tokens * self.input + out_tokens * self.output) / 1e6


@dataclass(frozen=True)
class Sampling:
    """How text is drawn: greedily at `temperature` 0, else with a `seed` where the model takes one."""

    temperature: float = 0.0
    seed: int = 0


GREEDY = Sampling()


@dataclass(frozen=True)
class Limits:
    """How hard a model may be asked. `batch_tokens`: tokens of one local batch, padding included."""

    concurrency: int = 8
    batch_tokens: int = 16_384


class Backend(Protocol):
    """One model. `name`: as the operator calls it. `model`: as reports call it. `identity`: a hash of all that its
    scores depend on beside the prompt."""

    name: str
    model: str
    dtype: str
    identity: str
    prices: Prices | None

    @property
    def reserved(self) -> tuple[str, ...]:
        """Strings that it reads as marks, not as text."""
        ...

    def probe(self) -> Capability:
        """What it can do. Raises `JobError` `model_unavailable` where it does not answer."""
        ...

    def size(self, prompt: str) -> int:
        """Tokens that a prompt takes with all that is put around it; an upper estimate where they cannot be counted."""
        ...

    def head(self, text: str, tokens: int) -> str:
        """The longest beginning of a text that takes at most so many tokens."""
        ...

    def score(self, prompts: Sequence[str], yes: Sequence[str], no: Sequence[str], told: Told) -> list[Answer]:
        """The probabilities that it answers each prompt with yes and with no, from its first token."""
        ...

    def generate(
        self,
        prompts: Sequence[str],
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 256,
        sampling: Sampling = GREEDY,
        told: Told = ...,
    ) -> list[Generated]:
        """What it writes. With a JSON Schema, text that does not fit it is no answer."""
        ...

    def close(self) -> None:
        """Give connections and memory back."""
        ...


def unheard(_: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Entry:
    """One entry of the operator's file."""

    name: str
    fields: Mapping[str, Any] = field(repr=False)

    def text(self, key: str, default: str | None = None) -> str:
        """A field that is text; without a default it must be there."""
        value = self.fields.get(key, default)
        if not isinstance(value, str) or (default is None and not value):
            raise self.wrong(f"has no {key!r}" if value in (None, "") else f"has a {key!r} that is no text")
        return value

    def number(self, key: str, default: float) -> float:
        """A field that is a number, not negative."""
        value = self.fields.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise self.wrong(f"has a {key!r} that is no number of 0 or more")
        return value

    def prices(self) -> Prices | None:
        """`input_usd_per_million` and `output_usd_per_million`; None where the operator states none."""
        if "input_usd_per_million" not in self.fields:
            return None
        return Prices(self.number("input_usd_per_million", 0), self.number("output_usd_per_million", 0))

    def wrong(self, what: str) -> JobError:
        """The operator's file is at fault."""
        return JobError(
            "model_unavailable",
            f"The model {self.name!r} {what}.",
            hint="Ask the operator to mend its entry in the file of credentials.",
            pointer="/params/backend",
        )


def open_backend(credentials: Mapping[str, Any], name: str, ctx: Context, limits: Limits = Limits()) -> Backend:
    """The model that the operator calls `name`.

    `credentials`: {name: entry}. Raises `JobError` `model_unavailable` where there is no such entry, where it is not
    complete, or where a package is missing.
    """
    if name not in credentials:
        known = ", ".join(sorted(credentials)) or "none"
        raise JobError(
            "model_unavailable",
            f"No language model is called {name!r} here.",
            hint=f"Name one of those the operator has set up: {known}.",
            pointer="/params/backend",
        )
    entry = Entry(name, credentials[name])
    match entry.text("backend"):
        case "hf-local":
            from worker.llm.hf_local import open_local  # transformers takes seconds to import

            return open_local(entry, ctx, limits)
        case "openai-compatible":
            from worker.llm.openai_compatible import open_openai

            return open_openai(entry, ctx, limits)
        case "gemini":
            from worker.llm.gemini import open_gemini

            return open_gemini(entry, ctx, limits)
        case _:
            raise entry.wrong("has a 'backend' that is none of hf-local, openai-compatible, gemini")
