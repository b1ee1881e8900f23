"""A model from a directory on this machine, through transformers: encoder-decoders (Flan-T5) and causal ones (Gemma).

An encoder-decoder reads the prompt and takes one step of its decoder; a causal model reads the prompt in its chat
template, where it has one, and is asked for the token after it. Either way the probabilities are a log-softmax in
float32 over the whole vocabulary, whatever the weights are stored in. Prompts are sorted by length and packed into
batches of a number of tokens, so that little is spent on padding; the score of a prompt is that of a batch of its own
within rounding. Nothing is downloaded, no code of a checkpoint runs, and weights are read from safetensors alone.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.llm.answers import single_tokens
from worker.llm.backend import GREEDY, Answer, Capability, Entry, Generated, Limits, Sampling, Told, unheard
from worker.llm.fingerprint import fingerprint
from worker.llm.written import generated
from worker.numerics.compiled import while_waiting

_CONTENT = "\ue000document\ue000"  # stands in a chat template where the prompt goes
_CPU_BATCH = 2_048  # tokens that fill the cores already; larger batches would only make a job slow to stop
_NO_LIMIT = 1_000_000  # tokenizers without a length say 1e30


def open_local(entry: Entry, ctx: Context, limits: Limits) -> LocalModel:
    """The model of an entry {"backend": "hf-local", "path": ..., "dtype": ..., "context": ...}.

    Raises `JobError` `model_unavailable` where the directory holds no model, or transformers is not installed.
    """
    folder = Path(entry.text("path"))
    if not (folder / "config.json").is_file():
        raise entry.wrong("is not in a directory of this worker (`path` has no config.json)")
    on_gpu = ctx.device.startswith("cuda")
    dtype = entry.text("dtype", "bfloat16" if on_gpu else "float32")
    if dtype not in ("float32", "bfloat16", "float16"):
        raise entry.wrong("has a 'dtype' that is none of float32, bfloat16, float16")
    tokenizer, model = while_waiting(
        lambda: _loaded(folder, getattr(torch, dtype), entry), lambda: ctx.progress(0, 1, phase="open the model")
    )
    return LocalModel(
        name=entry.name, model=entry.text("model", folder.name), dtype=dtype,
        identity=hashlib.sha256(f"{fingerprint(folder)} {dtype}".encode()).hexdigest()[:32],
        tokenizer=tokenizer, network=model.to(ctx.device).eval(), device=ctx.device,
        batch_tokens=max(1, (limits.batch_tokens if on_gpu else min(limits.batch_tokens, _CPU_BATCH)) >> ctx.degrade),
        context=int(entry.number("context", 0)) or context_of(model.config, tokenizer),
        prices=entry.prices(),
    )  # fmt: skip


def _loaded(folder: Path, dtype: torch.dtype, entry: Entry) -> tuple[Any, Any]:
    try:
        import safetensors
        import transformers
    except ImportError as missing:
        raise JobError(
            "model_unavailable",
            "Models from a directory need the package transformers, which this worker does not have.",
            hint="Ask the operator to install distillery-service[llm] on the workers.",
            pointer="/params/backend",
        ) from missing
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **safe)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **safe)
        sort = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
        model = sort.from_pretrained(folder, config=config, dtype=dtype, use_safetensors=True, **safe)
    except (OSError, ValueError, KeyError, ImportError, safetensors.SafetensorError) as unfit:
        raise entry.wrong(f"cannot be read from its directory ({type(unfit).__name__})") from unfit
    return tokenizer, model


def context_of(config: Any, tokenizer: Any) -> int:
    """Tokens a model reads at most, as its configuration or its tokenizer says it; 512 where neither does."""
    inner = config.get_text_config()
    found = getattr(inner, "max_position_embeddings", None) or getattr(inner, "n_positions", None)
    if not found and tokenizer.model_max_length < _NO_LIMIT:
        found = tokenizer.model_max_length
    return int(found or 512)


@dataclass
class LocalModel:
    """A `Backend` in this process. `padding`: the side on which short prompts of a batch are filled up, causal only.

    `network`, `tokenizer`: of transformers. `batch_tokens`: of one forward pass, padding included.
    """

    name: str
    model: str
    dtype: str
    identity: str
    tokenizer: Any
    network: Any
    device: str = "cpu"
    batch_tokens: int = _CPU_BATCH
    context: int = 512
    prices: Any = None
    padding: Literal["left", "right"] = "left"

    def __post_init__(self) -> None:
        self._seq2seq = bool(self.network.config.is_encoder_decoder)
        self._before, self._after = self._frame()
        self._keeps_logits = "logits_to_keep" in inspect.signature(self.network.forward).parameters
        pad = self.tokenizer.pad_token_id
        self._pad = int(pad if pad is not None else self.tokenizer.eos_token_id or 0)

    @property
    def reserved(self) -> tuple[str, ...]:
        """Its marks: ends of turns, padding and the like."""
        marks = {str(token) for token in self.tokenizer.added_tokens_decoder.values()}
        return tuple(sorted(mark for mark in marks | set(self.tokenizer.all_special_tokens) if mark.strip()))

    def probe(self) -> Capability:
        """It lists all tokens there are."""
        return Capability(True, int(self.network.config.get_text_config().vocab_size), self.context)

    def size(self, prompt: str) -> int:
        """Tokens of the prompt as the model gets it."""
        return len(self._encode([prompt])[0])

    def head(self, text: str, tokens: int) -> str:
        """The beginning of the text itself, cut behind a token: decoding tokens again would change spaces or case."""
        text = text[: tokens * 64]  # no token is longer, and nobody needs the tail of a megabyte counted
        if self.tokenizer.is_fast:
            found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            ends = found["offset_mapping"]
            return text if len(ends) <= tokens else text[: ends[tokens - 1][1]] if tokens > 0 else ""
        low, high = 0, len(text)
        while low < high:  # the longest beginning that takes few enough
            middle = (low + high + 1) // 2
            fits = len(self.tokenizer.encode(text[:middle], add_special_tokens=False)) <= tokens
            low, high = (middle, high) if fits else (low, middle - 1)
        return text[:low]

    @torch.inference_mode()
    def score(
        self, prompts: Sequence[str], yes: Sequence[str], no: Sequence[str], told: Told = unheard
    ) -> list[Answer]:
        """See `Backend`. Raises `JobError` `model_unsuitable` where yes or no is no token of the model."""
        columns = [torch.tensor(single_tokens(self.tokenizer, one), device=self.device) for one in (yes, no)]
        encoded = self._encode(prompts)
        answers = [Answer(n_in_tokens=len(ids), reason="longer than the model's context") for ids in encoded]
        done = 0
        for batch in batches([len(ids) for ids in encoded], self.batch_tokens):
            told(done)
            done += len(batch)
            fitting = [at for at in batch if 0 < len(encoded[at]) <= self.context]
            if not fitting:
                continue
            logp = torch.log_softmax(self._logits([encoded[at] for at in fitting]).float(), dim=-1)  # (b, vocabulary)
            sums = [logp[:, ids].logsumexp(dim=-1).double().cpu().numpy() for ids in columns]
            likeliest = logp.argmax(dim=-1).tolist()
            for row, at in enumerate(fitting):
                logp_yes, logp_no = float(sums[0][row]), float(sums[1][row])
                mass = min(1.0, float(np.exp(logp_yes) + np.exp(logp_no)))
                raw = self.tokenizer.decode([likeliest[row]])
                answers[at] = Answer(logp_yes, logp_no, mass, len(encoded[at]), 1, raw=raw[:40])
                if not np.isfinite(logp_yes):
                    answers[at] = Answer(n_in_tokens=len(encoded[at]), n_out_tokens=1, reason="no finite probability")
        told(len(prompts))
        return answers

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[str],
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 256,
        sampling: Sampling = GREEDY,
        told: Told = unheard,
    ) -> list[Generated]:
        """See `Backend`. The schema is told in the prompt, and text that does not fit it is no answer.

        One prompt at a time, each drawn with a seed of its own that the prompt decides: what else is asked, in which
        order, and what was answered before a resumption change nothing.
        """
        if schema is not None:
            shape = json.dumps(schema, sort_keys=True)
            prompts = [f"{one}\nAnswer with JSON of this schema and nothing else: {shape}" for one in prompts]
        drawn = {"do_sample": True, "temperature": sampling.temperature} if sampling.temperature else {}
        found: list[Generated] = []
        for at, ids in enumerate(self._encode(prompts)):
            told(at)
            if len(ids) + (0 if self._seq2seq else max_tokens) > self.context:
                found.append(Generated(n_in_tokens=len(ids), reason="longer than the model's context"))
                continue
            given = torch.tensor([ids], device=self.device)
            with torch.random.fork_rng(devices=[self.device] if self.device.startswith("cuda") else []):
                torch.manual_seed(_seed_of(sampling.seed, prompts[at]))
                written = self.network.generate(
                    given, attention_mask=torch.ones_like(given), max_new_tokens=max_tokens, pad_token_id=self._pad,
                    **({"do_sample": False} | drawn),
                )[0]  # fmt: skip
            new = written if self._seq2seq else written[len(ids) :]
            text = self.tokenizer.decode(new, skip_special_tokens=True)
            found.append(generated(text, schema, len(ids), len(new)))
        told(len(prompts))
        return found

    def close(self) -> None:
        """Let go of the weights."""
        self.network = None

    def _frame(self) -> tuple[str, str]:
        """What the chat template puts before and after a prompt; nothing where there is none."""
        if self._seq2seq or not self.tokenizer.chat_template:
            return "", ""
        turn = [{"role": "user", "content": _CONTENT}]
        whole = self.tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        before, found, after = whole.partition(_CONTENT)
        return (before, after) if found else ("", "")

    def _encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Token ids of every prompt in its frame; a template writes its marks itself, else the tokenizer adds them."""
        framed = [self._before + prompt + self._after for prompt in prompts]
        own_marks = not (self._before or self._after)
        return self.tokenizer(framed, add_special_tokens=own_marks, verbose=False)["input_ids"] if framed else []

    def _logits(self, encoded: Sequence[Sequence[int]]) -> torch.Tensor:
        """Logits of the first token of the answer, (b, vocabulary)."""
        side = "right" if self._seq2seq else self.padding
        ids, mask = padded(encoded, self._pad, side)
        given = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
        if self._seq2seq:
            start = self.network.config.decoder_start_token_id
            first = torch.full((len(encoded), 1), int(self._pad if start is None else start), device=self.device)
            return self.network(**given, decoder_input_ids=first, use_cache=False).logits[:, -1]
        # Position ids count real tokens, on whichever side the padding is.
        given["position_ids"] = (given["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        last = torch.full((len(encoded),), ids.shape[1] - 1) if side == "left" else mask.sum(-1) - 1
        kept, where = torch.unique(last, return_inverse=True)
        if self._keeps_logits:  # of the positions asked for alone: all of them take gigabytes with a large vocabulary
            logits = self.network(**given, use_cache=False, logits_to_keep=kept.to(self.device)).logits
        else:
            logits = self.network(**given, use_cache=False).logits[:, kept.to(self.device)]
        return logits[torch.arange(len(encoded), device=self.device), where.to(self.device)]


def _seed_of(seed: int, prompt: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {prompt}".encode()).digest()[:7], "big")


def batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Numbers of the prompts in batches of like length, longest first: longest times count is at most `most` tokens.

    A prompt longer than that has a batch of its own. Equal lengths stay in order.
    """
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    batch: list[int] = []
    for at in order:
        if batch and lengths[batch[0]] * (len(batch) + 1) > most:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def padded(encoded: Sequence[Sequence[int]], pad: int, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, int64 (b, longest)."""
    longest = max(len(ids) for ids in encoded)
    ids, mask = torch.full((len(encoded), longest), pad), torch.zeros(len(encoded), longest, dtype=torch.int64)
    for row, one in enumerate(encoded):
        where = slice(longest - len(one), None) if side == "left" else slice(0, len(one))
        ids[row, where], mask[row, where] = torch.tensor(one), 1
    return ids, mask
