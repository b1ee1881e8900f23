"""What a summary keeps for the bytes it takes: every form beside every cheap pick of equal bytes, by size.

    python -m benchmarks.per_byte [--only msweb-0 ml-1m ...] [--sizes 2% 5%]

MSWeb in three splits; Magazine and ML-1M where they lie beside the clone (or in $DISTILLERY_SHARED_DATA). Settings of
every learner on every set, and all choices inside the methods, are made on validation users; test users are measured
on once. Shares are of nDCG@10 of the same learner on the full data, `ahead` is the paired difference of the summary to
that set in points of share, both with 95 % intervals. Written after every size to benchmarks/results/per_byte.json;
`--markdown` prints it as the tables of docs/per_byte.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, machine
from tests.official_splits import msweb, official
from worker.contract.context import Context
from worker.evidence.comparison import Comparison
from worker.evidence.measurements import Measurements
from worker.evidence.statistics import Estimate
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.judge import evaluate_params, judge
from worker.kinds.interactions.methods.coreset import CoresetParams, coreset
from worker.kinds.interactions.methods.distill_cf import DistillCFParams, distill_cf
from worker.kinds.interactions.summary import InteractionsSummary

Make = Callable[[Interactions, str, Context], InteractionsSummary]
DATA: dict[str, tuple[Callable[[], Interactions], tuple[str, ...]]] = {
    "msweb-0": (lambda: msweb(0), ("1%", "2%", "5%", "10%")),
    "msweb-1": (lambda: msweb(1), ("1%", "2%", "5%")),
    "msweb-2": (lambda: msweb(2), ("1%", "2%", "5%")),
    "amazon-magazine": (lambda: official("amazon-magazine"), ("2%", "5%", "10%", "20%")),
    "ml-1m": (lambda: official("ml-1m"), ("10%", "5%", "2%", "20%", "1%", "60 rows")),
}
METHODS: dict[str, Make] = {
    "coreset": lambda data, size, ctx: coreset(data, CoresetParams(budget=size), ctx),
    "ranked": lambda data, size, ctx: distill_cf(data, DistillCFParams(budget=size, export="ranked"), ctx),
    "soft": lambda data, size, ctx: distill_cf(data, DistillCFParams(budget=int(size), export="both"), ctx),
}
FILE = RESULTS / "per_byte.json"


def main() -> None:
    """Measure what was asked for and add it to what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--sizes", nargs="+")
    parser.add_argument("--learners", nargs="+", default=["ease", "infinite-ae"])
    parser.add_argument("--markdown", action="store_true", help="print what is known as tables and measure nothing")
    given = parser.parse_args()
    if given.markdown:
        print(markdown(json.loads(FILE.read_text())["data"]))
        return
    for name in given.only:
        make, sizes = DATA[name]
        data, ctx = make(), Context(content=name)  # one context: figures of the full data are computed once
        for size in given.sizes or sizes:
            add(name, size, cell(data, size, given.learners, ctx))


def cell(data: Interactions, size: str, learners: list[str], ctx: Context) -> dict[str, Any]:
    """Every set of one size: a share of the bytes, or a number of rows."""
    rows = size.endswith(" rows")
    budget = size.removesuffix(" rows")
    mean = data.train.nnz / len(data.training())
    kinds = ("coreset", "soft") if rows else ("coreset",) if mean < 10 else ("ranked", "coreset")
    summaries: list[InteractionsSummary] = []
    seconds: dict[str, float] = {}
    for kind in kinds:
        started = time.perf_counter()
        summaries.append(METHODS[kind](data, budget, Context(seed=ctx.seed)))
        seconds[kind] = round(time.perf_counter() - started, 1)
    params = evaluate_params()(learners=learners, k=[10], tune_users=2000, bootstrap=1000)
    measured = judge(data, summaries, params, ctx)
    return {"seconds": seconds, "load": machine()["load_average"], "sets": list(lines(measured, kinds))}


def lines(m: Measurements, kinds: tuple[str, ...]) -> Any:
    """One record a set: sizes, and for each learner its share and how far the first summary is ahead."""
    c = Comparison(m)
    for one in m.sets:
        number = one.name.removeprefix("summary-").partition("-")[0]  # summary, summary-2, summary-2-soft
        which = int(number) - 1 if number.isdigit() else 0
        label = f"{kinds[which]}: {one.label}" if one.role == "summary" else one.label
        found: dict[str, Any] = {}
        for learner in m.learners:
            share = c.share(learner.name, one.name)
            if share is None:
                continue
            ahead = c.ahead_in_share(learner.name, m.summary.name, one.name)
            found[learner.name] = {
                "ndcg@10": round(100 * mean.value, 2) if (mean := c.mean(learner.name, one.name)) else None,
                "kept": interval(share.estimate),
                "ahead": interval(ahead.estimate) if ahead and one.role != "full" else None,
            }
        yield {
            "name": one.name, "label": label, "role": one.role, "equal": one.equal, "rows": one.rows,
            "bytes": one.bytes, "bytes_share": round(100 * one.bytes / m.full.bytes, 3), "compressed": one.compressed,
            "learners": found,
        }  # fmt: skip


def markdown(data: dict[str, Any]) -> str:
    """The tables of docs/per_byte.md."""
    found: list[str] = []
    for name, cells in data.items():
        found += [f"**{name}**", "", "| of the bytes | trained on | rows | bytes | compressed | EASE | ∞-AE |"]
        found.append("|---|---|---|---|---|---|---|")
        for size, cell_ in cells.items():
            for one in cell_["sets"]:
                kept = [one["learners"].get(learner, {}).get("kept") for learner in ("ease", "infinite-ae")]
                shown = [f"{k[0]:.1f} [{k[1]:.1f}, {k[2]:.1f}]" if k else "" for k in kept]
                words = [size, one["label"], f"{one['rows']:,}", f"{one['bytes']:,}", f"{one['compressed']:,}", *shown]
                if one["role"] != "full":
                    found.append(f"| {' | '.join(words)} |")
        found.append("")
    return "\n".join(found)


def interval(estimate: Estimate) -> list[float]:
    """A share with the ends of its interval, in per cent."""
    return [round(100 * value, 2) for value in (estimate.value, estimate.low, estimate.high)]


def add(name: str, size: str, found: dict[str, Any]) -> None:
    """Write a cell beside those that are there."""
    Path(RESULTS).mkdir(exist_ok=True)
    known = json.loads(FILE.read_text()) if FILE.exists() else {"data": {}}
    known["machine"] = machine("torch", "numpy", "scipy")
    known["data"].setdefault(name, {})[size] = found
    FILE.write_text(json.dumps(known, indent=1) + "\n")
    print(name, size, {one["label"]: {k: v["kept"][0] for k, v in one["learners"].items()} for one in found["sets"]})


if __name__ == "__main__":
    main()
