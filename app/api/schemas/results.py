"""Documents of methods, summaries and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from app.api.schemas.common import Answer, Listed
from app.api.schemas.datasets import FileView


class InputView(Answer):
    """Something a method takes beside its dataset."""

    name: str
    type: str = Field(description="`summary`, `dataset`, or `either`.")
    kind: str = Field(description="Of this kind; empty: of the method's.")
    required: bool
    many: bool = Field(description="Several may be given, as a list.")
    description: str


class MethodView(Answer):
    """One method, as its worker announced it."""

    kind: str
    name: str
    version: int
    task: str
    summary: str
    paper: str
    params_schema: dict[str, Any]
    evaluate_schema: dict[str, Any]
    defaults: dict[str, Any]
    device: str
    queue: str
    cost: dict[str, Any]
    inputs: list[InputView]
    needs: list[str] = Field(description="What the operator must provide, such as `llm`: credentials of models.")
    announced_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> MethodView:
        """From its row; the defaults are those of the schema."""
        properties: Mapping[str, Mapping[str, Any]] = row["params_schema"].get("properties", {})
        defaults = {name: field["default"] for name, field in properties.items() if "default" in field}
        return cls(defaults=defaults, **{name: row[name] for name in cls.model_fields if name != "defaults"})


class MethodList(Listed):
    """A page of the catalogue, by kind and name."""

    items: list[MethodView]


class SummaryItem(Answer):
    """A summary, as lists show it."""

    id: str
    job: str
    kind: str
    method: str
    source: str = Field(description="The dataset version that it was made from.")
    dataset: str | None = Field(description="The dataset version that it was exported as.")
    report: str | None
    content_sha256: str
    size: int = Field(description="Bytes of its files.")
    created_at: datetime

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> SummaryItem:
        """From its row."""
        return cls(**_about(row))


class SummaryView(SummaryItem):
    """A summary: its manifest and its files."""

    manifest: dict[str, Any]
    files: list[FileView]

    @classmethod
    def of(cls, row: Mapping[str, Any], files: Sequence[Mapping[str, Any]]) -> SummaryView:
        """From its row and its artifacts."""
        return cls(**_about(row), manifest=row["manifest"], files=[FileView.of(file) for file in files])


class SummaryList(Listed):
    """A page of summaries, newest first."""

    items: list[SummaryItem]


class ReportItem(Answer):
    """A report, as lists show it."""

    id: str
    job: str
    kind: str
    method: str
    dataset: str = Field(description="The dataset version that its job read.")
    summary: str | None = Field(description="The summary it is about, if its job made one.")
    verdict: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> ReportItem:
        """From its row."""
        return cls(
            job=row["job_id"],
            dataset=f"{row['dataset_id']}@{row['dataset_version']}",
            summary=row["summary_id"],
            **{name: row[name] for name in ("id", "kind", "method", "verdict", "created_at")},
        )


class ReportList(Listed):
    """A page of reports, newest first."""

    items: list[ReportItem]


def _about(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "job": row["job_id"],
        "source": f"{row['source_id']}@{row['source_version']}",
        "dataset": f"{row['dataset_id']}@1" if row["dataset_id"] else None,
        "report": row["report_id"],
        **{name: row[name] for name in ("id", "kind", "method", "content_sha256", "size", "created_at")},
    }
