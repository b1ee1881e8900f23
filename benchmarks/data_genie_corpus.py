"""What Data-Genie learns from: for many datasets, how well samples of them rank a zoo of recommenders.

    python -m benchmarks.data_genie_corpus CORPUS [--only msweb-0 ...]

writes one JSON file a dataset into the folder CORPUS, and skips those that lie there already. Datasets: parts of MSWeb,
made-up ones (`tests.kinds.interactions.power_law`), and, where they lie beside the clone, the shared ones, which may
serve to measure Data-Genie but never go into the model that ships. Larger ones are cut to 1,000 users and 500 items.

Zoo: learners that take a fraction of a second, each tuned over three settings; 18 samplers, five sizes, one draw. About
100 s a dataset on one thread.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyarrow import csv, parquet
from pyarrow import json as arrow_json

from tests.kinds.interactions.power_law import World
from worker.contract.context import Context
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.genie.features import features
from worker.kinds.interactions.judge import evaluate_params
from worker.kinds.interactions.preservation import FULL, compare
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.sampling.samplers import available, orders
from worker.kinds.interactions.splits import TEST, VALIDATION, clean

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("DISTILLERY_SHARED_DATA", ROOT.parent / "shared" / "data"))
PERCENTS = (80, 40, 20, 10, 1)
ZOO = ("popularity", "ease", "infinite-ae", "item-knn", "svd-ae")
USERS, ITEMS = 1000, 500
Columns = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def worlds(count: int = 16) -> dict[str, Callable[[], Interactions]]:
    """Made-up datasets of all shapes, by name."""
    found: dict[str, Callable[[], Interactions]] = {}
    for number in range(count):
        rng = np.random.default_rng([11, number])
        world = World(
            users=int(rng.integers(400, 1200)),
            items=int(rng.integers(120, 500)),
            mean_events=float(np.exp(rng.uniform(np.log(5), np.log(50)))),
            spread=float(rng.uniform(0.4, 1.3)),
            zipf=float(rng.uniform(0.4, 1.3)),
            tastes=int(rng.integers(3, 30)),
            taste=float(rng.uniform(0.3, 0.9)),
            drift=float(rng.choice([0.0, 0.2, 0.6])),
        )
        found[f"made-up-{number:02d}"] = lambda world=world, number=number: world.interactions(number)
    return found


def cut(columns: Columns, seed: int, users: int = USERS, items: int = ITEMS) -> Interactions:
    """The `items` most used items, and `users` random users of those who have five events among them, split anew."""
    user, item, when = columns
    _, first = np.unique(np.stack((user, item)), axis=1, return_index=True)
    user, item = user[first], item[first]
    when = None if when is None else when[first]
    popular = np.argsort(-np.bincount(item), kind="stable")[:items]
    inside = np.isin(item, popular)
    counts = np.bincount(user[inside])
    able = np.flatnonzero(counts >= (5 if (counts >= 5).sum() >= users else 3))
    chosen = np.random.default_rng(seed).permutation(able)[:users]
    kept = inside & np.isin(user, chosen)
    user_ids, user = np.unique(user[kept], return_inverse=True)
    item_ids, item = np.unique(item[kept], return_inverse=True)
    split = clean(user, seed=seed)
    when = None if when is None else when[kept]
    return Interactions.from_columns(user, item, split, user_ids=user_ids, item_ids=item_ids, timestamp=when)


def _codes(values: Any) -> np.ndarray:
    return np.unique(np.asarray(values).astype(str), return_inverse=True)[1]


def _msweb() -> Columns:
    table = parquet.read_table(ROOT / "distillery" / "data" / "msweb.parquet")
    return _codes(table["user_id"].to_numpy()), _codes(table["item_id"].to_numpy()), None


def _inter(file: Path) -> Columns:
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as source:
        table = csv.read_csv(source, parse_options=csv.ParseOptions(delimiter="\t"))
    names = {name.partition(":")[0]: name for name in table.column_names}
    user, item, when = (table[names[name]].to_numpy() for name in ("user_id", "item_id", "timestamp"))
    return _codes(user), _codes(item), when.astype(np.int64)


def _published(file: Path) -> Columns:
    table = csv.read_csv(file)
    return _codes(table["user_id"].to_numpy()), _codes(table["item_id"].to_numpy()), None


def _reviews(file: Path) -> Columns:
    with gzip.open(file, "rb") as source:
        table = arrow_json.read_json(source)
    user, item = (_codes(table[name].to_numpy(zero_copy_only=False)) for name in ("reviewerID", "asin"))
    return user, item, table["unixReviewTime"].to_numpy().astype(np.int64)


def _pairs(file: Path) -> Columns:
    with gzip.open(file) as source:
        table = np.loadtxt(source, dtype=np.int64)
    return table[:, 0], table[:, 1], np.arange(len(table))


def _lines(file: Path) -> Columns:
    with gzip.open(file, "rt") as source:
        rows = [np.array(line.split(), np.int64) for line in source]
    user = np.repeat([row[0] for row in rows], [len(row) - 1 for row in rows])
    return user, np.concatenate([row[1:] for row in rows]), np.arange(len(user))


def datasets() -> dict[str, Callable[[], Interactions]]:
    """Every dataset by name; those that may go into the model that ships alternate with the shared ones."""
    shared: dict[str, tuple[str, Callable[[Path], Columns]]] = {
        "ml-100k": ("ml-100k/ml-100k.inter", _inter),
        "ml-1m": ("ml-1m/interactions.csv.gz", _published),
        "magazine": ("amazon-magazine/interactions.csv.gz", _published),
        "magazine-times": ("seq-amazon-magazine/magazine.inter.gz", _inter),
        "musical-instruments": ("amazon-musical-instruments/reviews.jsonl.gz", _reviews),
        "video-games": ("amazon-video-games-seq/Video.txt.gz", _pairs),
        "beauty": ("seq-amazon-beauty/Beauty.txt.gz", _lines),
        "sports": ("seq-amazon-sports/Sports_and_Outdoors.txt.gz", _lines),
    }
    free = {f"msweb-{seed}": lambda seed=seed: cut(_msweb(), seed, users=2000) for seed in range(2)} | worlds()
    held = {
        name: lambda path=path, read=read: cut(read(SHARED / path), 0)
        for name, (path, read) in shared.items()
        if (SHARED / path).exists()
    }
    found: dict[str, Callable[[], Interactions]] = {}
    rest = list(held.items())
    for name, make in free.items():
        found[name] = make
        if rest:
            other, made = rest.pop(0)
            found[other] = made
    return found | dict(rest)


def measure(data: Interactions, zoo: tuple[str, ...] = ZOO, percents: tuple[float, ...] = PERCENTS) -> dict[str, Any]:
    """Features and the zoo's metrics, of the full data and of every sample."""
    params = evaluate_params()(
        learners=list(zoo), k=[10, 50], max_users=300, landmarks=200, tune_users=300, test_users=800
    )
    ctx = Context(seed=0)
    events = TrainEvents.of(data)
    found = compare(data, available(events), percents, params, ctx, grid=3)
    split = data.events.split
    held = {"validation": int((split == VALIDATION).sum()), "test": int((split == TEST).sum())}
    seen: dict[str, np.ndarray] = {}
    with ctx.part("draw 0") as part:  # the very samples that were compared
        for name, order in orders(events, available(events), part, most=round(len(events) * max(percents) / 100)):
            for percent in percents:
                mask = order.events(max(1, round(len(events) * percent / 100)))
                seen[f"{name} {percent:g}"] = np.append(features(events, mask, **held), mask.sum())
    samples = []
    for sample in found.samples:
        shape = seen[f"{sample.sampler} {sample.percent:g}"]
        if shape[-1] != sample.events:
            raise AssertionError(f"{sample.name} is not the sample that was compared")
        values = {metric: found.values(sample.name, metric).tolist() for metric in found.metrics}
        samples.append(
            {"sampler": sample.sampler, "percent": sample.percent, "events": sample.events,
             "features": np.round(shape[:-1], 5).tolist(), "values": values}
        )  # fmt: skip
    return {
        "learners": found.learners,
        "full": {metric: found.values(FULL, metric).tolist() for metric in found.metrics},
        "features": np.round(features(events, **held), 5).tolist(),
        "samples": samples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--only", nargs="*")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.corpus.mkdir(parents=True, exist_ok=True)
    for name, make in datasets().items():
        file = given.corpus / f"{name}.json"
        if (given.only and name not in given.only) or file.exists():
            continue
        started = time.perf_counter()
        found = measure(make())
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps({"name": name, **found}, allow_nan=True))
        partial.rename(file)
        sys.stderr.write(f"{name}: {time.perf_counter() - started:.0f} s\n")


if __name__ == "__main__":
    main()
