"""Write docs/figures/*.svg from the committed results of the benchmarks: `python -m docs.write_figures`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.evidence.drawing import draw, looks_of
from worker.evidence.looks import OWN
from worker.evidence.plot import Plot, Series

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
FIGURES = Path(__file__).with_name("figures")
NAMES = {
    "ips": "IPS",
    "snips": "SNIPS",
    "dr": "DR",
    "dm": "DM",
    "tree default": "policy convolution",
    "pc_snips": "PC-SNIPS, known clusters",
}
_OF_FAMILY = {
    "real nodes": "random degree pagerank herding k-center",
    "clusters": "averaging k-means-prop cgc cgc-x deepcgc",
    "clusters of all nodes": "clustgdd teacher-k-means",
    "matched gradients": "gcond gcond-x doscond doscond-x",
    "matched distributions": "gcdm gcdm-x",
    "matched trajectories": "sfgc geom",
    "kernel": "gcsntk",
    "coarsening": "variation-neighborhoods variation-edges heavy-edge algebraic-jc affinity-gs vng",
    "fewer edges": "random-edge effective-resistance local-degree spanning-forest t-spanner jaccard scan rank-degree",
}
FAMILIES = {name: family for family, names in _OF_FAMILY.items() for name in names.split()}
SWEEPS = {
    "actions": ("number of actions", True),
    "rounds": ("rounds in the log", True),
    "mismatch": ("sharpness of the logging policy against the target", False),
    "tilt": ("tilt of the two policies inside clusters", False),
}


def figures() -> dict[str, Plot]:
    """Every figure whose results are there, by file name."""
    found: dict[str, Plot] = {}
    for source, title in (
        ("figures", "Estimates in the synthetic environment"),
        ("clusters", "Estimates with clean clusters of actions"),
    ):
        file = RESULTS / f"off_policy_{source}.json"
        if not file.exists():
            continue
        results = json.loads(file.read_text())
        for sweep, (label, log_x) in SWEEPS.items():
            if sweep in results:
                found[f"off-policy-{source}-{sweep}"] = _sweep(f"{title}, by {label}", results[sweep], label, log_x)
    graphs = RESULTS / "graphs.json"
    if graphs.exists():
        results = json.loads(graphs.read_text())
        for data in ("cora", "pubmed"):
            if data in results:
                found[f"graphs-{data}"] = _reductions(data, results[data])
    return found


def _reductions(data: str, results: Mapping[str, Any]) -> Plot:
    """Accuracy against seconds of every method, a cloud for each class of methods."""
    clouds: dict[str, list[tuple[float, float]]] = {}
    for name, row in results["methods"].items():
        if "seconds" in row:
            at = (max(row["seconds"], 0.01), row["accuracy"])
            clouds.setdefault(FAMILIES.get(name, "other reductions"), []).append(at)
    whole = results["methods"].get("whole graph", {}).get("accuracy")
    series = [
        Series(family, tuple(x for x, _ in points), tuple(y for _, y in points))
        for family, points in sorted(clouds.items())
    ]
    shown = {"cora": "Cora", "pubmed": "PubMed"}[data]
    title = f"{shown}: accuracy against seconds"
    said = f"Every method at {results['nodes']} nodes" + (
        "" if whole is None else f"; the whole graph has {whole:.1f} %"
    )
    return Plot(
        f"graphs-{data}", title, said + ".", "scatter", "seconds of reduction (log scale)",
        "test accuracy of a GCN, %", tuple(series), log_x=True,
    )  # fmt: skip


def _sweep(title: str, results: Mapping[str, Any], label: str, log_x: bool) -> Plot:
    x = sorted((abs(float(key)), key) for key in results)
    series = []
    for name, shown in NAMES.items():
        if all(name in results[key]["mse"] for _, key in x):
            y = tuple(results[key]["mse"][name] for _, key in x)
            series.append(
                Series(shown, tuple(at for at, _ in x), y, stress=(shown,) if "conv" in shown or "PC" in shown else ())
            )
    said = "; ".join(f"{s.label} from {s.y[0]:.1e} to {s.y[-1]:.1e}" for s in series)
    return Plot(
        title.replace(" ", "-"),
        title,
        f"Mean squared error of the estimated value. {said}.",
        "line",
        label + (" (log scale)" if log_x else ""),
        "mean squared error (log scale)",
        tuple(series),
        log_x=log_x,
        log_y=True,
    )


if __name__ == "__main__":
    FIGURES.mkdir(exist_ok=True)
    drawn = figures()
    looks = looks_of(drawn.values(), {NAMES["tree default"]: OWN})
    for name, plot in drawn.items():
        (FIGURES / f"{name}.svg").write_text(draw(plot, looks), encoding="utf-8")
