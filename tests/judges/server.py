"""Serves one checkpoint as OpenAI's and Google's servers do: `python -m tests.judges.server FOLDER`, prints its port.

It does its own inference, one prompt at a time and without any code of the worker, so that equal scores mean something.
`POST /control {"fault": NAME, "times": N, "after": M}` makes N questions fail after the next M; `GET /control` says
what it was asked.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
import transformers

KEY = "sk-test-4f1c-nobody-may-see-this"


class Model:
    """The checkpoint."""

    def __init__(self, folder: str) -> None:
        torch.set_num_threads(1)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.network = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        self.lock = threading.Lock()

    def templated(self, prompt: str) -> str:
        turn = [{"role": "user", "content": prompt}]
        return self.tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)

    def likeliest(self, text: str, count: int) -> tuple[list[tuple[str, float]], int]:
        """Tokens and log-probabilities after a text, and how many tokens that has."""
        with self.lock, torch.inference_mode():
            ids = torch.tensor([self.tokenizer.encode(text, add_special_tokens=False)])
            logp = torch.log_softmax(self.network(ids).logits[0, -1].double(), -1)
            values, tokens = logp.topk(count)
        return [
            (self.tokenizer.decode([t]), float(v)) for t, v in zip(tokens.tolist(), values, strict=True)
        ], ids.shape[1]


class State:
    """What it was told to do wrong, and what it was asked."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.fault, self.times, self.after = "", 0, 0
        self.seen: dict[str, Any] = {"questions": 0, "served": 0, "most_at_once": 0, "bodies": []}
        self.now = 0
        self.files: dict[str, str] = {}
        self.batches: dict[str, dict[str, Any]] = {}

    def next_fault(self) -> str:
        with self.lock:
            self.seen["questions"] += 1
            if self.after:
                self.after -= 1
            elif self.fault and self.times:
                self.times -= 1
                return self.fault
        return ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model
    state: State

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path
        if path == "/control":
            self.answer(200, self.state.seen)
        elif path.startswith("/v1/files/"):
            self.raw(200, self.state.files[path.split("/")[3]].encode(), "application/jsonl")
        elif path.startswith("/v1/batches/"):
            self.answer(200, self.polled(path.split("/")[3], "status", "in_progress"))
        elif path.startswith("/v1beta/batches/"):
            self.answer(200, self.polled(path.split("/")[3], "done", False))
        else:
            self.answer(404, {})

    def polled(self, number: str, field: str, waiting: object) -> dict[str, Any]:
        """A batch is not ready when it is first looked at."""
        batch = self.state.batches[number]
        batch["looks"] += 1
        return batch["whole"] if batch["looks"] > 1 else {**batch["whole"], field: waiting}

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/control":
            asked = json.loads(content)
            self.state.fault, self.state.times = asked.get("fault", ""), asked.get("times", 10**9)
            self.state.after = asked.get("after", 0)
            if asked.get("reset"):
                self.state.seen |= {"questions": 0, "served": 0, "most_at_once": 0, "bodies": []}
            return self.answer(200, {})
        if self.headers.get("Authorization") != f"Bearer {KEY}" and self.headers.get("x-goog-api-key") != KEY:
            said = f"Incorrect API key provided: {self.headers.get('Authorization')}"
            return self.answer(401, {"error": {"message": said}})
        if self.path == "/v1/files":
            number = f"file-{len(self.state.files)}"
            self.state.files[number] = content.split(b"\r\n\r\n")[-1].rsplit(b"\r\n--", 1)[0].decode()
            return self.answer(200, {"id": number})
        with self.state.lock:
            self.state.now += 1
            self.state.seen["most_at_once"] = max(self.state.seen["most_at_once"], self.state.now)
        try:
            self.question(json.loads(content))
        finally:
            with self.state.lock:
                self.state.now -= 1

    def question(self, body: dict[str, Any]) -> None:
        fault = self.state.next_fault()
        self.state.seen["bodies"] = [*self.state.seen["bodies"][-3:], body]
        if fault in ("429", "500", "503"):
            headers = {"Retry-After": "1"} if fault == "429" else {}
            return self.answer(int(fault), {"error": {"message": "busy"}}, headers)
        if fault == "400":
            return self.answer(400, {"error": {"message": f"bad request, your key is {KEY}"}})
        if fault == "slow":
            time.sleep(3)
        logprobs = fault != "ignored"
        if fault == "refused" and (body.get("logprobs") or body.get("generationConfig", {}).get("responseLogprobs")):
            return self.answer(400, {"error": {"message": "Logprobs is not enabled for this model"}})
        with self.state.lock:
            self.state.seen["served"] += 1
        if self.path == "/v1/batches":
            return self.answer(200, self.openai_batch(body))
        if self.path.endswith(":batchGenerateContent"):
            return self.answer(200, self.gemini_batch(body["batch"]))
        if self.path.endswith(":generateContent"):
            reply = self.gemini(body, logprobs)
            if fault == "blocked":
                reply = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}}
        else:
            reply = self.openai(body, self.path.endswith("/chat/completions"), logprobs, legacy=fault == "legacy")
        text = json.dumps(reply).encode()
        self.raw(200, text[: len(text) // 2] if fault == "truncated" else text, "application/json")

    def openai(self, body: dict[str, Any], chat: bool, logprobs: bool, legacy: bool = False) -> dict[str, Any]:
        text = self.model.templated(body["messages"][0]["content"]) if chat else body["prompt"]
        listed, tokens = self.model.likeliest(
            text, body.get("top_logprobs", 20) if chat else body.get("logprobs") or 20
        )
        said = self.written(body, listed, body.get("temperature", 0), body.get("seed", 0), body.get("response_format"))
        found: Any = None
        if logprobs and body.get("logprobs"):
            tops = [{"token": t, "logprob": v, "bytes": list(t.encode())} for t, v in listed]
            found = {"content": [{**tops[0], "top_logprobs": tops}]}
            if not chat or legacy:
                found = {"tokens": [listed[0][0]], "token_logprobs": [listed[0][1]], "top_logprobs": [dict(listed)]}
        choice = {"message": {"role": "assistant", "content": said}} if chat else {"text": said}
        usage = {"prompt_tokens": tokens, "completion_tokens": 1}
        return {"choices": [{**choice, "logprobs": found, "finish_reason": "length"}], "usage": usage}

    def gemini(self, body: dict[str, Any], logprobs: bool) -> dict[str, Any]:
        config = body["generationConfig"]
        listed, tokens = self.model.likeliest(
            self.model.templated(body["contents"][0]["parts"][0]["text"]), config.get("logprobs", 20)
        )
        said = self.written(
            body, listed, config.get("temperature", 0), config.get("seed", 0), config.get("responseJsonSchema")
        )
        candidate: dict[str, Any] = {
            "content": {"parts": [{"text": said}], "role": "model"},
            "finishReason": "MAX_TOKENS",
        }
        if logprobs and config.get("responseLogprobs"):
            tops = [{"token": t, "logProbability": v} for t, v in listed]
            candidate["logprobsResult"] = {"topCandidates": [{"candidates": tops}], "chosenCandidates": tops[:1]}
        return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": tokens, "candidatesTokenCount": 1}}

    def written(self, body: object, listed: Any, temperature: float, seed: int, schema: object) -> str:
        """Its first token; a draw of yes or no at a temperature; or a grade, a hundred times the probability of yes."""
        yes = sum(math.exp(value) for token, value in listed if token.strip().lower() == "yes")
        if schema:
            return json.dumps({"score": round(100 * yes)})
        draw = int.from_bytes(hashlib.sha256(f"{seed} {json.dumps(body, sort_keys=True)}".encode()).digest()[:4], "big")
        return ("yes" if draw / 2**32 < yes else "no") if temperature else listed[0][0]

    def openai_batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        lines = [json.loads(line) for line in self.state.files[asked["input_file_id"]].splitlines()]
        done = [
            {
                "custom_id": one["custom_id"],
                "response": {"status_code": 200, "body": self.openai(one["body"], "messages" in one["body"], True)},
            }
            for one in reversed(lines)
        ]
        output = f"file-{len(self.state.files)}"
        self.state.files[output] = "\n".join(json.dumps(one) for one in done)
        number = f"batch-{len(self.state.batches)}"
        whole = {"id": number, "status": "completed", "output_file_id": output}
        self.state.batches[number] = {"looks": 0, "whole": whole}
        return {"id": number, "status": "validating"}

    def gemini_batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        requests = asked["inputConfig"]["requests"]["requests"]
        replies = [
            {"metadata": one["metadata"], "response": self.gemini(one["request"], True)} for one in reversed(requests)
        ]
        number = f"batches/{len(self.state.batches)}"
        whole = {"name": number, "done": True, "response": {"inlinedResponses": {"inlinedResponses": replies}}}
        self.state.batches[number.split("/")[1]] = {"looks": 0, "whole": whole}
        return {"name": number}

    def answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        self.raw(status, json.dumps(body).encode(), "application/json", headers)

    def raw(self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    Handler.model, Handler.state = Model(sys.argv[1]), State()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
