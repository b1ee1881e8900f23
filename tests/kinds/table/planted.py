"""Made-up customers: two numbers with a long tail, one with gaps, two categories, an id, and a label they decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CITIES = ("Bonn", "Oslo", "Rome", "Turin")


def customers(rows: int, seed: int = 0) -> dict[str, list[str]]:
    """Columns of cells as text; the label `churn` is yes or no, `spent` a number to predict."""
    rng = np.random.default_rng(seed)
    age, income = rng.integers(18, 90, rows), np.round(rng.lognormal(8, 1, rows), 2)
    visits = rng.poisson(4, rows)
    city, plan = rng.integers(0, 4, rows), rng.integers(0, 3, rows)
    score = 0.05 * (age - 50) + 0.8 * (np.log(income) - 8) - 0.4 * visits + 1.5 * (city == 2) - (plan == 0) + 1.5
    churn = rng.random(rows) < 1 / (1 + np.exp(-1.5 * score))
    spent = np.round(100 + 20 * score + 5 * rng.standard_normal(rows), 3)
    gaps = rng.random(rows) < 0.1
    return {
        "customer": [f"c{number:05d}" for number in rng.permutation(rows)],
        "age": [str(value) for value in age],
        "income": [f"{value:.2f}" for value in income],
        "visits": ["" if gap else str(value) for gap, value in zip(gaps, visits, strict=True)],
        "city": [CITIES[place] for place in city],
        "plan": [("basic", "plus", "?")[place] for place in plan],
        "churn": ["yes" if value else "no" for value in churn],
        "spent": [f"{value:.3f}" for value in spent],
    }


def customers_csv(file: Path, rows: int = 600, *, leave_out: tuple[str, ...] = ("spent",), seed: int = 0) -> Path:
    """The customers as CSV without some columns."""
    columns = {name: cells for name, cells in customers(rows, seed).items() if name not in leave_out}
    lines = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
    file.write_text("\n".join(lines) + "\n")
    return file
