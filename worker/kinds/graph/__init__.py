"""A graph whose nodes have features and classes, for networks that classify nodes."""

from __future__ import annotations

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.contract.method import Cost, Term
from worker.kinds.graph import dataset, description, ingest
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.summary import CondensedGraph, adopt


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.graph.judge import evaluate_params  # learners need torch, which loading data does not

    return evaluate_params()


JUDGING_COST = Cost(seconds=(Term(20.0), Term(2e-4, {"nodes": 1})), memory_mb=(Term(600.0),))

KIND: Kind[Graph] = Kind(
    name="graph",
    unit="node",
    units="nodes",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=dataset.load,
    describe=description.describe,
    products=(CondensedGraph,),
    adopt=adopt,
    judging=Judging(_evaluate_params, cost=JUDGING_COST),
)
