"""Who used what: users x items, for recommenders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.contract.method import Cost, Term
from worker.kinds.interactions import dataset, ingest
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.needs import JUDGING_NEEDS
from worker.kinds.interactions.summary import InteractionsSummary, adopt


def describe(folder: Path) -> dict[str, Any]:
    """Statistics and preview of canonical files."""
    return {"statistics": dataset.statistics(folder), "preview": dataset.preview(folder), "warnings": []}


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.interactions.judge import evaluate_params  # learners need torch, which loading data does not

    return evaluate_params()


# Fitted by hand to judging a pick with default settings on five sets: 300 to 14,283 users, 60 to 1,682 items (MovieLens
# 100k, MSWeb, made up ones), in CPU seconds halved for two cores, the report included: within a factor of 2.
#
# Learners that are not usual: one training each of made up sets (300 users and 60 items, 943 and 1,682, 14,283 and 285)
# times their settings, seeds and timings; constants are for the small sets beside it, which take the least number of
# steps. A rough guide: whole jobs on 200 users, on a busy machine, took up to three times as long.
_EASE, _AE = {"evaluate.learners": "ease"}, {"evaluate.learners": "infinite-ae"}
_KNN, _SVD = {"evaluate.learners": "item-knn"}, {"evaluate.learners": "svd-ae"}
_IALS, _BPR = {"evaluate.learners": "ials"}, {"evaluate.learners": "bpr-mf"}
_VAE, _SVAE = {"evaluate.learners": "mult-vae"}, {"evaluate.learners": "svae"}
_ATTENTION = {"evaluate.learners": "attention-item-features"}
_SCORES = {"users_with_test": 1, "items": 1}
JUDGING_COST = Cost(
    seconds=(
        Term(5.0),
        Term(2.5e-7, _SCORES),
        Term(1e-6, _SCORES, _EASE),
        Term(5e-10, {"items": 3}, _EASE),
        Term(1.5e-9, {"users": 1, "items": 1, "evaluate.landmarks": 1}, _AE),
        Term(1e-10, {"users": 1, "evaluate.landmarks": 2}, _AE),
        Term(7e-7, _SCORES, _KNN),
        Term(2e-7, _SCORES, _SVD),
        Term(2e-3, {"users": 1}, _SVD),
        Term(30.0, only=_IALS),
        Term(5e-3, {"users": 1}, _IALS),
        Term(5e-3, {"items": 1}, _IALS),
        Term(25.0, only=_BPR),
        Term(3e-4, {"events": 1}, _BPR),
        Term(120.0, only=_VAE),
        Term(8e-3, {"users": 1}, _VAE),
        Term(1.4e-5, {"users": 1, "items": 1}, _VAE),
        Term(120.0, only=_SVAE),
        Term(2.5e-3, {"events": 1}, _SVAE),
        Term(120.0, only=_ATTENTION),
        Term(0.045, {"users": 0.5, "events": 0.5}, _ATTENTION),
    ),
    memory_mb=(
        Term(400.0),
        Term(1e-5, _SCORES),
        Term(2.5e-5, {"items": 2}, _EASE),
        Term(2.5e-5, {"users": 1, "evaluate.landmarks": 1}, _AE),
        Term(1e-5, {"items": 2}, _KNN),
        Term(5e-4, {"users": 1}, _IALS),
        Term(5e-4, {"users": 1}, _BPR),
    ),
)

KIND: Kind[Interactions] = Kind(
    name="interactions",
    unit="user",
    units="users",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=dataset.load,
    describe=describe,
    products=(InteractionsSummary,),
    adopt=adopt,
    judging=Judging(_evaluate_params, needs=JUDGING_NEEDS, cost=JUDGING_COST),
)
