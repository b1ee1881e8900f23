"""SVP-CF-Prop: as `svp-cf`, with a weight for what is rare (arXiv:2107.04984).

Importances are multiplied by inverse propensities, so that the hard events of rare users and items come before those of
popular ones.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.methods.svp_cf import COST, SVPCFParams, select
from worker.kinds.interactions.summary import InteractionsSummary


@method(kind="interactions", task="select", name="svp-cf-prop", version=1, paper="arXiv:2107.04984", cost=COST)
def svp_cf_prop(data: Interactions, params: SVPCFParams, ctx: Context) -> InteractionsSummary:
    """Events or users that a proxy model finds hard, rare ones first."""
    return select(data, params, "svp-cf-prop", ctx, prop=True)
