"""A million rounds and a hundred thousand actions: seconds and peak memory of one estimate on two cores.

Run: `python -m benchmarks.off_policy.scale`. Every round has a row of its own in both policies: the target lists 20
actions (a CSR table of 20 million entries), the logging policy 20 that share 10 with it; actions have a two-level
hierarchy of 100 and 1,000 groups and 16 embedding columns, contexts 10 columns. Nothing of size rounds x actions can
exist (800 GB). The log is written as a dataset version; each part loads it from disk in a process of its own, the best
of three. `functions` times the steps one by one; a whole `estimate` job's loading, preparation and estimate are
`plain` with IPS, SNIPS, DR on a ridge, PC-IPS and PC-SNIPS at the least smoothing with policy ESS 5, and `default` with
the default selector and its own reward model. Bars, of `plain`: under 5 s, under 1 GB of memory. `own_mb` is what the
process has taken, `peak_mb` its whole resident memory with the pages of the 320 MB of mapped policies and 390 MB of
libraries, which it holds before it has read anything (`imported_mb`).
Writes `benchmarks/results/off_policy_scale.json`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.record import write
from worker.contract.context import Context
from worker.kinds.bandit import canonical
from worker.kinds.bandit.convolution import convolution
from worker.kinds.bandit.convolution.weights import path_weights
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.deficiency import detect
from worker.kinds.bandit.diagnostics import diagnose
from worker.kinds.bandit.estimation.estimate import estimate_target
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import prepare
from worker.kinds.bandit.estimators import ESTIMATORS, Terms
from worker.kinds.bandit.estimators.group_ips import group_weight
from worker.kinds.bandit.policies import Policy, SparseTable
from worker.kinds.bandit.reward_models import ridge
from worker.kinds.bandit.reward_models.crossfit import crossfit

ROUNDS, ACTIONS, LISTED = 1_000_000, 100_000, 20
PARTS = ("functions", "plain", "default")
PLAIN = EstimateParams(
    estimators=["ips", "snips", "dr", "pc_ips", "pc_snips"], selection="k5", reward_model="ridge", convolution="tree"
)


def draw(folder: Path, rounds: int = ROUNDS, actions: int = ACTIONS) -> None:
    """Draw the log and write it as a dataset version."""
    rng = np.random.default_rng(0)
    contexts = rng.standard_normal((rounds, 10), np.float32)
    # 30 neighbouring places of a random order of the actions a round: the first 20 are logged, the last 20 targeted.
    order = rng.permutation(actions).astype(np.int32)
    start = rng.integers(0, actions, rounds)
    tables = []
    for shift in (0, 10):
        listed = np.sort(order[(start[:, None] + shift + np.arange(LISTED)) % actions], axis=1)
        mass = rng.exponential(size=(rounds, LISTED)).astype(np.float32)
        mass /= mass.sum(axis=1, keepdims=True)
        pointers = np.arange(0, rounds * LISTED + 1, LISTED)
        tables.append(sparse.csr_array((mass.ravel(), listed.ravel(), pointers), (rounds, actions)))
    logging = tables[0]
    mass = logging.data.reshape(rounds, LISTED).cumsum(axis=1)
    chosen = np.minimum((mass < rng.random(rounds)[:, None] * mass[:, -1:]).sum(axis=1), LISTED - 1)
    place = np.arange(rounds) * LISTED + chosen
    groups = np.empty(actions, np.int32)
    groups[order] = np.arange(actions) * 1_000 // actions  # neighbours in the order share a group
    embeddings = rng.standard_normal((1_000, 16), np.float32)[groups]
    embeddings += 0.3 * rng.standard_normal((actions, 16), np.float32)
    action = logging.indices[place].astype(np.int32)
    score = contexts[:, 0] + embeddings[action, 0]
    log = BanditLog(
        action,
        (rng.random(rounds) < 1 / (1 + np.exp(-score))).astype(np.float64),
        logging.data[place].astype(np.float64),
        actions,
        contexts,
        logging=Policy(SparseTable(logging)),
        targets={"target": Policy(SparseTable(tables[1]))},
        embeddings=embeddings,
        hierarchy=np.stack([groups // 10, groups]).astype(np.int32),
        reward_range=(0.0, 1.0),
    )
    canonical.write(log, folder)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


class OwnMemory:
    """Peak of anonymous memory, looked at every 20 ms: what a process has taken beside the files that it maps."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.peak_mb = max(self.peak_mb, kilobytes / 1000)
            time.sleep(0.02)


def clocked(found: dict[str, Any], name: str, call: Callable[[], Any]) -> Any:
    """Seconds, processor seconds and peak so far of one step."""
    started, used = time.perf_counter(), time.process_time()
    result = call()
    found[name] = {
        "seconds": round(time.perf_counter() - started, 3),
        "cpu_seconds": round(time.process_time() - used, 3),
        "peak_mb": round(peak(), 1),
    }
    return result


def functions(folder: Path) -> dict[str, Any]:
    """The steps of an estimate one by one."""
    found: dict[str, Any] = {}
    log = clocked(found, "load", lambda: canonical.load(folder))
    target = log.targets["target"]
    assert log.logging is not None
    assert log.hierarchy is not None
    weight = clocked(found, "weights", lambda: target.at(log.action) / log.propensity)
    clocked(found, "ips", lambda: ESTIMATORS["ips"](Terms(log.reward, weight)).se)
    clocked(found, "snips", lambda: ESTIMATORS["snips"](Terms(log.reward, weight)).se)
    fitted = clocked(found, "ridge_crossfit", lambda: crossfit(log, ridge.fit, {"target": target}))
    terms = Terms(log.reward, weight, fitted.q_logged, fitted.dm["target"])
    clocked(found, "dr", lambda: ESTIMATORS["dr"](terms).se)
    clocked(found, "group_mass", lambda: group_weight(log.logging, target, log.hierarchy[-1], log.action))
    path = clocked(found, "tree", lambda: convolution("tree", None, log.hierarchy))
    clocked(found, "path_weights", lambda: path_weights(path, log, target))
    deficiency = clocked(found, "unsupported_mass", lambda: detect(log, target))
    clocked(found, "diagnostics", lambda: diagnose(terms, log.propensity, unsupported=deficiency.mass))
    return found


def job(folder: Path, params: EstimateParams) -> dict[str, Any]:
    """Preparation and estimate of a whole job."""
    found: dict[str, Any] = {}
    own = OwnMemory()
    imported = peak()
    log = clocked(found, "load", lambda: canonical.load(folder))
    ctx = Context()
    prepared = clocked(found, "prepare", lambda: prepare(log, log.targets, params, ctx))
    one = clocked(found, "estimate", lambda: estimate_target(prepared, "target", log.targets["target"], params, ctx))
    return {
        "seconds": round(sum(step["seconds"] for step in found.values()), 2),
        "cpu_seconds": round(sum(step["cpu_seconds"] for step in found.values()), 2),
        "imported_mb": round(imported, 1),
        "own_mb": round(own.peak_mb, 1),
        "peak_mb": round(peak(), 1),
        "steps": found,
        "value": one.headline.interval.value,
        "estimates": {row.name: row.estimate.value for row in one.rows},
    }


def run(part: str, folder: Path) -> dict[str, Any] | None:
    if part == "draw":  # in a process of its own, whose peak the others would inherit
        return draw(folder)
    if part == "functions":
        return functions(folder)
    return job(folder, PLAIN if part == "plain" else EstimateParams())


def main() -> None:
    if len(sys.argv) == 3:
        sys.stdout.write(json.dumps(run(sys.argv[1], Path(sys.argv[2]))) + "\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.off_policy.scale"]
        subprocess.run([*command, "draw", folder], stdout=subprocess.DEVNULL, check=True)
        turns: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
        for part in PARTS * 3:
            done = subprocess.run([*command, part, folder], stdout=subprocess.PIPE, check=True, text=True)
            turns[part].append(json.loads(done.stdout.splitlines()[-1]))
            sys.stderr.write(f"{part}\n")
    best = {part: min(found, key=lambda one: one.get("seconds", 0)) for part, found in turns.items()}
    plain = best["plain"]
    limits = {"seconds": 5, "own_mb": 1_000, "peak_mb": 1_000}
    bars = {key: {"reached": plain[key], "bar": bar, "met": plain[key] <= bar} for key, bar in limits.items()}
    figures = {"rounds": ROUNDS, "actions": ACTIONS, "listed": LISTED, "bars": bars, **best}
    write("off_policy_scale", figures, ("numpy", "scipy", "torch"))


if __name__ == "__main__":
    main()
