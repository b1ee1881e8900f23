"""Logs of doses whose truth is known: a reward that is best at a dose of its own for every type of context."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worker.kinds.bandit.structures.doses import DoseLog


@dataclass(frozen=True)
class World:
    """Best dose `best` and logged mean `middle` (types,), spread of logged doses, and width of the reward's bump."""

    best: np.ndarray
    middle: np.ndarray
    spread: float
    width: float

    def q(self, kind: np.ndarray, dose: np.ndarray) -> np.ndarray:
        """Expected reward."""
        return 0.05 + 0.9 * np.exp(-0.5 * ((dose - self.best[kind]) / self.width) ** 2)

    def logged(self) -> float:
        """Value of the logging policy, the mean of the bump under a normal dose."""
        wide = self.width**2 + self.spread**2
        return float(
            np.mean(0.05 + 0.9 * self.width / wide**0.5 * np.exp(-0.5 * (self.middle - self.best) ** 2 / wide))
        )

    def value(self, target: np.ndarray) -> float:
        """Value of a target that gives each type (types,) one dose."""
        return float(self.q(np.arange(len(self.best)), target).mean())

    def null(self, sign: np.ndarray) -> np.ndarray:
        """A target that gains exactly nothing: as far off the best doses as it takes."""
        off = self.width * np.sqrt(-2 * np.log((self.logged() - 0.05) / 0.9))
        return self.best + sign * off


def world(rng: np.random.Generator, types: int = 5) -> World:
    """Random constants."""
    best = rng.uniform(-1, 1, types)
    return World(best, best + rng.normal(0, 0.4, types), float(rng.uniform(0.6, 1.2)), float(rng.uniform(0.5, 1.0)))


def draw(rng: np.random.Generator, at: World, target: np.ndarray, rounds: int) -> DoseLog:
    """A log with the target as doses, and once more as a normal density of spread 0.3 around them."""
    kind = rng.integers(0, len(at.best), rounds)
    dose = at.middle[kind] + at.spread * rng.normal(size=rounds)
    reward = (rng.random(rounds) < at.q(kind, dose)).astype(float)
    drawn = _normal(dose, target[kind], 0.3)
    return DoseLog(
        dose, reward, _normal(dose, at.middle[kind], at.spread), np.eye(len(at.best), dtype=np.float32)[kind],
        {"fixed": target[kind]}, {"drawn": drawn}, reward_range=(0.0, 1.0),
    )  # fmt: skip


def _normal(x: np.ndarray, middle: np.ndarray, spread: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - middle) / spread) ** 2) / (spread * np.sqrt(2 * np.pi))


def upload(folder: Path, log: DoseLog) -> list[tuple[str, Path]]:
    """The log as CSV."""
    kind = log.x.argmax(axis=1)
    lines = ["bid,reward,density,target_dose_fixed,target_density_drawn,context_type"]
    columns = (log.dose, log.reward, log.density, log.doses["fixed"], log.densities["drawn"])
    lines += [",".join(repr(float(c[i])) for c in columns) + f",t{kind[i]}" for i in range(log.n)]
    (folder / "log.csv").write_text("\n".join(lines))
    return [("log.csv", folder / "log.csv")]
