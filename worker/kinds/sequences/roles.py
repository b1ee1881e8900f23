"""The columns of a log of events by the names that people use."""

from __future__ import annotations

import re

from worker.ingest.positions import by_position
from worker.ingest.table import Role, Schema, Table

_TELLING = re.compile(r"rating|inter|event|review|train|u\.data|click|purchase|sequence|session")

SCHEMA = Schema(
    "a log of events",
    (
        Role("user", "id", (
            "user", "userid", "user_id", "uid", "session", "session_id", "sessionid", "sequence_id", "sequence",
            "reviewerid", "reviewer_id", "visitorid", "visitor_id", "customer_id", "customerid", "playlist_id",
        ), required=True),
        Role("item", "id", (
            "item", "itemid", "item_id", "iid", "movieid", "movie_id", "asin", "parent_asin", "product_id",
            "productid", "article_id", "track_id", "song_id", "token", "token_id", "isbn", "business_id", "items",
        ), required=True),
        Role("timestamp", "time", (
            "timestamp", "time", "unixreviewtime", "ts", "datetime", "event_time", "date",
        )),
        Role("rating", "label", ("rating", "overall", "stars", "score"), read=False),
        Role("split", "split"),
    ),
    by_position=by_position,
)  # fmt: skip


def preference(table: Table) -> tuple[bool, bool, bool]:
    """Named columns before guessed positions, tables with times before others, telling file names."""
    return table.detected.header, "timestamp" in table.columns, bool(_TELLING.search(table.name.lower()))
