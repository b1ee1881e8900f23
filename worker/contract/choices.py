"""Fields of a model that take names of what there is: learners and cheap picks, which plug-ins add to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, create_model

Model = TypeVar("Model", bound=BaseModel)


def with_choices(model: type[Model], **choices: tuple[Iterable[str], Iterable[str]]) -> type[Model]:
    """The model whose fields of these names are lists of words: of each, which there are, and which are taken unless
    said. A field's description and bounds stay."""
    fields: dict[str, Any] = {}
    for name, (known, usual) in choices.items():
        field = model.model_fields[name]
        words = Annotated[(list[Literal[tuple(known)]], *field.metadata, Field(description=field.description))]
        fields[name] = (words, list(usual))
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, **fields)
