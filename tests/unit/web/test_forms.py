"""Forms from schemas, and back: what was filled in is what the schema's check will see."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from app.web.forms import fields_of, values_of


class Params(BaseModel):
    """Of every sort that methods have."""

    steps: int = Field(10, ge=1, le=500, description="How many.")
    rate: float | None = Field(None, gt=0, lt=1)
    init: Literal["users", "head"] = "users"
    exact: bool = False
    learners: list[Literal["ease", "knn"]] = ["ease"]
    lengths: list[int] = [10, 100]
    budget: int | str | None = Field(None, description="500, 1% or 150kB.")
    columns: dict[Literal["user", "item"], str | int] = {}
    more: dict[str, int] = {}


FIELDS = fields_of(Params.model_json_schema(), "params")
BY_NAME = {field.name.partition(".")[2]: field for field in FIELDS}


def filled(**given: Any) -> dict[str, list[str]]:
    """A form as a browser sends it when only these fields were touched."""
    form = {field.name: [field.shown] for field in FIELDS if field.sort not in ("switch", "several", "roles")}
    form |= {f"{field.name}.shown": ["1"] for field in FIELDS if field.sort in ("switch", "several")}
    form |= {"params.learners": ["ease"]}
    return form | {f"params.{name}": value if isinstance(value, list) else [value] for name, value in given.items()}


def test_fields_when_made_from_a_schema_then_each_has_the_input_that_fits() -> None:
    sorts = {name: field.sort for name, field in BY_NAME.items()}
    assert sorts == {
        "budget": "text",
        "steps": "number",
        "rate": "number",
        "init": "choice",
        "exact": "switch",
        "learners": "several",
        "lengths": "list",
        "columns": "roles",
        "more": "json",
    }
    assert FIELDS[0].name == "params.budget", "the size comes first"
    assert (BY_NAME["steps"].low, BY_NAME["steps"].high, BY_NAME["steps"].bounds) == (1, 500, "at least 1, at most 500")
    assert BY_NAME["rate"].bounds == "above 0, below 1"
    assert BY_NAME["rate"].may_be_left
    assert BY_NAME["steps"].help == "How many."


def test_values_when_nothing_was_touched_then_nothing_is_sent() -> None:
    assert values_of(FIELDS, filled()) == {}
    assert values_of(FIELDS, {}) == {}, "what is not part of a form is not emptied by it"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"steps": "20"}, {"steps": 20}),
        ({"rate": "0.5"}, {"rate": 0.5}),
        ({"init": "head"}, {"init": "head"}),
        ({"exact": "on"}, {"exact": True}),
        ({"learners": ["ease", "knn"]}, {"learners": ["ease", "knn"]}),
        ({"learners": []}, {"learners": []}),
        ({"lengths": "5, 20"}, {"lengths": [5, 20]}),
        ({"budget": "500"}, {"budget": 500}),
        ({"budget": "1%"}, {"budget": "1%"}),
        ({"columns.user": "uid", "columns.item": "1"}, {"columns": {"user": "uid", "item": 1}}),
        ({"more": '{"a": 1}'}, {"more": {"a": 1}}),
        ({"steps": "many"}, {"steps": "many"}),
        ({"more": "{"}, {"more": "{"}),
        ({"init": "nobody"}, {"init": "nobody"}),
    ],
)
def test_values_when_a_field_was_filled_in_then_it_is_sent_as_the_schema_takes_it(
    given: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert values_of(FIELDS, filled(**given)) == sent


def test_fields_when_given_values_and_errors_then_show_them() -> None:
    fields = fields_of(
        Params.model_json_schema(), "params", given={"steps": 7, "lengths": [1]}, errors={"steps": "No."}
    )
    shown = {field.name: (field.shown, field.error) for field in fields}
    assert shown["params.steps"] == ("7", "No.")
    assert shown["params.lengths"] == ("1", "")


def test_fields_when_a_form_has_other_spellings_then_the_first_counts() -> None:
    schema = {
        "properties": {
            "format": {"anyOf": [{"enum": ["auto", "csv"], "type": "string"}, {"enum": ["text"]}], "default": "auto"},
            "header": {"anyOf": [{"type": "boolean"}, {"type": "null"}, {"enum": ["auto"]}], "default": None},
            "names": {
                "anyOf": [
                    {"type": "array", "items": {"type": "string"}},
                    {"type": ["string", "integer"]},
                ]
            },
        }
    }
    fields = {field.name: field for field in fields_of(schema, "read")}
    assert [fields[f"read.{name}"].sort for name in ("format", "header", "names")] == ["choice", "choice", "list"]
    assert values_of(list(fields.values()), {"read.header": ["False"], "read.names": ["a, b"]}) == {
        "header": False,
        "names": ["a", "b"],
    }


def test_fields_when_a_schema_is_of_an_unknown_shape_then_it_is_asked_for_as_json() -> None:
    [field] = fields_of({"properties": {"odd": {"$ref": "#/$defs/Odd"}}}, "params")
    assert field.sort == "json"
