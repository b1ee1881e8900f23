"""What the report of an estimate on doses adds: the path over bandwidths, and what the bandwidth does to the value."""

from __future__ import annotations

from worker.evidence.plot import Plot, Series
from worker.evidence.table import Cell, Column, Table
from worker.evidence.wording import decimals_of, decimals_of_column, number
from worker.kinds.bandit.continuous.bandwidth import Path
from worker.kinds.bandit.estimation.wording import signed
from worker.kinds.bandit.stepwise.target import TargetResult


def said_of(one: TargetResult, path: Path) -> str:
    """Bandwidth, why, and its bias, in a sentence."""
    bias = one.details["bias"]
    assert isinstance(bias, dict)  # noqa: S101 - a dosed target has one
    return (
        f"{one.name}: the bandwidth is {number(path.bandwidth, 3)}, {path.rule}; it moves the value by "
        f"{signed(bias['value'], bias['low'], bias['high'])}, which the interval allows for."
    )


def table(found: list[tuple[TargetResult, Path]]) -> Table:
    """The value at every bandwidth."""
    rows: list[dict[str, Cell]] = [
        {
            "target": one.name, "bandwidth": float(h), "value": row.value, "low": row.low, "high": row.high,
            "ess": row.ess, "taken": "taken" if i == path.chosen else "",
        }
        for one, path in found
        for i, (h, row) in enumerate(zip(path.bandwidths, path.rows, strict=True))
    ]  # fmt: skip
    widths = [(row.high - row.low) / 2 for _, path in found for row in path.rows]
    decimals = decimals_of_column(widths)
    finest = min((float(path.bandwidths[0]) for _, path in found), default=1.0)
    return Table(
        "bandwidths",
        "Kernel SNIPW by bandwidth",
        (
            Column("target", "Target policy", "text"),
            Column("bandwidth", "Bandwidth", decimals=decimals_of(finest)),
            Column("value", "Value", unit="reward a round", decimals=decimals, interval=("low", "high")),
            Column("low", "Low", unit="reward a round", decimals=decimals),
            Column("high", "High", unit="reward a round", decimals=decimals),
            Column("ess", "Effective sample size", unit="rounds", decimals=1),
            Column("taken", "", "text"),
        ),
        tuple(rows),
        note="These intervals leave out the bias of the bandwidth.",
        heading="Bandwidths",
        group="target",
        folded=True,
    )


def plot(one: TargetResult, path: Path, n: int) -> Plot:
    """Bias against variance: the value as the bandwidth grows."""
    x = tuple(float(h) for h in path.bandwidths)
    series = Series(
        "Kernel SNIPW", x, tuple(r.value for r in path.rows), tuple(r.low for r in path.rows),
        tuple(r.high for r in path.rows),
    )  # fmt: skip
    taken = Series("Taken", (path.bandwidth,), (path.rows[path.chosen].value,), stress=("Taken",))
    return Plot(
        f"bandwidths-{one.name}",
        f"{one.name}: the value by bandwidth",
        "From left to right more rounds count and intervals shrink, while doses farther from the target's come in.",
        "line",
        "bandwidth (log scale)",
        "reward a round",
        (series, taken) if len(x) > 1 else (),
        log_x=True,
        n=n,
    )
