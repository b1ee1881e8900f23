"""Text that should be JSON of a given shape."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import jsonschema

from worker.llm.backend import Generated

_FENCED = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


def generated(text: str, schema: Mapping[str, Any] | None, in_tokens: int, out_tokens: int) -> Generated:
    """What a model wrote, read as JSON where a schema was given; a fence of code around it is taken off."""
    if not text.strip():
        return Generated("", None, in_tokens, out_tokens, "an empty answer")
    if schema is None:
        return Generated(text, None, in_tokens, out_tokens)
    inner = _FENCED.match(text)
    try:
        value = json.loads(inner[1] if inner else text)
        jsonschema.validate(value, schema)
    except (ValueError, RecursionError):
        return Generated(text, None, in_tokens, out_tokens, "an answer that is no JSON")
    except jsonschema.ValidationError as unfit:
        return Generated(text, None, in_tokens, out_tokens, f"an answer of another shape: {unfit.message[:100]}")
    return Generated(text, value, in_tokens, out_tokens)
