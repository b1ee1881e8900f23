"""Documents of datasets, their files and versions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field, JsonValue

from app.api.problems import with_hint
from app.api.schemas.common import Answer, Labels, Listed, Name, Options, Request, Sha256, ShortText
from app.api.schemas.jobs import JobView

_FILE: dict[str, JsonValue] = {
    "path": "clicks.csv",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "size": 4,
}
DatasetState = Literal["open", "ingesting", "ready", "failed"]


class DatasetCreate(Request):
    """A new dataset; its files are put afterwards."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "shop clicks",
                    "kind": "interactions",
                    "columns": {"user": "customer", "item": "sku"},
                    "options": {"split": "leave_2"},
                    "tags": {"team": "search"},
                }
            ]
        }
    )

    name: ShortText
    kind: Name = Field(description="A kind that a worker announced; see /v1/methods.")
    columns: Options = Field({}, description="Which column of the files plays which role of the kind.")
    options: Options = Field({}, description="How the files are read and split; see the kind's `ingest` method.")
    tags: Labels = Field({})


class DatasetPatch(Request):
    """What may change later; columns and options take effect at the next commit."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "shop clicks, May"}]})

    name: ShortText | None = None
    columns: Options | None = None
    options: Options | None = None
    tags: Labels | None = None


class DatasetView(Answer):
    """A dataset."""

    id: str
    name: str
    kind: str
    columns: dict[str, Any]
    options: dict[str, Any]
    tags: dict[str, str]
    state: DatasetState = Field(description="Of the latest version; `open` before the first commit.")
    latest_version: int = Field(description="0 before the first commit.")
    reference: str = Field(description="The latest version as jobs name it, `ds_...@1`; empty before the first commit.")
    rows: int | None = Field(description="Of the latest version, in `units`; null until it is ready.")
    units: str | None = Field(description="What the kind counts, such as `users`.")
    size: int = Field(description="Bytes of the latest version's canonical files; 0 until it is ready.")
    summary: str | None = Field(description="The summary that this dataset is the export of.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> DatasetView:
        """From its row."""
        made = {
            "summary": row["summary_id"],
            "rows": row["rows"] if isinstance(row["rows"], int) else None,
            "reference": f"{row['id']}@{row['latest_version']}" if row["latest_version"] else "",
        }
        return cls(**made, **{name: row[name] for name in cls.model_fields if name not in made})


class DatasetList(Listed):
    """A page of datasets, newest first."""

    items: list[DatasetView]


class FileView(Answer):
    """A stored file."""

    path: str
    size: int
    sha256: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> FileView:
        """From its artifact."""
        return cls(path=row["path"], size=row["size"], sha256=row["sha256"])


class FileList(Listed):
    """Files by path."""

    items: list[FileView]


class CommittedFile(Request):
    """A file as the client believes it to be."""

    path: str = Field(max_length=255)
    sha256: Sha256
    size: int = Field(ge=0)


class UploadUrlsWanted(Request):
    """The files that are to be sent to the store of the files itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"files": [_FILE]}]})

    files: list[CommittedFile] = Field(min_length=1, max_length=1000)


class UploadUrl(Answer):
    """Where and how one file is to be sent; no API key belongs there."""

    path: str
    method: Literal["PUT"]
    url: str = Field(description="A presigned address; whoever has it may send this file, and no other.")
    headers: dict[str, str] = Field(description="Signed with it: send them exactly so.")
    expires_at: datetime


class UploadUrls(Answer):
    """An address for every file asked for, in the same order."""

    files: list[UploadUrl]


class Commit(Request):
    """Which uploaded files make the version; all of them unless named."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"files": [_FILE]}]})

    files: list[CommittedFile] | None = Field(None, max_length=10_000)


class Committed(Answer):
    """The version being made, and the job that makes it ready."""

    job: JobView
    dataset: str
    version: int
    reference: str = Field(description="How jobs name the version: `ds_x@n`.")


class VersionView(Answer):
    """One immutable version of a dataset."""

    dataset: str
    number: int
    reference: str
    state: Literal["ingesting", "ready", "failed"]
    content_sha256: str | None = Field(description="Over the canonical files; equal content has an equal hash.")
    job: str | None = Field(description="The job that ingested it.")
    sources: list[dict[str, Any]]
    columns: Any = Field(description="The canonical files' columns.")
    detection: Any = Field(description="What was recognised in the files.")
    statistics: dict[str, Any]
    warnings: list[Any]
    error: dict[str, Any] | None
    created_at: datetime
    ready_at: datetime | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> VersionView:
        """From its row."""
        manifest: Mapping[str, Any] = row["manifest"]
        return cls(
            dataset=row["dataset_id"],
            number=row["number"],
            reference=f"{row['dataset_id']}@{row['number']}",
            state=row["state"],
            content_sha256=row["content_sha256"],
            job=row["job_id"],
            sources=manifest.get("sources", []),
            columns=manifest.get("schema"),
            detection=manifest.get("detection"),
            statistics=manifest.get("statistics", {}),
            warnings=manifest.get("warnings", []),
            error=with_hint(manifest.get("error")),
            created_at=row["created_at"],
            ready_at=row["ready_at"],
        )


class VersionList(Listed):
    """A page of versions, newest first."""

    items: list[VersionView]


class Preview(Answer):
    """The first rows of a version."""

    reference: str
    rows: list[dict[str, Any]]


class Statistics(Answer):
    """What was counted in a version."""

    reference: str
    statistics: dict[str, Any]
