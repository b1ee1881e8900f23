"""What several documents share: strict request bodies, lists, problems."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

MAX_DEPTH = 8
Name = Annotated[str, Field(min_length=1, max_length=100)]
State = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]
ShortText = Annotated[str, Field(min_length=1, max_length=200)]
Labels = Annotated[
    dict[Annotated[str, Field(max_length=63)], Annotated[str, Field(max_length=200)]], Field(max_length=16)
]


def _at_most(most_bytes: int) -> AfterValidator:
    """A limit on how long a value is as JSON: it lies in a row, and stands in every page of a list."""

    def check(value: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(value, ensure_ascii=False).encode()) > most_bytes:
            raise ValueError(f"longer than {most_bytes} bytes of JSON")
        return value

    return AfterValidator(check)


Options = Annotated[dict[str, Any], _at_most(16_000)]
Parameters = Annotated[dict[str, Any], _at_most(64_000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Request(BaseModel):
    """A request body: unknown fields are refused, and so is what Postgres or JSON cannot hold."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _as_described(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic would take `false` and "0" for the number 0, which the schema does not.
        described = _types_of(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, bool | str) and described & {int, float} and not described & {type(value), Any}:
            raise ValueError("not a number")
        return value

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        _check(value, 0)
        return value


class Answer(BaseModel):
    """A document of an answer; fields may be added."""


class Listed(Answer):
    """One page of a list."""

    next_page_token: str = Field(description="Ask for the next page with it; empty at the end.")


class FieldError(Answer):
    """What is wrong with one field."""

    pointer: str = Field(description="JSON pointer into the body, or the name of a query, path or header parameter.")
    code: str
    detail: str


class ProblemDocument(Answer):
    """A refusal (RFC 9457)."""

    type: str = Field(description="Address of the page of this service that explains the code.")
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="Stable: programs may depend on it.")
    errors: list[FieldError]
    hint: str = Field(description="What to do; never empty.")
    request_id: str


def _types_of(annotation: Any) -> set[Any]:
    """The plain types of an annotation such as `int | None`."""
    inner = get_args(annotation)
    return set[Any]().union(*(_types_of(one) for one in inner)) if inner else {annotation}


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    match value:
        case str():
            if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
                raise ValueError("a string contains a NUL or half of a surrogate pair")
        case float():
            if not math.isfinite(value):
                raise ValueError("a number is not finite")
        case dict():
            for name, item in value.items():  # pyright: ignore[reportUnknownVariableType]
                _check(name, depth)
                _check(item, depth + 1)
        case list():
            for item in value:  # pyright: ignore[reportUnknownVariableType]
                _check(item, depth + 1)
        case _:
            pass
