"""A test client that holds refusals against the description: no operation answers a code that it does not state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from fastapi import FastAPI
from httpx2 import Request, Response
from starlette.testclient import TestClient

from app.api.documented import OF_ANY_REQUEST, codes_of


class StatingClient(TestClient):
    """AssertionError for a problem code that the operation's description does not have."""

    def send(self, request: Request, **options: Any) -> Response:
        response = super().send(request, **options)
        if response.headers.get("content-type") == "application/problem+json" and not response.is_stream_consumed:
            response.read()
        assert isinstance(self.app, FastAPI)
        found = operation_at(self.app, request.method, request.url.path)
        if found is not None and response.headers.get("content-type") == "application/problem+json":
            name, codes = found
            code = response.json()["code"] if response.content else None
            assert code is None or code in codes | {*OF_ANY_REQUEST}, f"{name} does not state {code}; it has {codes}"
        return response


def operation_at(app: FastAPI, method: str, path: str) -> tuple[str, frozenset[str]] | None:
    """The operation of this address, by its name, and the codes that it states; None for what is not described."""
    for pattern, verbs in _operations(app):
        if pattern.fullmatch(path):
            return verbs.get(method, verbs.get("GET") if method == "HEAD" else None)
    return None


@cache
def _operations(app: FastAPI) -> list[tuple[re.Pattern[str], Mapping[str, tuple[str, frozenset[str]]]]]:
    """The most particular address first: it has the most letters of its own."""
    document = app.openapi()
    paths = sorted(document["paths"].items(), key=lambda item: -len(re.sub(r"{.*?}", "", item[0])))
    return [
        (
            _pattern(path),
            {
                verb.upper(): (operation["operationId"], frozenset(codes_of(operation, document)))
                for verb, operation in verbs.items()
            },
        )
        for path, verbs in paths
    ]


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"({\w+})", template)
    named = {"{path}": ".+"}
    return re.compile("".join(named.get(one, "[^/]+") if one.startswith("{") else re.escape(one) for one in parts))
