"""Values of the Open Bandit Pipeline (obp 0.5.7) for slates and continuous actions, which a unit test holds ours to.

In an environment of its own:
    python -m venv peers/obp
    peers/obp/bin/pip install numpy scipy scikit-learn pandas seaborn torch tqdm pyyaml mypy-extensions
    peers/obp/bin/pip install --no-deps --ignore-requires-python obp==0.5.7 pyieoe
    peers/obp/bin/python benchmarks/peers/obp_structured.py tests/kinds/bandit/obp_structured.json
The file holds the inputs as integers (policies are rows of integers divided by their sum, all else is tenths) and obp's
value of every estimator.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

SLATES, POSITIONS, ACTIONS, ROUNDS = 40, 3, 5, 60
KERNELS = ("epanechnikov", "gaussian", "triangular", "cosine")
BANDWIDTHS = (0.3, 1.0, 2.5)


def inputs() -> dict[str, Any]:
    """Integers by residues of squares: no random generator, so every machine and version writes the same."""
    s, p, a = np.arange(SLATES)[:, None, None], np.arange(POSITIONS)[None, :, None], np.arange(ACTIONS)[None, None, :]
    i = np.arange(ROUNDS)
    return {
        "slates": {
            "action": ((3 * s * s + 5 * s * p + p + s // 7) % ACTIONS)[:, :, 0].tolist(),
            "reward_tenths": ((7 * s * s + 13 * s * p + p * p) % 11)[:, :, 0].tolist(),
            "logging": ((5 * s * s + 3 * s * a + 7 * a * a + 2 * p * a + p + 11) % 13 + 1).tolist(),
            "target": ((7 * s * s + 11 * s * a + 2 * a * a + 5 * p + 3) % 17 + 1).tolist(),
            "predicted_tenths": ((3 * s * s + 5 * s * a + a * a + p) % 23).tolist(),
        },
        "doses": {
            "dose_tenths": ((7 * i * i + 3 * i) % 41 - 20).tolist(),
            "density_hundredths": ((11 * i * i + 5 * i) % 37 + 5).tolist(),
            "reward_tenths": ((13 * i * i + i) % 31 - 10).tolist(),
            "target_tenths": ((5 * i * i + 2 * i) % 37 - 18).tolist(),
            "predicted_tenths": ((3 * i * i + 7 * i) % 19).tolist(),
        },
    }


def shares(table: Any) -> np.ndarray:
    """Rows of integers as probabilities."""
    counts = np.asarray(table, np.float64)
    return counts / counts.sum(axis=-1, keepdims=True)


def slate_values(given: dict[str, Any]) -> dict[str, float]:
    """Every slate estimator; rows in order of slate and position."""
    from obp import ope

    action = np.asarray(given["action"])
    logging, target = shares(given["logging"]), shares(given["target"])
    at = np.take_along_axis(logging, action[:, :, None], 2)[:, :, 0]
    to = np.take_along_axis(target, action[:, :, None], 2)[:, :, 0]

    def forms(chance: np.ndarray, prefix: str) -> dict[str, np.ndarray]:
        joint = np.cumprod(chance, axis=1)
        return {
            f"{prefix}pscore_item_position": chance.ravel(),
            f"{prefix}pscore_cascade": joint.ravel(),
            f"{prefix}pscore": np.repeat(joint[:, -1], POSITIONS),
        }

    plain = {
        "slate_id": np.repeat(np.arange(SLATES), POSITIONS),
        "reward": np.asarray(given["reward_tenths"]).ravel() / 10.0,
        "position": np.tile(np.arange(POSITIONS), SLATES),
        **forms(at, ""),
        **forms(to, "evaluation_policy_"),
    }
    found = {
        name: float(form(len_list=POSITIONS).estimate_policy_value(**plain))
        for name, form in {
            "sips": ope.SlateStandardIPS,
            "iips": ope.SlateIndependentIPS,
            "rips": ope.SlateRewardInteractionIPS,
            "snsips": ope.SelfNormalizedSlateStandardIPS,
            "sniips": ope.SelfNormalizedSlateIndependentIPS,
            "snrips": ope.SelfNormalizedSlateRewardInteractionIPS,
        }.items()
    }
    robust = ope.SlateCascadeDoublyRobust(len_list=POSITIONS, n_unique_action=ACTIONS)
    more = {
        "action": action.ravel(),
        "q_hat": np.asarray(given["predicted_tenths"]).ravel() / 10.0,
        "evaluation_policy_action_dist": target.ravel(),
    }
    return found | {"cascade_dr": float(robust.estimate_policy_value(**plain, **more))}


def dose_values(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Every kernelised estimator by kernel and bandwidth; obp divides its arguments in place, so each gets copies."""
    from obp import ope

    def plain() -> dict[str, np.ndarray]:
        return {
            "reward": np.asarray(given["reward_tenths"]) / 10.0,
            "action_by_behavior_policy": np.asarray(given["dose_tenths"]) / 10.0,
            "pscore": np.asarray(given["density_hundredths"]) / 100.0,
            "action_by_evaluation_policy": np.asarray(given["target_tenths"]) / 10.0,
        }

    found: list[dict[str, Any]] = []
    for kernel in KERNELS:
        for bandwidth in BANDWIDTHS:
            setting = {"kernel": kernel, "bandwidth": bandwidth}
            model = {
                "estimated_rewards_by_reg_model": np.asarray(given["predicted_tenths"]) / 10.0,
            }
            row: dict[str, Any] = dict(setting)
            row["ipw"] = float(ope.KernelizedInverseProbabilityWeighting(**setting).estimate_policy_value(**plain()))
            normalised = ope.KernelizedSelfNormalizedInverseProbabilityWeighting(**setting)
            row["snipw"] = float(normalised.estimate_policy_value(**plain()))
            row["dr"] = float(ope.KernelizedDoublyRobust(**setting).estimate_policy_value(**plain(), **model))
            found.append(row)
    return found


def main(path: Path) -> None:
    """Write the file, one array a line."""
    given = inputs()
    packages = ("obp", "numpy", "scipy", "scikit-learn", "pandas")
    content = {
        "versions": {name: version(name) for name in packages},
        "slates": given["slates"],
        "slate_values": slate_values(given["slates"]),
        "doses": given["doses"],
        "dose_values": dose_values(given["doses"]),
    }
    lines = []
    for section, values in content.items():
        if isinstance(values, dict) and section in ("slates", "doses"):
            rows = ",\n".join(f'  "{name}": {json.dumps(row)}' for name, row in values.items())
            lines.append(f' "{section}": {{\n{rows}\n }}')
        else:
            lines.append(f' "{section}": {json.dumps(values)}')
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
