"""A model behind a server: questions are written in the server's language, sent, and its answers read.

A server lists its likeliest tokens alone, twenty as a rule. The probability of an answer is the sum over its spellings
that are listed, where the same model in this process sums over all of them. So a score from a server is at most that
of the model itself, and lower by what the spellings that are not listed hold, each of which is at most as likely as
the least likely listed token: next to nothing where the answer is likely, and several nats where it is not.
Where no spelling is listed, the score is the most that they can hold together (`Answer.censored`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from worker.contract.errors import JobError
from worker.llm.backend import GREEDY, NO, YES, Answer, Capability, Entry, Generated, Sampling, Told, unheard
from worker.llm.http import BYTES_A_TOKEN, Failed, Reply, Request, Server, about_tokens

_PROBE = "Is water wet at room temperature? Answer with one word, yes or no."


class Wire(Protocol):
    """How one sort of server is asked, and how its answers are read."""

    def score_request(self, prompt: str, *, logprobs: bool = True) -> Request:
        """Ask for the first token, with the likeliest alternatives."""
        ...

    def text_request(
        self, prompt: str, schema: Mapping[str, Any] | None, max_tokens: int, sampling: Sampling
    ) -> Request:
        """Ask for text."""
        ...

    def read_score(self, reply: Mapping[str, Any], yes: Sequence[str], no: Sequence[str]) -> tuple[Answer, int]:
        """The answer, and how many alternatives were listed."""
        ...

    def read_text(self, reply: Mapping[str, Any], schema: Mapping[str, Any] | None) -> Generated:
        """What was written."""
        ...


Send = Callable[[Sequence[Request], Told], list[Reply]]


@dataclass
class Remote:
    """A `Backend` over HTTP. `send`: questions one by one, or as a file (`worker.llm.batch`)."""

    entry: Entry
    server: Server
    wire: Wire
    send: Send
    batch: bool = False
    reserved: tuple[str, ...] = ()
    dtype: str = "remote"

    def __post_init__(self) -> None:
        self.name, self.model = self.entry.name, self.entry.text("model")
        self.prices = self.entry.prices()
        public = {k: v for k, v in sorted(self.entry.fields.items()) if k in _CHANGES_ANSWERS}
        self.identity = hashlib.sha256(repr(public).encode()).hexdigest()[:32]

    def probe(self) -> Capability:
        """One question with probabilities asked for; a second one, where the server refuses those."""
        reply = self.server.ask(self.wire.score_request(_PROBE))
        listed = 0
        if isinstance(reply, Failed) and reply.status == 400:
            plain = self.server.ask(self.wire.score_request(_PROBE, logprobs=False))
            if isinstance(plain, Failed):
                raise self._silent(plain)
        elif isinstance(reply, Failed):
            raise self._silent(reply)
        else:
            listed = self.wire.read_score(reply, YES, NO)[1]
        return Capability(listed > 0, listed, int(self.entry.number("context", 8192)), self.batch)

    def size(self, prompt: str) -> int:
        """Tokens, estimated at three bytes each."""
        return about_tokens(prompt)

    def head(self, text: str, tokens: int) -> str:
        """The beginning that takes so many tokens by the same estimate."""
        return text.encode()[: tokens * BYTES_A_TOKEN].decode(errors="ignore")

    def score(
        self, prompts: Sequence[str], yes: Sequence[str], no: Sequence[str], told: Told = unheard
    ) -> list[Answer]:
        """See `Backend`."""
        requests = [self.wire.score_request(prompt) for prompt in prompts]
        replies = zip(requests, self.send(requests, told), strict=True)
        return [
            _no_answer(reply) if isinstance(reply, Failed) else _counted(self.wire.read_score(reply, yes, no)[0], sent)
            for sent, reply in replies
        ]

    def generate(
        self,
        prompts: Sequence[str],
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 256,
        sampling: Sampling = GREEDY,
        told: Told = unheard,
    ) -> list[Generated]:
        """See `Backend`."""
        requests = [self.wire.text_request(prompt, schema, max_tokens, sampling) for prompt in prompts]
        replies = zip(requests, self.send(requests, told), strict=True)
        return [
            Generated(reason=reply.reason, passing=reply.passing, n_in_tokens=reply.lost)
            if isinstance(reply, Failed)
            else _counted(self.wire.read_text(reply, schema), sent)
            for sent, reply in replies
        ]

    def close(self) -> None:
        """Close the connections."""
        self.server.close()

    def _silent(self, failed: Failed) -> JobError:
        return JobError(
            "model_unavailable",
            f"The model {self.name!r} does not answer: {failed.reason}.",
            hint="Try again later, or ask the operator to look at the model's entry in the file of credentials.",
            pointer="/params/backend",
        )


_CHANGES_ANSWERS = (
    "backend", "base_url", "model", "style", "template", "top_logprobs", "extra", "thinking_budget", "structured",
    "max_tokens_field",
)  # fmt: skip


Counted = TypeVar("Counted", Answer, Generated)


def _counted(given: Counted, sent: Request) -> Counted:
    """With an estimate, where the server does not say how many tokens it took: a limit must not be passed unseen."""
    if given.n_in_tokens:
        return given
    written = given.text if isinstance(given, Generated) else ""
    return replace(given, n_in_tokens=sent.tokens, n_out_tokens=max(1, about_tokens(written)))


def _no_answer(failed: Failed) -> Answer:
    return Answer(reason=failed.reason, passing=failed.passing, n_in_tokens=failed.lost)
