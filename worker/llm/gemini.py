"""Google's generateContent, over its REST form.

Which of its models give probabilities has changed with model and date; one that refuses them (HTTP 400) or leaves them
out is found by the probe, and can be asked for grades or votes instead. `thinking_budget` of the entry is 0 unless
said; null leaves it out, for models that take none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.contract.context import Context
from worker.llm.answers import from_listed
from worker.llm.backend import Answer, Entry, Generated, Limits, Sampling
from worker.llm.batch import GeminiInline
from worker.llm.http import Request, Server, about_tokens
from worker.llm.remote import Remote
from worker.llm.written import generated

_ADDRESS = "https://generativelanguage.googleapis.com/v1beta"


def open_gemini(entry: Entry, ctx: Context, limits: Limits) -> Remote:
    """The model of an entry {"backend": "gemini", "model", "api_key", ...}; `base_url` may be left out."""
    entry = Entry(entry.name, {"base_url": _ADDRESS, **entry.fields})
    server = Server(entry, {"x-goog-api-key": entry.text("api_key")}, limits)
    thinking = entry.fields.get("thinking_budget", 0)
    wire = GeminiWire(entry.text("model"), int(entry.number("top_logprobs", 20)), thinking)
    batch = entry.fields.get("batch") is True
    send = GeminiInline(server, ctx, wire.model, entry.number("poll_s", 30)).send if batch else server.ask_all
    return Remote(entry, server, wire, send, batch)


@dataclass(frozen=True)
class GeminiWire:
    """Questions and answers of generateContent."""

    model: str
    listed: int = 20
    thinking_budget: int | None = 0

    def score_request(self, prompt: str, *, logprobs: bool = True) -> Request:
        """See `Wire`."""
        wanted = {"responseLogprobs": True, "logprobs": self.listed} if logprobs else {}
        return self._request(prompt, {"maxOutputTokens": 1, "temperature": 0, **wanted})

    def text_request(
        self, prompt: str, schema: Mapping[str, Any] | None, max_tokens: int, sampling: Sampling
    ) -> Request:
        """See `Wire`."""
        config: dict[str, Any] = {"maxOutputTokens": max_tokens, "temperature": sampling.temperature}
        if sampling.temperature:
            config["seed"] = sampling.seed % 2**31  # theirs has 32 bits with a sign
        if schema is not None:
            config |= {"responseMimeType": "application/json", "responseJsonSchema": dict(schema)}
        return self._request(prompt, config)

    def read_score(self, reply: Mapping[str, Any], yes: Sequence[str], no: Sequence[str]) -> tuple[Answer, int]:
        """See `Wire`."""
        spent = _usage(reply)
        candidate, blocked = _candidate(reply)
        if blocked:
            return Answer(n_in_tokens=spent[0], n_out_tokens=spent[1], reason=blocked), 0
        found: Any = candidate.get("logprobsResult") or {}
        tops: Any = found.get("topCandidates") or [{}]
        chosen: Any = (found.get("chosenCandidates") or [{}])[:1]
        pairs = {
            str(one["token"]): float(one["logProbability"])
            for one in [*chosen, *(tops[0].get("candidates") or ())]
            if isinstance(one.get("token"), str) and isinstance(one.get("logProbability"), int | float)
        }
        return from_listed(list(pairs.items()), _text(candidate), *spent, yes, no), len(pairs)

    def read_text(self, reply: Mapping[str, Any], schema: Mapping[str, Any] | None) -> Generated:
        """See `Wire`."""
        candidate, blocked = _candidate(reply)
        if blocked:
            return Generated("", None, *_usage(reply), reason=blocked)
        return generated(_text(candidate), schema, *_usage(reply))

    def _request(self, prompt: str, config: Mapping[str, Any]) -> Request:
        thinking = {} if self.thinking_budget is None else {"thinkingConfig": {"thinkingBudget": self.thinking_budget}}
        body = {
            "contents": [{"role": "user", "parts": [{"text": prompt}]}],
            "generationConfig": {**config, **thinking},
        }
        return Request(f"/models/{self.model}:generateContent", body, about_tokens(prompt))


def _candidate(reply: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The first candidate, and why there is none to use, "" where there is."""
    feedback: Any = reply.get("promptFeedback") or {}
    if feedback.get("blockReason"):
        return {}, f"blocked: {feedback['blockReason']}"
    many: Any = reply.get("candidates") or [{}]
    candidate: dict[str, Any] = many[0]
    ended = candidate.get("finishReason", "")
    blocked = ended in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")
    return candidate, f"blocked: {ended}" if blocked else ""


def _text(candidate: Mapping[str, Any]) -> str:
    content: Any = candidate.get("content") or {}
    return "".join(str(part.get("text", "")) for part in content.get("parts") or () if not part.get("thought"))


def _usage(reply: Mapping[str, Any]) -> tuple[int, int]:
    usage: Any = reply.get("usageMetadata") or {}
    out = int(usage.get("candidatesTokenCount") or 0) + int(usage.get("thoughtsTokenCount") or 0)
    return int(usage.get("promptTokenCount") or 0), out
