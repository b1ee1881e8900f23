"""The columns of a log of events by the names that people use, one event a row or a whole sequence in a row."""

from __future__ import annotations

import re

from worker.ingest.positions import by_position
from worker.ingest.table import Role, Schema, Table
from worker.kinds.sequences.upload import lists

_TELLING = re.compile(r"rating|inter|event|review|train|u\.data|click|purchase|sequence|session")

SCHEMA = Schema(
    "a log of events",
    (
        Role("user", "id", (
            "user", "userid", "user_id", "uid", "session", "session_id", "sessionid", "sequence_id",
            "reviewerid", "reviewer_id", "visitorid", "visitor_id", "customer_id", "customerid", "playlist_id",
            lists.ROW.replace(" ", "_"),
        ), required=True),
        Role("item", "id", (
            "item", "itemid", "item_id", "iid", "movieid", "movie_id", "asin", "parent_asin", "product_id",
            "productid", "article_id", "track_id", "song_id", "isbn", "business_id", "item_ids", "item_id_list",
            "items", "sequence", "input_ids", "token_ids", "tokens", "history",
        ), required=True),
        Role("timestamp", "time", (
            "timestamp", "time", "unixreviewtime", "ts", "datetime", "event_time", "date", "timestamps", "times",
        )),
        Role("rating", "label", ("rating", "overall", "stars", "score"), read=False),
        Role("split", "split", ("split",)),
    ),
    pairs=("user", "item", "rating"),
    by_position=by_position,
    formats=lists.FORMATS,
)  # fmt: skip


def preference(table: Table) -> tuple[bool, bool, bool]:
    """Named columns before guessed positions, tables with times before others, telling file names."""
    named = table.detected.header or table.detected.pairs > 0
    return named, "timestamp" in table.columns, bool(_TELLING.search(table.name.lower()))
