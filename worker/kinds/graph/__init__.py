"""A graph whose nodes have features and classes, for networks that classify nodes."""

from __future__ import annotations

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.contract.method import Cost, Term
from worker.kinds.graph import dataset, description, ingest
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.needs import TEST_NODES
from worker.kinds.graph.summary import CondensedGraph, adopt


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.graph.judge import evaluate_params  # learners need torch, which loading data does not

    return evaluate_params()


# Fitted by hand to single trainings on Cora and PubMed (2 to 5 s of CPU on a condensed graph, most of it the validation
# on the original one) times the sets, runs and settings of a job, halved for two cores. A learner that is not usual
# costs as much as GCN does.
_RUN = {"evaluate.runs": 1, "evaluate.epochs": 1}
_FURTHER = tuple({"evaluate.learners": name} for name in ("appnp", "cheby", "graphsage", "gat"))
JUDGING_COST = Cost(
    seconds=(
        Term(10.0),
        Term(0.08, _RUN),
        Term(4.3e-6, {"nodes": 1, **_RUN}),
        *(Term(0.04, _RUN, one) for one in _FURTHER),
        *(Term(4.3e-6, {"nodes": 1, **_RUN}, one) for one in _FURTHER),
    ),
    memory_mb=(Term(600.0), Term(8e-3, {"nodes": 1}), Term(2.4e-5, {"nodes": 1, "features": 1})),
)

KIND: Kind[Graph] = Kind(
    name="graph",
    unit="node",
    units="nodes",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=dataset.load,
    describe=description.describe,
    products=(CondensedGraph,),
    adopt=adopt,
    judging=Judging(_evaluate_params, needs=(TEST_NODES,), cost=JUDGING_COST),
)
