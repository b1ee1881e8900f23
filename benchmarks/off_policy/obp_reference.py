"""Numbers of the Open Bandit Pipeline (obp 0.5.7) on a small log, which a unit test holds ours to.

obp pins old versions of its dependencies and cannot be one of ours. In an environment of its own:
    python -m venv peers/obp
    peers/obp/bin/pip install numpy scipy scikit-learn pandas seaborn torch tqdm pyyaml mypy-extensions
    peers/obp/bin/pip install --no-deps --ignore-requires-python obp==0.5.7 pyieoe
    peers/obp/bin/python benchmarks/off_policy/obp_reference.py tests/kinds/bandit/obp_reference.json
The file holds the inputs as small integers (policies and p(e|a) are rows of integers divided by their sum, rewards and
predictions are tenths), obp's value of every estimator at every hyper-parameter, and the versions.
"""

from __future__ import annotations

import json
import math
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS, ACTIONS, CATEGORIES, DIMENSIONS = 60, 7, 3, 2
LIMITS = (0.0, 0.5, 2.0, 10.0, math.inf)
AMOUNTS = (0.0, 0.1, 0.3, 0.9)  # at 1, and for DRos at limit 0, obp divides 0 by 0 where a weight is 0


def inputs() -> dict[str, Any]:
    """Integers by residues of squares: no random generator, so every machine and version writes the same."""
    i, a = np.arange(ROUNDS)[:, None], np.arange(ACTIONS)[None, :]
    logging = (5 * i * i + 3 * i * a + 7 * a * a + 11) % 13 + 1
    target = np.maximum((7 * i * i + 11 * i * a + 2 * a * a + 3) % 29 - 12, 0)  # about two fifths are zero
    target[target.sum(axis=1) == 0] = 1
    d = np.arange(DIMENSIONS)[:, None, None]
    given = (4 * a.T[None] + 5 * d + 3 * np.arange(CATEGORIES) ** 2 + a.T[None] ** 2) % 7 + 1
    return {
        "action": ((3 * i * i + 5 * i + i // 7) % ACTIONS)[:, 0].tolist(),
        "reward_tenths": ((7 * i * i + 13 * i) % 41 - 8)[:, 0].tolist(),
        "logging": logging.tolist(),
        "target": target.tolist(),
        "predicted_tenths": ((3 * i * i + 5 * i * a + a * a) % 37 - 6).tolist(),
        "embedding": np.concatenate([(i * i + i) % CATEGORIES, (2 * i + i // 3) % CATEGORIES], axis=1).tolist(),
        "embedding_given_action": given.tolist(),
    }


def shares(table: Any) -> np.ndarray:
    """Rows of integers as probabilities."""
    counts = np.asarray(table, np.float64)
    return counts / counts.sum(axis=-1, keepdims=True)


def values(given: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What obp makes of the log: by estimator, a list of hyper-parameter (None, a number or "inf") and value."""
    from obp import ope

    rounds, action = np.arange(ROUNDS), np.asarray(given["action"])
    logging, target = shares(given["logging"]), shares(given["target"])
    plain = {
        "reward": np.asarray(given["reward_tenths"]) / 10.0,
        "action": action,
        "pscore": logging[rounds, action],
        "action_dist": target[:, :, None],
        "estimated_rewards_by_reg_model": (np.asarray(given["predicted_tenths"]) / 10.0)[:, :, None],
    }
    embedded = plain | {
        "pi_b": logging[:, :, None],
        "action_embed": np.asarray(given["embedding"]),
        "p_e_a": shares(given["embedding_given_action"]).transpose(1, 2, 0),
    }
    forms: dict[str, tuple[Any, tuple[float, ...]]] = {
        "dm": (ope.DirectMethod, ()),
        "ips": (ope.InverseProbabilityWeighting, ()),
        "cips": (ope.InverseProbabilityWeighting, LIMITS),
        "snips": (ope.SelfNormalizedInverseProbabilityWeighting, ()),
        "dr": (ope.DoublyRobust, ()),
        "sndr": (ope.SelfNormalizedDoublyRobust, ()),
        "switch": (ope.SwitchDoublyRobust, LIMITS),
        "dros": (ope.DoublyRobustWithShrinkage, LIMITS[1:]),
        "sgips": (ope.SubGaussianInverseProbabilityWeighting, AMOUNTS),
        "sgdr": (ope.SubGaussianDoublyRobust, AMOUNTS),
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for name, (form, grid) in forms.items():
        tried = [(None, form())] if not grid else [(value, form(lambda_=value)) for value in grid]
        found[name] = [
            {"hyper": "inf" if value == math.inf else value, "value": float(one.estimate_policy_value(**plain))}
            for value, one in tried
        ]
    marginal = ope.MarginalizedInverseProbabilityWeighting(n_actions=ACTIONS)
    found["mips"] = [{"hyper": None, "value": float(marginal.estimate_policy_value(**embedded))}]
    # obp's SN-MIPS multiplies the marginals of dimensions after the sum over actions, another estimator than its MIPS
    # unless there is one dimension.
    first = embedded | {"action_embed": embedded["action_embed"][:, :1], "p_e_a": embedded["p_e_a"][:, :, :1]}
    normalised = ope.SelfNormalizedMarginalizedInverseProbabilityWeighting(n_actions=ACTIONS)
    found["snmips"] = [{"hyper": None, "value": float(normalised.estimate_policy_value(**first))}]
    return found


def main(path: Path) -> None:
    """Write the file, one array row a line."""
    given = inputs()
    packages = ("obp", "numpy", "scipy", "scikit-learn", "pandas")
    content = {"versions": {name: version(name) for name in packages}, "inputs": given, "values": values(given)}
    lines = [f'{{\n "versions": {json.dumps(content["versions"])},\n "inputs": {{']
    for section in ("inputs", "values"):
        rows = [f'  "{name}": {json.dumps(value)}' for name, value in content[section].items()]
        lines.append(",\n".join(rows) + ('\n },\n "values": {' if section == "inputs" else "\n }\n}"))
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
