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


class SummaryView(Answer):
    """A summary: its manifest and its files."""

    id: str
    job: str
    kind: str
    method: str
    dataset: str | None
    report: str | None
    content_sha256: str
    manifest: dict[str, Any]
    files: list[FileView]
    size: int
    created_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any], files: Sequence[Mapping[str, Any]]) -> SummaryView:
        """From its row and its artifacts."""
        views = [FileView.of(file) for file in files]
        return cls(
            id=row["id"],
            job=row["job_id"],
            kind=row["kind"],
            method=row["method"],
            dataset=f"{row['dataset_id']}@1" if row["dataset_id"] else None,
            report=row["report_id"],
            content_sha256=row["content_sha256"],
            manifest=row["manifest"],
            files=views,
            size=sum(view.size for view in views),
            created_at=row["created_at"],
        )
