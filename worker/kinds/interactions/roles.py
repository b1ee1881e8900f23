"""The columns of an interaction table by the names and positions that people use, and the titles of items beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc
from worker.ingest.columns import Wanted, plain_name
from worker.ingest.format import Detected
from worker.ingest.limits import Meter
from worker.ingest.positions import by_position
from worker.ingest.sources import Source
from worker.ingest.table import Role, Schema, Table, as_table, read_batches
from worker.ingest.upload import Upload, is_prose

TITLES = ("title", "movie_title", "item_title", "product_title", "item_name", "name")
_TELLING = re.compile(r"rating|inter|event|review|train|u\.data|click|purchase")


SCHEMA = Schema(
    "an interaction table",
    (
        Role("user", "id", (
            "user", "userid", "user_id", "uid", "reviewerid", "reviewer_id", "profile", "profile_id", "customer_id",
            "customerid", "visitorid", "visitor_id", "session_id",
        ), required=True),
        Role("item", "id", (
            "item", "itemid", "item_id", "iid", "movieid", "movie_id", "asin", "parent_asin", "business_id", "sid",
            "product_id", "productid", "isbn", "article_id", "book_id", "track_id", "song_id",
        ), required=True),
        Role("rating", "label", ("rating", "overall", "stars", "score", "book_rating")),
        Role("timestamp", "time", (
            "timestamp", "time", "unixreviewtime", "ts", "datetime", "event_time", "date",
        )),
        Role("split", "split"),
        Role("text", "text", ("reviewtext", "text", "review_body", "review_text"), read=False),
    ),
    pairs=("user", "item", "rating"),
    by_position=by_position,
)  # fmt: skip


_TITLED = Schema("a table of titles", tuple(role for role in SCHEMA.roles if role.name == "item"))


def preference(table: Table) -> tuple[bool, bool, bool]:
    """Named columns before guessed positions, tables of events before lists of things, telling file names."""
    detected, roles = table.detected, table.columns
    named = detected.header or detected.pairs > 0
    return named, "rating" in roles or "timestamp" in roles, bool(_TELLING.search(table.name.lower()))


def find_titles(upload: Upload, sources: Sequence[Source]) -> Table | None:
    """The first of these files that names items (`.item`, `movies.csv`)."""
    for source in sources:
        if is_prose(source.name):
            continue
        try:
            detected = upload.detect(source)
            table = _titles_of(detected)
        except JobError:
            continue
        if table is not None:
            return table
    return None


def _titles_of(detected: Detected) -> Table | None:
    by_name = {plain_name(column.name): column for column in reversed(detected.columns)}
    title = next((by_name[name] for name in TITLES if name in by_name), None)
    named = {plain_name(column.name) for column in detected.columns}
    if not detected.header or title is None or named & set(SCHEMA.roles[0].names):
        return None
    table = as_table(detected, {}, _TITLED)
    # RecBole calls a title a sequence of tokens; for showing it is a text
    return replace(table, wanted=(*table.wanted, Wanted("title", replace(title, type="text"), "text")))


def read_titles(table: Table, meter: Meter) -> Any:
    """A pyarrow table of columns item, title: one row an item, its first title."""
    rows = [
        pa.table({"item": batch["item"].cast(pa.string()), "title": _shown(batch["title"])})
        for batch in read_batches([table], meter)
    ]
    titles = pa.concat_tables(rows).group_by("item", use_threads=False).aggregate([("title", "first")])
    return titles.rename_columns({"title_first": "title"})


def _shown(titles: Arrow) -> Arrow:
    """Titles as text without NUL characters, which no JSON column of Postgres holds."""
    return pc.replace_substring(titles.cast(pa.string()), "\0", "")
