"""How a user may overrule the guesses about an upload."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError, field_validator

from worker.contract.errors import JobError
from worker.ingest.formats import FORMATS
from worker.ingest.sample import Hints
from worker.ingest.table import Schema

if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal[("auto", *(format.name for format in FORMATS))]
Encoding = Literal[
    "", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1250", "cp1251", "cp1252", "shift_jis", "euc_kr",
    "gb18030", "big5",
]  # fmt: skip
_NAMED_DELIMITERS = {
    "auto": "",
    "tab": "\t",
    "\\t": "\t",
    "comma": ",",
    "semicolon": ";",
    "pipe": "|",
    "space": " ",
    "ctrl-a": "\x01",
    "whitespace": " ",
}
NAMED_FORMATS = {
    "csv": "delimited",
    "tsv": "delimited",
    "json": "jsonl",
    "feather": "arrow",
    "ipc": "arrow",
    "h5": "hdf5",
    "inter": "recbole",
}
_NAMED_ENCODINGS = {"auto": "", "utf8": "utf-8", "utf16": "utf-16", "latin1": "latin-1", "windows-1252": "cp1252"}
_NAMED_QUOTES = {"auto": "", '"': "double", "'": "single"}
_NAMED_DECIMALS = {"auto": "", ".": "point", ",": "comma"}
_DECIMALS = {"": "", "point": ".", "comma": ","}
_QUOTES = {"": None, "double": '"', "single": "'", "none": ""}


def _column_map(value: object) -> object:
    """A column map may come from a command line: as JSON, or as `user=uid,item=2`."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("{"):
        return json.loads(text)
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    return {role.strip(): name.strip() for role, _, name in pairs}


def none_if_blank(value: object) -> object:
    """A command line has no null: blank, `null`, `none` and `auto` stand for it."""
    return None if isinstance(value, str) and value.strip().lower() in {"", "null", "none", "auto"} else value


@dataclass(frozen=True)
class Also:
    """What a field is given besides values of its type, for its JSON Schema: names, as a command line writes them, or
    further JSON `types`.
    """

    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        """The schema of the type, or one of these."""
        schema = dict(handler(core))
        more = [{"enum": list(self.names)}] if self.names else [{"type": list(self.types)}]
        return {"anyOf": [*schema.pop("anyOf", [schema]), *more]}


def named(values: Mapping[str, str]) -> tuple[BeforeValidator, Also]:
    """Names that stand for values."""
    return BeforeValidator(lambda value: values.get(value, value) if isinstance(value, str) else value), Also(
        tuple(values)
    )


def _listed(value: object) -> object:
    """A list may come from a command line as `a,b`, or as a number that is the name of one column."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list):
        return [str(part) if type(part) is int else part for part in value]
    return [str(value)] if type(value) is int else value


Value = TypeVar("Value")
Maybe = Annotated[Value | None, BeforeValidator(none_if_blank), Also(("auto", "none", "null", ""))]
Listed = Annotated[list[Value], BeforeValidator(_listed), Also(types=("string", "integer"))]
ColumnMap = Annotated[dict[str, str | int], BeforeValidator(_column_map)]
Delimiter = Annotated[str, *named(_NAMED_DELIMITERS)]
Quote = Annotated[Literal["", "double", "single", "none"], *named(_NAMED_QUOTES)]


def column_map(*schemas: Schema, example: str) -> Any:
    """The field `columns` of a kind's options, which names the roles of the tables that it reads."""
    roles = dict.fromkeys(role.name for schema in schemas for role in schema.roles if role.read)
    every: list[JsonValue] = [*dict.fromkeys(role.name for schema in schemas for role in schema.roles)]
    return Field(
        default_factory=dict,
        description=f"Which column is what: role ({', '.join(roles)}) to column name or, counted from 0, position. An "
        f"empty name means: do not use one. Example: {example}.",
        json_schema_extra={"propertyNames": {"enum": every}},
    )


class ReadOptions(BaseModel):
    """What is known about the files; everything left out is guessed and shown. A kind adds `columns`, which describes
    the roles of its table by `column_map`.
    """

    model_config = ConfigDict(extra="forbid")

    columns: ColumnMap = Field(default_factory=dict, description="Role to column name or position.")
    format: Annotated[FormatName, *named(NAMED_FORMATS)] = Field(
        "auto", description="Format of the files; `auto` looks at their content."
    )
    delimiter: Delimiter = Field(
        "",
        max_length=2,
        description="Delimiter of text tables (`,` `tab` `::` `|` ...; `whitespace`: runs of blanks); blank: guessed.",
    )
    encoding: Annotated[Encoding, *named(_NAMED_ENCODINGS)] = Field(
        "", description="Encoding of text tables; blank: guessed among Unicode's and the western European ones."
    )
    quote: Quote = Field(
        "",
        description="What quotation marks around cells of text tables are: `double`, `single`, or `none` where marks "
        "are characters; blank: guessed.",
    )
    decimal: Annotated[Literal["", "point", "comma"], *named(_NAMED_DECIMALS)] = Field(
        "", description="What stands before the fraction of a number in text tables; blank: guessed."
    )
    header: Maybe[bool] = Field(None, description="Whether the first line names the columns; null or auto: guessed.")
    file: str = Field("", description="Which of the uploaded files to read (name or pattern such as `*.csv`).")

    @field_validator("columns")
    @classmethod
    def _known_roles(cls, columns: dict[str, str | int]) -> dict[str, str | int]:
        schema: Any = cls.model_fields["columns"].json_schema_extra or {}
        roles: list[str] = schema.get("propertyNames", {}).get("enum", list(columns))
        if unknown := [role for role in columns if role not in roles]:
            raise ValueError(f"there is no role {unknown[0]!r}; the roles are {', '.join(roles)}")
        return columns

    def hints(self) -> Hints:
        """What these say of one file."""
        # who names columns says that there is a header
        named = any(isinstance(name, str) and name and not name.isdigit() for name in self.columns.values())
        header = True if self.header is None and named else self.header
        return Hints(self.format, self.delimiter, self.encoding, header, _QUOTES[self.quote], _DECIMALS[self.decimal])


Model = TypeVar("Model", bound=BaseModel)


def parse_options(model: type[Model], options: Mapping[str, Any] | Model) -> Model:
    """The options as `model`; raises `JobError` `invalid_input` that points at the first field at fault."""
    if isinstance(options, model):
        return options
    try:
        return model.model_validate(dict(options) if isinstance(options, Mapping) else options)
    except (ValidationError, json.JSONDecodeError) as invalid:
        if isinstance(invalid, json.JSONDecodeError):
            raise JobError("invalid_input", f"The column map is not JSON: {invalid}", pointer="/columns") from invalid
        first = invalid.errors()[0]
        where = [str(part) for part in first["loc"]]
        pointer = "/" + "/".join(where[:2]) if where[:1] == ["columns"] else "/options/" + "/".join(where[:1])
        known = ", ".join(sorted(model.model_fields))
        raise JobError(
            "invalid_input",
            f"Option {'.'.join(where) or 'list'}: {first['msg']}.",
            hint=f"The options are: {known}." if first["type"] == "extra_forbidden" else "",
            pointer=pointer,
        ) from invalid
