"""The product of `actionpiece`: a vocabulary, the features of items, and every sequence as tokens.

Files: `actionpiece.json` and `item2feat.json` (the published layouts), `tokens.parquet` (sequence_id, split,
tokens; a sequence's training events in one row, every held-out event in a row of its own, as the label it is), and
`load.py`, which encodes and decodes with numpy alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from worker.contract.context import Context
from worker.contract.product import Origin, Product
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.pieces.corpus import Written
from worker.kinds.sequences.pieces.loader import LOADER
from worker.kinds.sequences.pieces.vocabulary import Vocabulary
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.splits import SPLIT_NAMES

TOKENS_FILE = "tokens.parquet"


@dataclass(frozen=True)
class Tokeniser(Product):
    """`item_features`: int64 (V, m), features of the items `item_ids`, text (V,); `ids`: text (n,), of the sequences.

    `facts`: what was found while features were built, JSON.
    """

    type: ClassVar[str] = "tokeniser"

    vocabulary: Vocabulary
    item_features: np.ndarray
    item_ids: np.ndarray
    ids: np.ndarray
    written: Written
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    origin: Origin = field(default_factory=Origin)
    warnings: tuple[str, ...] = ()

    def write(self, folder: Path, data: Sequences) -> None:
        """Write the delivered files."""
        self.vocabulary.write(folder / "actionpiece.json")
        features = dict(zip(self.item_ids.tolist(), self.item_features.tolist(), strict=True))
        (folder / "item2feat.json").write_text(json.dumps(features, ensure_ascii=False) + "\n", encoding="utf-8")
        names = np.array([SPLIT_NAMES[code] for code in sorted(SPLIT_NAMES)])
        codes = np.searchsorted(np.array(sorted(SPLIT_NAMES)), self.written.split)
        rows = self.written.rows
        table = pa.table(
            {
                "sequence_id": pa.array(self.ids[self.written.sequence], pa.string()),
                "split": pa.array(names[codes], pa.string()),
                "tokens": pa.LargeListArray.from_arrays(rows.indptr, pa.array(rows.items, pa.int32())),
            }
        )
        parquet.write_table(table, folder / TOKENS_FILE, compression="zstd")
        (folder / "load.py").write_text(LOADER, encoding="utf-8")
        about = {"origin": self.origin.to_json(), "facts": dict(self.facts), "warnings": list(self.warnings)}
        (folder / "tokeniser.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Tokeniser:
        """The tokeniser back from its files."""
        about = json.loads((folder / "tokeniser.json").read_text(encoding="utf-8"))
        features = json.loads((folder / "item2feat.json").read_text(encoding="utf-8"))
        table = parquet.read_table(folder / TOKENS_FILE)
        tokens = table["tokens"].combine_chunks()
        names = table["sequence_id"].to_numpy(zero_copy_only=False).astype(str)
        fresh = np.ones(len(names), bool)
        fresh[1:] = names[1:] != names[:-1]
        code_of = {name: code for code, name in SPLIT_NAMES.items()}
        splits = np.array([code_of[name] for name in table["split"].to_pylist()], np.int8)
        rows = Rows(np.asarray(tokens.offsets, np.int64), np.asarray(tokens.values, np.int32))
        return cls(
            Vocabulary.read(folder / "actionpiece.json"),
            np.array(list(features.values()), np.int64),
            np.array(list(features), dtype=str),
            names[fresh],
            Written(rows, splits, np.cumsum(fresh) - 1),
            about["facts"],
            Origin.from_json(about["origin"]),
            tuple(about["warnings"]),
        )

    def judge(self, data: Sequences, params: Any, ctx: Context) -> Any:
        """How short it writes held-out sequences, and whether they come back; see `token_report`."""
        from worker.kinds.sequences.token_report import judge

        return judge(data, self, params, ctx)
