"""Ask-LLM: speed beside nano-askllm on one checkpoint, and what a judge's selection is worth.

Run: `python -m benchmarks.ask_llm --nano FOLDER`, with the unpacked wheel of nano-askllm 0.2.3 in FOLDER; without it
the speed is left out. Judges are trained here on 500 labelled documents of `web_quality_pool`: yes for wiki paragraphs,
no for spam; messages (ham) are in neither.

`speed`: 400 of the other documents in the order of the file, nano-askllm's loop with batches of 2 (as its page has it)
and of 16, ours with batches by length; CPU seconds on one thread, the better of two, taken in turn.

`selection`: 20 % of all other documents by each of three judges. An n-gram model of order 6 reads 500,000 bytes of what
was kept (whole documents in random order), of random documents and of wiki paragraphs alone (the oracle), and is
measured on 60,000 bytes of the test paragraphs of `wikitext2_small`, in bits per byte.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from benchmarks.record import write
from tests.judges.train import train_judge
from tests.shared_data import shared
from worker.contract.context import Context
from worker.kinds.text import KIND
from worker.kinds.text.byte_ngram import train
from worker.kinds.text.judging_prompt import Prompt
from worker.kinds.text.methods.ask_llm import AskLLMParams, ask_llm
from worker.kinds.text.training_text import Documents
from worker.llm.backend import NO, YES, Limits, open_backend, unheard

LABELLED, JUDGED, KEPT = 500, 400, 0.2
TRAIN_BYTES, TEST_BYTES, SEEDS, RESAMPLES = 500_000, 60_000, 3, 2_000
TOKENS = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nano", type=Path, help="folder with the unpacked wheel of nano-askllm")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    pool = _records(shared("web_quality_pool") / "pool.jsonl.gz")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as made:
        judges = [_judge(pool, seed, Path(made) / str(seed)) for seed in range(given.seeds)]
        if given.nano:
            figures["speed"] = speed(pool, judges[0], given.nano)
        figures["selection"] = selection(pool, judges)
    write("ask_llm", figures, ("numpy", "torch", "transformers"))


def _judge(pool: list[dict[str, Any]], seed: int, folder: Path) -> tuple[Path, np.ndarray]:
    """A judge, and the numbers of the documents it was trained on."""
    rng = np.random.default_rng(seed)
    group = np.array([one["group"] for one in pool])
    halves = [rng.choice(np.flatnonzero(group == name), LABELLED // 2, replace=False) for name in ("wiki", "spam")]
    rows = np.concatenate(halves)
    texts = [pool[at]["text"] for at in rows]
    return train_judge(folder, texts, list(group[rows] == "wiki"), seed=seed, epochs=1, rate=3e-3), rows


def speed(pool: list[dict[str, Any]], judge: tuple[Path, np.ndarray], nano: Path) -> dict[str, Any]:
    """Seconds and ranking of ours and of nano-askllm's loop."""
    sys.path.insert(0, str(nano))
    from nano_askllm import AskLLM

    folder, labelled = judge
    rows = np.setdiff1d(np.arange(len(pool)), labelled)
    texts = [pool[at]["text"] for at in np.sort(np.random.default_rng(0).choice(rows, JUDGED, replace=False))]
    ours = open_backend({"judge": {"backend": "hf-local", "path": str(folder)}}, "judge", Context(), Limits())
    prompt = Prompt("signal-1", "probability", ours.reserved)
    before, after = ("<|user|>" + prompt.about("\0") + "<|end|><|assistant|>").split("\0")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    theirs = AskLLM(tokenizer, model, before, after, ["yes", "Yes", " yes", " Yes"], max_tokens=512)
    room = 512 - ours.size(prompt.about("")) - 2

    def we() -> list[float]:
        prompts = [prompt.about(ours.head(prompt.escaped(text), room)) for text in texts]
        return [one.logp_yes for one in ours.score(prompts, YES, NO, unheard)]

    def they(size: int) -> list[float]:
        with torch.no_grad():
            return [score for at in range(0, len(texts), size) for score in theirs.ask(texts[at : at + size]).tolist()]

    loops: dict[str, Callable[[], list[float]]] = {
        "ours": we, "nano batches of 2": lambda: they(2), "nano batches of 16": lambda: they(16),
    }  # fmt: skip
    taken = [{name: _timed(loop) for name, loop in loops.items()} for _ in range(2)]
    seconds = {name: round(min(one[name][0] for one in taken), 2) for name in loops}
    mine, other = np.array(taken[0]["ours"][1]), np.array(taken[0]["nano batches of 2"][1])
    best = [set(np.argsort(-scores)[: JUDGED // 5].tolist()) for scores in (mine, other)]
    return {
        "documents": JUDGED, "cpu_seconds": seconds,
        "times_faster": {name: round(value / seconds["ours"], 2) for name, value in seconds.items() if name != "ours"},
        "rank_correlation": float(spearmanr(mine, other).statistic),
        "same_best_fifth": len(best[0] & best[1]) / (JUDGED // 5),
        "nano_scores_of_1": int((other >= 1).sum()),
    }  # fmt: skip


def selection(pool: list[dict[str, Any]], judges: list[tuple[Path, np.ndarray]]) -> dict[str, Any]:
    """Bits per byte of what each judge keeps, of random documents and of the oracle."""
    paragraphs = [one["text"] for one in _records(next(shared("wikitext2_small").glob("*test*.gz")))]
    sizes = np.cumsum([len(text.encode()) for text in paragraphs])
    test = Documents.of(paragraphs[: int(np.searchsorted(sizes, TEST_BYTES)) + 1])
    group = np.array([one["group"] for one in pool])
    bits: dict[str, list[np.ndarray]] = {"judge": [], "random": [], "oracle": []}
    told: list[dict[str, float]] = []
    for seed, (folder, labelled) in enumerate(judges):
        rows, scores = _scores(pool, folder, labelled, seed)
        kept = rows[np.argsort(-scores)[: round(KEPT * len(rows))]]
        wiki, spam = group[rows] == "wiki", group[rows] == "spam"
        told.append(
            {
                "auc": float(roc_auc_score(wiki[wiki | spam], scores[wiki | spam])),
                "kept_wiki": float((group[kept] == "wiki").mean()), "kept_spam": float((group[kept] == "spam").mean()),
                "seconds": round(time.process_time(), 1),
            }
        )  # fmt: skip
        for name, chosen in (("judge", kept), ("random", rows), ("oracle", rows[wiki])):
            order = np.random.default_rng(seed).permutation(chosen)
            bits[name].append(train(_first_bytes([pool[at]["text"] for at in order])).bits(test))
    total = len(test.buffer)
    gains = np.array(
        [one - other for one, other in zip(bits["random"], bits["judge"], strict=True)]
    )  # (seeds, paragraphs)
    rng = np.random.default_rng(0)
    resampled = [
        gains[rng.integers(0, len(gains), len(gains))][:, at].sum(axis=1).mean() / test.sizes[at].sum()
        for at in rng.integers(0, len(test), (RESAMPLES, len(test)))
    ]
    return {
        "bits_per_byte": {name: [round(float(one.sum() / total), 4) for one in many] for name, many in bits.items()},
        "gain_over_random": round(float(gains.sum(axis=1).mean() / total), 4),
        "interval_95": [round(float(at), 4) for at in np.quantile(resampled, (0.025, 0.975))],
        "judges": told,
    }  # fmt: skip


def _scores(pool: list[dict[str, Any]], folder: Path, labelled: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Candidates as numbers in the pool, and their scores, through the method itself."""
    parts = np.full(len(pool), "train", object)
    parts[labelled] = "validation"
    parts[labelled[:4]] = "test"
    with tempfile.TemporaryDirectory() as made:
        file, out = Path(made) / "pool.jsonl", Path(made) / "canonical"
        out.mkdir()
        lines = (
            json.dumps({"id": str(at), "text": one["text"], "split": parts[at]}) + "\n" for at, one in enumerate(pool)
        )
        file.write_text("".join(lines))
        KIND.ingest.run([("pool.jsonl", file)], {}, out, Context(), {})
        corpus = KIND.load(out)
        ctx = Context(seed=seed, credentials={"judge": {"backend": "hf-local", "path": str(folder)}})
        made_of = ask_llm(corpus, AskLLMParams(rate=KEPT, max_input_tokens=TOKENS), ctx)
        ids = [int(one) for batch in corpus.read(made_of.candidates, ("id",)) for one in batch.column(0).to_pylist()]
        return np.array(ids), made_of.scores["ask-llm"]


def _first_bytes(texts: list[str]) -> Documents:
    sizes = np.cumsum([len(text.encode()) for text in texts])
    return Documents.of(texts[: int(np.searchsorted(sizes, TRAIN_BYTES)) + 1])


def _timed(work: Callable[[], list[float]]) -> tuple[float, list[float]]:
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def _records(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    main()
