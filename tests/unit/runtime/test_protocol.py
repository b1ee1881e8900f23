"""What a child says can be stored: JSON has no NaN, and Postgres no NUL."""

from __future__ import annotations

import io
import json
import math

import pytest

from worker.runtime.protocol import Speaker


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ({"metrics": {"loss": math.nan, "at": [math.inf, 1.5]}}, {"metrics": {"loss": None, "at": [None, 1.5]}}),
        ({"text": "a\0b"}, {"text": "a b"}),
        ({"manifest": {"na\0me": ["\ud800", True, None, 7]}}, {"manifest": {"na me": ["?", True, None, 7]}}),
    ],
)
def test_message_when_it_holds_what_cannot_be_stored_then_that_is_replaced(said: dict, heard: dict) -> None:
    pipe = io.BytesIO()
    Speaker(pipe).say("done", **said)
    assert json.loads(pipe.getvalue(), parse_constant=pytest.fail) == {"t": "done", **heard}
