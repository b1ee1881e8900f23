from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.shared_data import shared
from worker.contract.context import Context
from worker.kinds.bandit import canonical
from worker.kinds.bandit.ingest import ingest


@pytest.mark.parametrize(
    ("policy", "campaign", "actions", "clicks", "inverse", "low", "high"),
    [
        ("random", "men", 34, 46, 34, 1 / 34, 1 / 34),
        ("random", "women", 46, 46, 46, 1 / 46, 1 / 46),
        ("bts", "men", 34, 69, 32.07, 0.000165, 0.72529),
        ("bts", "women", 46, 46, 144.17, 1e-6, 0.9628),
    ],
)
def test_open_bandit_when_read_as_it_is_then_its_published_facts(
    tmp_path: Path, policy: str, campaign: str, actions: int, clicks: int, inverse: float, low: float, high: float
) -> None:
    folder = shared("obd_small") / policy
    names = (f"{campaign}.csv.gz", f"{campaign}_item_context.csv")
    told = ingest([(name, folder / name) for name in names], {}, tmp_path, Context())
    found = told["statistics"]
    assert (found["rounds"], found["actions"], found["reward"]["nonzero"]) == (10_000, actions, clicks)
    assert found["propensity"]["mean_inverse"] == pytest.approx(inverse, abs=0.005)
    assert (found["propensity"]["min"], found["propensity"]["max"]) == (pytest.approx(low), pytest.approx(high))
    assert set(found["rounds_per_position"]) == {"1", "2", "3"}
    heavy = [warning for warning in told["warnings"] if "alone holds" in warning]
    assert bool(heavy) == ((policy, campaign) == ("bts", "women"))
    log = canonical.load(tmp_path)
    assert log.embeddings is not None
    assert log.embeddings.shape[0] == actions
    assert len(log.contexts) < 600
    assert log.logging is None
    assert np.isfinite(log.contexts).all()


def test_open_bandit_when_the_uniform_policy_is_declared_then_it_fits_the_propensities(tmp_path: Path) -> None:
    path = shared("obd_small") / "random" / "men.csv.gz"
    ingest(
        [("men.csv.gz", path)], {"logging_builtin": "uniform", "context_columns": "user_feature_*"}, tmp_path, Context()
    )
    log = canonical.load(tmp_path)
    assert log.logging is not None
    np.testing.assert_allclose(log.logging.at(log.action), log.propensity, rtol=1e-12)
    assert log.contexts.shape[1] < 30
