"""What a user is told about a corpus: sizes, lengths, duplicates, sources, and some of its documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worker.contract.text import storable
from worker.kinds.text.dataset import LEFT_OUT, PARTS, Corpus, load

_SHOWN, _SHOWN_CHARS, _SOURCES = 20, 500, 50


def describe(folder: Path) -> dict[str, Any]:
    """{statistics, preview, warnings} of canonical files."""
    data = load(folder)
    return {"statistics": _statistics(data), "preview": _preview(data), "warnings": []}


def _statistics(data: Corpus) -> dict[str, Any]:
    n = len(data)
    distinct = len(np.unique(data.hash))
    found: dict[str, Any] = {
        "documents": n,
        **{f"documents_{name}": int((data.split == code).sum()) for code, name in enumerate(PARTS)},
        "documents_left_out": int((data.split == LEFT_OUT).sum()),
        "bytes": int(data.bytes.sum(dtype=np.int64)),
        "chars": int(data.chars.sum(dtype=np.int64)),
        "tokens": int(data.tokens.sum(dtype=np.int64)),
        "exact_duplicates": n - distinct,
        "exact_duplicates_share": (n - distinct) / max(1, n),
        "shards": len(data.shards),
        "sources": len(data.sources),
        "scores": list(data.score_names),
        "embedding_dimension": data.dimension,
        "split": data.split_by,
    }
    for name, values in (("chars", data.chars), ("tokens", data.tokens)):
        cuts = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]) if n else np.zeros(5)
        found[f"{name}_quantiles"] = dict(zip(("min", "q25", "median", "q75", "max"), cuts.tolist(), strict=True))
    counts = np.bincount(data.source[data.source >= 0], minlength=len(data.sources))
    most = np.argsort(-counts, kind="stable")[:_SOURCES]
    return found | {"largest_sources": {storable(data.sources[at])[:100]: int(counts[at]) for at in most}}


def _preview(data: Corpus) -> list[dict[str, Any]]:
    """The first documents, their texts shortened."""
    rows = np.arange(min(_SHOWN, len(data)))
    records = [
        one for batch in data.read(rows, ("id", "text", "source", *data.score_names)) for one in batch.to_pylist()
    ]
    return [
        {name: _shown(value) for name, value in record.items()}
        | {"split": PARTS[part] if part >= 0 else "left out", "chars": int(chars), "tokens": int(tokens)}
        for record, part, chars, tokens in zip(
            records, data.split[rows].tolist(), data.chars[rows], data.tokens[rows], strict=True
        )
    ]


def _shown(value: Any) -> Any:
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if not isinstance(value, str):
        return value
    text = storable(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + " …"
