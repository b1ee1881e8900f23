"""Documents of jobs and their events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator

from app.api.problems import with_hint
from app.api.schemas.common import Answer, Labels, Listed, Name, Parameters, Request, State
from app.api.schemas.job_webhook import JobWebhook

INT64 = 2**63
MOST_REFERENCES = 32


class Limits(Request):
    """What a job may use."""

    time_s: int | None = Field(None, ge=10, le=86_400, description="A method with a best-so-far ends with it then.")
    evaluate_s: int | None = Field(
        None, ge=10, le=86_400, description="Judging ends with what was measured by then; an hour unless given."
    )
    memory_mb: int | None = Field(None, ge=64, le=4_194_304)


class JobCreate(Request):
    """A job to run; everything but the dataset has a default."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "method": "distill-cf",
                    "dataset": "ds_06dc1m8yk2v9t3q5w7x4z1b0ra@1",
                    "params": {"budget": "1%"},
                    "seed": 0,
                    "labels": {"team": "search"},
                }
            ]
        }
    )

    dataset: str = Field(min_length=1, max_length=100, description="`ds_x@3`, or `ds_x` for its latest ready version.")
    method: str = Field(
        "auto", min_length=1, max_length=100, description="A name from /v1/methods of the dataset's kind."
    )
    task: Name | None = Field(None, description="The method fixes it; when given it must agree.")
    inputs: dict[Name, Name | list[Name]] = Field(
        {},
        max_length=16,
        description="Further inputs: `sum_x` or `ds_x@n` by name, a list where the method takes many; 32 in all.",
    )
    params: Parameters = Field({}, description="By the method's `params_schema`.")
    evaluate: Parameters = Field({}, description="By the method's `evaluate_schema`.")
    seed: int = Field(0, ge=-INT64, lt=INT64)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({}))
    labels: Labels = Field({})
    priority: int = Field(0, ge=-10, le=10)
    deterministic: bool = False
    force: bool = Field(False, description="Run even if identical work is finished or under way.")
    webhook: JobWebhook | None = None

    @field_validator("inputs")
    @classmethod
    def _not_too_many(cls, inputs: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        if sum(1 if isinstance(given, str) else len(given) for given in inputs.values()) > MOST_REFERENCES:
            raise ValueError(f"names more than {MOST_REFERENCES} summaries and datasets")
        return inputs

    @field_validator("task")
    @classmethod
    def _asked_for(cls, task: str | None) -> str | None:
        if task == "ingest":
            raise ValueError("versions are ingested by committing a dataset")
        return task


class JobView(Answer):
    """A job."""

    id: str | None = Field(description="None when the request was only validated.")
    state: State
    task: str
    kind: str
    method: str
    method_version: int
    dataset: str
    inputs: dict[str, Any]
    params: dict[str, Any]
    evaluate: dict[str, Any]
    seed: int
    device: str
    limits: dict[str, Any]
    labels: dict[str, Any]
    priority: int
    deterministic: bool
    force: bool
    attempt: int
    progress: dict[str, Any] = Field(description="phase, step, total, fraction (0 to 1), eta_s, metrics.")
    queue: str
    queue_position: int | None = Field(description="Jobs of yours before it while it waits; not in lists.")
    cancel_requested_at: datetime | None
    error: dict[str, Any] | None = Field(description="code, detail, hint, pointer of a failed job.")
    result: dict[str, Any] | None = Field(description="Ids: summary, report, dataset.")
    cost: dict[str, Any] | None = Field(
        description="What it took; of one that was only validated, what it will take: seconds, memory_mb, judging."
    )
    environment: dict[str, Any] | None
    cut: dict[str, float] = Field(
        description="Limits that ended its work early, in seconds; a request with larger ones is worked on anew."
    )
    input_hash: str = Field(description="Equal for requests that must give equal results.")
    cached_from: str | None = Field(description="The identical job whose result this one was given.")
    retry_of: str | None
    last_seq: int = Field(description="Number of the last event.")
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: Mapping[str, Any], queue_position: int | None = None) -> JobView:
        """From its row."""
        made = ("dataset", "queue_position", "error")
        fields = {name: row.get(name) for name in cls.model_fields if name not in made}
        return cls.model_validate(
            {
                **fields,
                "dataset": f"{row['dataset_id']}@{row['dataset_version']}",
                "queue_position": queue_position,
                "error": with_hint(row.get("error")),
            }
        )

    @classmethod
    def of_validated(cls, row: Mapping[str, Any]) -> JobView:
        """From a row that was not stored; `cost` is then an estimate."""
        return cls.of({"attempt": 0, "last_seq": 0, "progress": {}, "cut": {}, **row, "id": None})


class JobList(Listed):
    """A page of jobs, newest first."""

    items: list[JobView]


class JobEvent(Answer):
    """One event of a job; numbers are gapless."""

    seq: int
    at: datetime
    type: str
    data: dict[str, Any]


class JobEventList(Answer):
    """Events in order; ask again with ?after= the last seq."""

    items: list[JobEvent]
