"""What a bandit job delivers, as files for any program, and back: a learnt policy, or rounds that stand for a log.

A learnt policy lies in `policy.json`, `weights.npz` and `predict.py` (see `learning.policy_artefact`). Rounds:

    rounds.parquet   action, reward, propensity, round_weight[, user, position, timestamp], context_0, context_1, ...
    load.py          a loader that needs pyarrow and numpy only
    summary.json     how the rounds were picked
    dataset/         the same rounds as canonical files of a dataset version, policies included

The same summary gives the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from worker.kinds.bandit import canonical
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.learning.policy_artefact import LearntPolicy
from worker.kinds.bandit.rounds.summary import RoundsSummary

FORMAT = "distillery-rounds"
VERSION = 1
LOADER = '''"""Load this summary: `rounds` has an array per column; means over rounds are weighted by `round_weight`."""
import pathlib
from pyarrow import parquet

table = parquet.read_table(pathlib.Path(__file__).resolve().parent / "rounds.parquet")
rounds = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def value(pi_a):
    """SNIPS estimate of a policy that gives the logged actions the probabilities `pi_a`."""
    w = rounds["round_weight"] * pi_a / rounds["propensity"]
    return float((w * rounds["reward"]).sum() / w.sum())
'''


def write(made: LearntPolicy | RoundsSummary, folder: Path) -> None:
    """Write all files into `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(made, LearntPolicy):
        made.write(folder)
        return
    parquet.write_table(_table(made.log), folder / "rounds.parquet", compression="zstd")
    (folder / "load.py").write_text(LOADER, encoding="utf-8")
    about = {"format": FORMAT, "version": VERSION, "settings": made.settings, "warnings": list(made.warnings)}
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    (folder / "dataset").mkdir()
    canonical.write(made.log, folder / "dataset")


def read(folder: Path) -> LearntPolicy | RoundsSummary:
    """What was delivered, from its files. Raises `ValueError` for files that are not such a bundle."""
    if (folder / "policy.json").exists():
        return LearntPolicy.read(folder)
    about = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    if about.get("format") != FORMAT or about.get("version") != VERSION:
        raise ValueError(f"{folder} is not a bundle of this kind and version")
    return RoundsSummary(canonical.load(folder / "dataset"), about["settings"], tuple(about["warnings"]))


def _table(log: BanditLog) -> pa.Table:
    ids = log.action if log.action_ids is None else log.action_ids[log.action]
    columns: dict[str, Any] = {
        "action": pa.array(ids.tolist()),
        "reward": log.reward,
        "propensity": log.propensity,
        "round_weight": log.round_weight,
    }
    for name in ("user", "position", "timestamp"):
        if (values := getattr(log, name)) is not None:
            columns[name] = values
    columns |= {f"context_{number}": column for number, column in enumerate(log.x.T)}
    return pa.table(columns)
