"""The tables of an uploaded log, by the names that people give their columns."""

from __future__ import annotations

from dataclasses import replace

from worker.ingest.formats.arrays import ARRAYS
from worker.ingest.positions import by_position
from worker.ingest.table import Role, Schema
from worker.kinds.bandit.upload.vw import VW

_ACTION = Role("action", "id", ("action", "item_id", "a", "arm", "action_id", "arm_id", "chosen_action", "item"), True)
_USER = Role("user", "id", ("user_id", "user", "uid"))
_TIME = Role("timestamp", "time", ("timestamp", "time", "ts", "datetime", "date"))
LOG = Schema(
    "a log of decisions",
    (
        _ACTION,
        Role("reward", "number", ("reward", "click", "r", "label", "clicked", "conversion", "y"), True),
        Role("propensity", "number", (
            "propensity", "propensity_score", "pscore", "action_prob", "p", "prob", "probability", "logging_prob",
            "action_probability",
        )),
        Role("position", "number", ("position", "slot")),
        _USER,
        _TIME,
        Role("weight", "number", ("round_weight", "omega")),
        Role("round", "id", ("round", "round_id")),
        Role("split", "category"),
    ),
    formats=(VW, ARRAYS),
)  # fmt: skip
"""A row a round."""

_SLATE = Role("slate", "id", ("slate", "slate_id", "impression", "impression_id", "list_id", "ranking_id"), True)
_PLACE = Role("position", "number", ("position", "slot", "rank", "place"), True)
SLATES = Schema(
    "a log of slates",
    (*(_PLACE if role.name == "position" else role for role in LOG.roles), _SLATE),
    formats=(ARRAYS,),
)
"""A row a position of a slate."""

TRAJECTORIES = Schema(
    "a log of trajectories",
    (
        *(role for role in LOG.roles if role.name != "position"),
        Role(
            "trajectory",
            "id",
            (
                "trajectory",
                "trajectory_id",
                "episode",
                "episode_id",
                "session",
                "session_id",
                "path_id",
            ),
            True,
        ),
        Role("step", "number", ("step", "t", "timestep", "time_step", "step_index", "stage", "turn"), True),
    ),
    formats=(ARRAYS,),
)
"""A row a step of a trajectory."""

DOSES = Schema(
    "a log of doses",
    (
        Role("dose", "number", ("dose", "action", "bid", "price", "amount", "treatment", "a"), True),
        next(role for role in LOG.roles if role.name == "reward"),
        Role(
            "density",
            "number",
            (
                "density",
                "pdf",
                "propensity",
                "propensity_score",
                "pscore",
                "logging_density",
                "action_density",
                "p",
            ),
            True,
        ),
        _USER,
    ),
)
"""A row a round."""

LOGS = {"rounds": LOG, "slates": SLATES, "trajectories": TRAJECTORIES, "doses": DOSES}
"""By the option `structure`, the table that the log is."""

ACTIONS = Schema("a table of actions", (_ACTION,))
"""A row an action; whatever else it has describes the action."""

_POLICY_ROUND = Role("round", "number", ("round", "round_id", "row", "i"), True)
_POLICY_ACTION = Role("action", "id", ("action", "item_id", "a", "arm", "action_id"), True)
PROBABILITY_NAMES = ("prob", "probability", "p", "pi", "propensity", "score", "value")


def policy_schema(*, round_ids: bool, support: bool) -> Schema:
    """A long table of a policy, a row a round and action with its probability or score; of a support, without.

    `round_ids`: rounds go by the ids in the log's round column, else by number.
    """
    rounds = replace(_POLICY_ROUND, content="id") if round_ids else _POLICY_ROUND
    probability = () if support else (Role("probability", "number", PROBABILITY_NAMES, True),)
    return Schema("a policy", (rounds, _POLICY_ACTION, *probability))


RATINGS = Schema(
    "a table of ratings",
    (
        Role("user", "id", (*_USER.names, "userid", "reviewerid", "reviewer_id", "customer_id", "visitorid"), True),
        Role("item", "id", ("item", "item_id", "itemid", "movieid", "movie_id", "asin", "product_id"), True),
        Role("rating", "label", ("rating", "overall", "stars", "score")),
        replace(_TIME, read=False),
    ),
    pairs=("user", "item", "rating"),
    by_position=by_position,
)  # fmt: skip
"""What a log is simulated from: users, items and ratings."""

CLASSES = Schema(
    "a classified table",
    (Role("label", "id", ("label", "class", "target", "y", "letter", "category"), True),),
    formats=(ARRAYS,),
)
"""What a log is simulated from: a row a case with its class, which becomes the action."""
