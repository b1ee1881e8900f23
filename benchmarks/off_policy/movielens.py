"""The default selector on MovieLens-100K: semi-synthetic rewards, the 100 most popular films and the whole catalogue.

Run: `python -m benchmarks.off_policy.movielens [logs]`; needs the dataset (see tests/shared_data.py).
The upload option `simulate` makes the world: damped biases and factors of the ratings (rank 32) are the truth, another
factorisation of rank 16 gives embeddings and contexts, logging softmax(-4 q), target epsilon-greedy 0.05 on q. Logs of
10,000 rounds are drawn from it. `mse` holds the rules of the selector on paths shared by all logs; `job` the headline
of a whole estimate job, with its own cross-fitting and its own policy ESS. Bars: 100 films within 1.2 of SNIPS by every
family, the whole catalogue by ball smoothing at most 4e-2; on what a user gets, the job, and said of the rule alone
beside it. Writes `benchmarks/results/off_policy_movielens.json`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.off_policy.environments import World
from benchmarks.off_policy.large_actions import errors
from benchmarks.record import write
from tests.shared_data import shared
from worker.contract.context import Context
from worker.kinds.bandit import canonical
from worker.kinds.bandit.convolution import FAMILIES, Family
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.estimate import estimate_target
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import prepare
from worker.kinds.bandit.ingest import ingest

ROUNDS, LOGS = 10_000, 20
FILMS = (100, 1_682)
OVER_SNIPS, BALL_MSE = 1.2, 4e-2


def film_world(films: int) -> World:
    """Truth, policies, embeddings and user features that the upload option `simulate` makes of the ratings."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"simulate": "factors", "simulated_actions": films, "simulated_rounds": 30}
        ingest([("ml-100k.inter", shared("ml-100k") / "ml-100k.inter")], options, Path(folder), Context())
        log = canonical.load(Path(folder))
    assert log.truth is not None
    assert log.logging is not None
    assert log.embeddings is not None
    every = np.arange(len(log.contexts))
    tables = [policy.table.dense(every) for policy in (log.logging, log.targets["target"])]
    return World(
        log.contexts.astype(np.float64),
        log.embeddings.astype(np.float64),
        log.truth.values.astype(np.float64),
        *(table / table.sum(axis=1, keepdims=True) for table in tables),
    )


def job_error(world: World, log: BanditLog, family: Family) -> float:
    """Squared error of what the job reports."""
    ctx = Context()
    params = EstimateParams(convolution=family, reward_model="ridge", estimators=["snips"])
    prepared = prepare(log, log.targets, params, ctx)
    found = estimate_target(prepared, "target", log.targets["target"], params, ctx)
    return (found.headline.interval.value - world.value) ** 2


def column(films: int, logs: int) -> dict[str, Any]:
    """MSE of every estimator and rule on logs of one catalogue, and of whole jobs."""
    started = time.perf_counter()
    world = film_world(films)
    found = errors(lambda _: world, ROUNDS, FAMILIES, 1, logs)
    seconds = time.perf_counter() - started
    squares: dict[str, list[float]] = {family: [] for family in FAMILIES}
    for draw in range(logs):
        log = world.log(ROUNDS, draw)
        # Users stay together in folds, as in an uploaded log.
        log = replace(log, user=log.rows)
        for family in FAMILIES:
            squares[family].append(job_error(world, log, family))
        sys.stderr.write(f"{films} films, log {draw + 1}\n")
    found["mse"] |= {f"{family} job": float(np.mean(values)) for family, values in squares.items()}
    found["logging_value"] = float((world.mu * world.q).sum(axis=1).mean())
    found["max_weight"] = float((world.pi / world.mu).max())
    return found | {"seconds_rules": round(seconds, 1), "seconds": round(time.perf_counter() - started, 1)}


def bars(few: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """What the two bars ask and what was reached: by the job, which is what a user gets, and by the rule alone."""
    found: dict[str, Any] = {}
    for name, key in (("job", "job"), ("rule_alone", "default")):
        over = {family: few["mse"][f"{family} {key}"] / few["mse"]["snips"] for family in FAMILIES}
        ball = whole["mse"][f"ball {key}"]
        found[name] = {
            "over_snips_100_films": {"reached": over, "bar": OVER_SNIPS, "met": max(over.values()) <= OVER_SNIPS},
            "ball_mse_1682_films": {"reached": ball, "bar": BALL_MSE, "met": ball <= BALL_MSE},
        }
    return found


def main(logs: int = LOGS) -> None:
    """Both catalogues and their record."""
    few, whole = (column(films, logs) for films in FILMS)
    figures = {"logs": logs, "rounds": ROUNDS, "bars": bars(few, whole), "100": few, "1682": whole}
    write("off_policy_movielens", figures, ("numpy", "scipy", "torch"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else LOGS)
