"""Servers that speak OpenAI's language: vLLM, llama.cpp, Ollama and hosted ones.

`style` of the entry: `chat` posts to chat/completions and leaves the template to the server; `completions` posts to
completions, where `template` ("...{prompt}...") is the operator's. Probabilities come in one of two shapes, whichever
of the two was asked: a list of tokens with their alternatives, or the older parallel lists. Both are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.contract.context import Context
from worker.llm.answers import from_listed
from worker.llm.backend import Answer, Entry, Generated, Limits, Sampling
from worker.llm.batch import OpenAIFile
from worker.llm.http import Request, Server, about_tokens
from worker.llm.remote import Remote
from worker.llm.written import generated

_SCHEMA_NAME = "answer"


def open_openai(entry: Entry, ctx: Context, limits: Limits) -> Remote:
    """The model of an entry {"backend": "openai-compatible", "base_url", "model", "api_key", ...}."""
    key = entry.text("api_key", "")
    server = Server(entry, {"Authorization": f"Bearer {key}"} if key else {}, limits)
    wire = OpenAIWire(
        model=entry.text("model"), style=entry.text("style", "chat"), template=entry.text("template", "{prompt}"),
        listed=int(entry.number("top_logprobs", 20)), limit_field=entry.text("max_tokens_field", "max_tokens"),
        structured=entry.text("structured", "json_schema"), extra=dict(entry.fields.get("extra") or {}),
    )  # fmt: skip
    if wire.style not in ("chat", "completions"):
        raise entry.wrong("has a 'style' that is neither chat nor completions")
    if "{prompt}" not in wire.template:
        raise entry.wrong("has a 'template' without {prompt}")
    batch = entry.fields.get("batch") is True
    send = OpenAIFile(server, ctx, f"/v1{wire.path}", entry.number("poll_s", 30)).send if batch else server.ask_all
    return Remote(entry, server, wire, send, batch)


@dataclass(frozen=True)
class OpenAIWire:
    """Questions and answers of chat/completions or completions."""

    model: str
    style: str = "chat"
    template: str = "{prompt}"
    listed: int = 20
    limit_field: str = "max_tokens"
    structured: str = "json_schema"
    extra: Mapping[str, Any] | None = None

    @property
    def path(self) -> str:
        """Below the base address."""
        return "/chat/completions" if self.style == "chat" else "/completions"

    def score_request(self, prompt: str, *, logprobs: bool = True) -> Request:
        """See `Wire`."""
        chat = {"logprobs": True, "top_logprobs": self.listed}
        wanted = (chat if self.style == "chat" else {"logprobs": self.listed}) if logprobs else {}
        return self._request(prompt, {self.limit_field: 1, "temperature": 0, **wanted})

    def text_request(
        self, prompt: str, schema: Mapping[str, Any] | None, max_tokens: int, sampling: Sampling
    ) -> Request:
        """See `Wire`."""
        more: dict[str, Any] = {self.limit_field: max_tokens, "temperature": sampling.temperature}
        if sampling.temperature:
            more["seed"] = sampling.seed
        if schema is not None and self.structured == "json_schema":
            shape = {"name": _SCHEMA_NAME, "schema": dict(schema), "strict": True}
            more["response_format"] = {"type": "json_schema", "json_schema": shape}
        elif schema is not None and self.structured == "json_object":
            more["response_format"] = {"type": "json_object"}
        return self._request(prompt, more)

    def read_score(self, reply: Mapping[str, Any], yes: Sequence[str], no: Sequence[str]) -> tuple[Answer, int]:
        """See `Wire`."""
        spent_in, spent_out = _usage(reply)
        choice = _first(reply.get("choices"))
        text = _text(choice)
        if choice.get("finish_reason") == "content_filter":
            return Answer(n_in_tokens=spent_in, n_out_tokens=spent_out, reason="blocked by the server's filter"), 0
        pairs = list(_alternatives(choice.get("logprobs")))
        return from_listed(pairs, text, spent_in, spent_out, yes, no), len(pairs)

    def read_text(self, reply: Mapping[str, Any], schema: Mapping[str, Any] | None) -> Generated:
        """See `Wire`."""
        choice = _first(reply.get("choices"))
        if choice.get("finish_reason") == "content_filter":
            return Generated("", None, *_usage(reply), reason="blocked by the server's filter")
        return generated(_text(choice), schema, *_usage(reply))

    def _request(self, prompt: str, more: Mapping[str, Any]) -> Request:
        asked: dict[str, Any] = (
            {"messages": [{"role": "user", "content": prompt}]}
            if self.style == "chat"
            else {"prompt": self.template.replace("{prompt}", prompt)}
        )
        body = {"model": self.model, **asked, **more, **(self.extra or {})}
        return Request(self.path, body, about_tokens(prompt))


def _alternatives(logprobs: Any) -> Iterable[tuple[str, float]]:
    """(token, log-probability) of the first position, in either shape."""
    if not isinstance(logprobs, dict):
        return
    content: Any = logprobs.get("content")
    if content:  # a list of tokens, each with its alternatives
        first = _first(content)
        listed: list[Any] = [one for one in first.get("top_logprobs") or () if isinstance(one, dict)]
        pairs = {str(one.get("token")): one.get("logprob") for one in listed}
        pairs.setdefault(str(first.get("token")), first.get("logprob"))
    else:  # parallel lists
        tops: Any = logprobs.get("top_logprobs") or [{}]
        pairs = dict(tops[0] if isinstance(tops[0], dict) else {})
        for token, logp in zip(logprobs.get("tokens") or (), logprobs.get("token_logprobs") or (), strict=False):
            pairs.setdefault(str(token), logp)
            break
    for token, logp in pairs.items():
        if isinstance(logp, int | float):
            yield token, float(logp)


def _first(many: Any) -> dict[str, Any]:
    return many[0] if isinstance(many, list) and many and isinstance(many[0], dict) else {}


def _text(choice: Mapping[str, Any]) -> str:
    message = choice.get("message")
    found = message.get("content") if isinstance(message, dict) else choice.get("text")
    return found if isinstance(found, str) else ""


def _usage(reply: Mapping[str, Any]) -> tuple[int, int]:
    usage: Any = reply.get("usage")
    if not isinstance(usage, dict):
        return 0, 0
    return int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
