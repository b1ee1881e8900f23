"""The shared estimators beside the Open Bandit Pipeline (obp 0.5.7): seconds and peak memory on one log.

Run: `python -m benchmarks.off_policy.obp_speed --obp-python peers/obp/bin/python`, with the environment that
`obp_reference.py` describes. 10,000 rounds, 1,000 actions, continuous rewards, epsilon-greedy target, drawn by obp's
own generator. Four processes take turns three times, and the least time of each call counts: obp; ours on obp's own
predictions q(x, a) (`table`: the same numbers must come out); ours on the log with our cross-fitted ridge (`log`); as
`table` with a softmax target, which has a number for every action (`softmax`), where epsilon-greedy takes two a row.
Tuned values may differ, since obp orders candidates by the width of their intervals and we by their bias; `settings`
names both choices. A time of ours holds everything from weights and predictions on, for each estimator anew. Bars:
tuned estimators ten times as fast, a third of the memory. Writes `benchmarks/results/off_policy_obp.json`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import write
from worker.kinds.bandit.bootstrap import replicates
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimators import ESTIMATORS, PerRound, Terms
from worker.kinds.bandit.estimators.marginalized import marginal_weight
from worker.kinds.bandit.policies import Policy, dense
from worker.kinds.bandit.policy_files import compact, read_policy, write_policy
from worker.kinds.bandit.reward_models import ridge
from worker.kinds.bandit.reward_models.crossfit import crossfit, mean_under
from worker.kinds.bandit.selection.slope import tuned

PEER = Path(__file__).parent.parent / "peers" / "obp_estimators.py"
TURNS, DRAWS = 3, 10_000
PLAIN = ("dm", "ips", "snips", "dr", "sndr")
TUNED = ("switch", "dros", "sgdr")
PARTS = ("table", "log", "softmax")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--obp-python", type=Path)
    parser.add_argument("--turn", nargs=2, help="for child processes: folder, and store, table, log or softmax")
    given = parser.parse_args()
    if given.turn:
        folder, part = Path(given.turn[0]), given.turn[1]
        sys.stdout.write(json.dumps(store(folder) if part == "store" else measure(folder, part)) + "\n")
        return
    if given.obp_python is None:
        sys.exit("needs --obp-python: the Python of an environment with obp 0.5.7")
    with tempfile.TemporaryDirectory() as scratch:
        figures = compare(scratch, [str(given.obp_python), "-W", "ignore", str(PEER)])
    write("off_policy_obp", {"rounds": 10_000, "actions": 1_000, **figures}, ("numpy", "scipy"))


def compare(folder: str, obp: list[str]) -> dict[str, Any]:
    """All turns, the least seconds, and the ratios."""
    subprocess.run([*obp, "make", folder], check=True, stdout=subprocess.DEVNULL)
    ours = [sys.executable, "-m", "benchmarks.off_policy.obp_speed", "--turn", folder]
    subprocess.run([*ours, "store"], check=True, stdout=subprocess.DEVNULL)
    commands = {"obp": [*obp, "time", folder]} | {part: [*ours, part] for part in PARTS}
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for turn in range(TURNS):
        for name, command in commands.items():
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            turns[name].append(json.loads(done.stdout.splitlines()[-1]))
            sys.stderr.write(f"turn {turn + 1}: {name}\n")
    best = {name: least(found) for name, found in turns.items()}
    ratios = {name: over(best["obp"], best[name]) for name in PARTS}
    slowest = min(ratios[name][f"{one}_tuned"] for name in ratios for one in TUNED)
    memory = min(ratios[name]["peak_mb"] for name in ("table", "log"))
    return {
        "bars": {
            "least_tuned_ratio": slowest,
            "bar_tuned": 10,
            "least_memory_ratio": memory,
            "bar_memory": 3,
            "memory_ratio_with_a_softmax_target": ratios["softmax"]["peak_mb"],
            "met": slowest >= 10 and memory >= 3,
        },
        "largest_difference_of_values": differences(best["obp"], best["table"]),
        "settings": {
            name: {"obp": best["obp"][name]["setting"], "ours": best["table"][name]["setting"]}
            for name in (f"{one}_tuned" for one in TUNED)
        },
        "obp_over_ours": ratios,
        **best,
    }


def least(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Least seconds and least peak over turns; values of the first."""
    found: dict[str, Any] = {"peak_mb": round(min(turn["peak_mb"] for turn in turns), 1)}
    for name, first in turns[0].items():
        if name != "peak_mb":
            found[name] = first | {"seconds": round(min(turn[name]["seconds"] for turn in turns), 5)}
    return found


def over(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, float]:
    """How many times more the other one takes."""
    found = {"peak_mb": round(theirs["peak_mb"] / ours["peak_mb"], 2)}
    for name, one in theirs.items():
        if name in ours and name != "peak_mb":
            found[name] = round(one["seconds"] / ours[name]["seconds"], 1)
    return found


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, float]:
    """Of every estimator, the tuned ones with whatever setting each chose."""
    every = [*PLAIN, "mips", *(f"{n}_tuned" for n in TUNED)]
    return {name: abs(theirs[name]["value"] - ours[name]["value"]) for name in every}


def clocked(found: dict[str, Any], name: str, call: Callable[[], Any]) -> Any:
    """Seconds of one call; its value where it is an estimate."""
    started = time.perf_counter()
    result = call()
    found[name] = {"seconds": time.perf_counter() - started}
    if isinstance(result, PerRound):
        found[name]["value"] = result.value
    return result


def store(folder: Path) -> None:
    """Write the policies as a dataset version keeps them: epsilon-greedy takes two numbers a row."""
    given = np.load(folder / "log.npz")
    write_policy(dense(given["pi_b"]), folder / "logging")
    write_policy(compact(dense(given["target"])), folder / "target")
    scores = given["pi_b"] ** 2  # the logging policy's softmax at half its temperature
    write_policy(dense(scores / scores.sum(axis=1, keepdims=True)), folder / "softmax")


@dataclass(frozen=True)
class TableReward:
    """A reward model given as its predictions for every round and action (n, A)."""

    values: np.ndarray

    def at(self, rounds: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return self.values[rounds, actions]

    def under(self, policy: Policy, rounds: np.ndarray) -> np.ndarray:
        found = np.empty(len(rounds))
        for block, probabilities in policy.blocks(rounds):
            found[block] = np.einsum("ia,ia->i", probabilities, self.values[block[0] : block[-1] + 1])
        return found


def measure(folder: Path, model: str) -> dict[str, Any]:
    """One turn of ours."""
    given = np.load(folder / "log.npz")
    logging = read_policy(folder / "logging")
    target = read_policy(folder / ("softmax" if model == "softmax" else "target"))
    codes = given["action_context"]
    onehot = np.concatenate([column[:, None] == np.unique(column) for column in codes.T], axis=1)
    log = BanditLog(
        given["action"].astype(np.int32),
        given["reward"],
        given["pscore"],
        target.n_actions,
        given["context"].astype(np.float32),
        embeddings=onehot.astype(np.float32),
    )
    found: dict[str, Any] = {}
    terms = of_log(log, target, found) if model == "log" else of_table(log, target, folder)
    for name in PLAIN:
        clocked(found, name, lambda name=name: ESTIMATORS[name](terms(name)))
    for name in TUNED:
        chosen = clocked(found, f"{name}_tuned", lambda name=name: tuned_estimate(name, terms(name)))
        found[f"{name}_tuned"] |= {"value": chosen[0].value, "setting": repr(float(chosen[1]))}
    embedding, tables = given["action_embed"], list(given["p_e_a"].transpose(2, 0, 1))
    clocked(
        found,
        "mips",
        lambda: ESTIMATORS["mips"](Terms(log.reward, marginal_weight(logging, target, embedding, tables))),
    )
    clocked(found, "bootstrap", lambda: replicates([ESTIMATORS["ips"](terms("ips"))], DRAWS))
    clocked(found, "bootstrap_of_snips", lambda: replicates([ESTIMATORS["snips"](terms("snips"))], DRAWS))
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return found


def tuned_estimate(name: str, terms: Terms) -> tuple[PerRound, float]:
    """The estimate at the hyper-parameter that SLOPE++ picks."""
    setting = tuned(ESTIMATORS[name], terms)
    return ESTIMATORS[name](terms, setting), setting


def of_table(log: BanditLog, target: Policy, folder: Path) -> Callable[[str], Terms]:
    """Terms from obp's predictions for every round and action."""
    every = np.arange(log.n)
    model = TableReward(np.load(folder / "predicted.npy", mmap_mode="r"))
    return partial(_terms, log, target, partial(model.at, every, log.action), partial(model.under, target, every))


def of_log(log: BanditLog, target: Policy, found: dict[str, Any]) -> Callable[[str], Terms]:
    """Terms from our ridge, cross-fitted on the log; its fit is timed apart."""
    fitted = clocked(found, "reward_model", lambda: crossfit(log, ridge.fit, {"target": target}))
    found["reward_model"]["value"] = float(fitted.q_logged.mean())
    direct = partial(mean_under, list(fitted.models), target, fitted.fold)
    return partial(_terms, log, target, lambda: fitted.q_logged, direct)


def _terms(
    log: BanditLog, target: Policy, logged: Callable[[], np.ndarray], direct: Callable[[], np.ndarray], name: str
) -> Terms:
    estimator = ESTIMATORS[name]
    weight = np.ones(log.n) if estimator.weights == "none" else target.at(log.action) / log.propensity
    return Terms(log.reward, weight, logged(), direct()) if estimator.model else Terms(log.reward, weight)


if __name__ == "__main__":
    main()
