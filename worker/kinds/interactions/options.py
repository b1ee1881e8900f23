"""What a user may say of an upload of interactions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.ingest.options import ColumnMap, Listed, Maybe, ReadOptions, column_map
from worker.ingest.sources import Source
from worker.kinds.interactions.roles import SCHEMA

MIN_USER_EVENTS = 3


class IngestOptions(ReadOptions):
    """How an interaction table becomes a dataset version."""

    columns: ColumnMap = column_map(SCHEMA, example='{"user": "uid", "item": 1}')
    binarize_threshold: Maybe[float] = Field(
        None, description="Keep only events rated at least this; null: every event counts."
    )
    min_user_events: Maybe[int] = Field(
        None,
        ge=1,
        le=1000,
        description="Users with fewer events are left out; null: 3, but 1 where the split is a published one.",
    )
    min_item_events: int = Field(1, ge=1, le=1000, description="Items with fewer events are left out.")
    dedup: Literal["first", "last", "sum"] = Field(
        "first", description="Of a pair's several events keep the earliest, the latest, or sum their ratings."
    )
    split: str = Field(
        "auto",
        pattern=r"^(auto|paper|clean|leave_2|strong|files|column:.+)$",
        description="How events are held out: clean or paper (random 80/10/10 of each user), leave_2 (each user's "
        "last two by time), strong (whole users), column:NAME (a published split in the table: train, validation, "
        "test), or files (a published split in files: train.csv, valid.csv, test.csv, or index.npz beside "
        "total_data.hdf5). auto: that of an index.npz where there is one, else clean.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the split.")
    rows_in_time_order: bool = Field(
        False, description="The table has no times, but its rows are in order of time (as SASRec's files are)."
    )
    keep_text: bool = Field(
        False, description="Keep the text of every event (a review), for the side-text audit. Other jobs never read it."
    )
    item_features: str = Field(
        "",
        max_length=1000,
        description="Which of the files describes items (name or pattern such as `*.item`): a table with a row an "
        "item, or a numpy array whose row r describes the item r. Blank: none. For learners that read features.",
    )
    item_feature_columns: Listed[str] = Field(
        default_factory=list,
        max_length=1000,
        description="Its columns that describe: numbers, or tags as in a|b|c. Blank: those called tags, genres or the "
        "like, else all numbers.",
    )

    @property
    def published(self) -> bool:
        """Whether the split is one that the upload brings."""
        return self.split == "files" or self.split.startswith("column:")

    def settled(self, index: Source | None) -> IngestOptions:
        """The same with what was left open decided; `index`: that of a published split."""
        split = self.split if self.split != "auto" else "clean" if index is None else "files"
        decided = self.model_copy(update={"split": split})
        least = self.min_user_events or (1 if decided.published else MIN_USER_EVENTS)
        return decided.model_copy(update={"min_user_events": least})
