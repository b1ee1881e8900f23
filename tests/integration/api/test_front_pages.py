"""The pages for people: they answer without a key, stand alone, and say what the description says."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.api.problem_codes import CODES
from app.api.shared import parameters_of


@pytest.mark.parametrize("path", ["/", "/docs", "/problems", "/problems/not_found"])
def test_page_when_opened_without_a_key_then_stands_alone_under_a_strict_policy(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<script" not in answer.text
    assert re.findall(r'(?:src|href)="(?!/|#)[^"]*"', answer.text) == [], "it asks nobody else"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    style = re.search(r"<style>(.*)</style>", answer.text, re.DOTALL)
    assert style is not None
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()}'" in policy


def test_front_page_when_its_links_are_followed_then_each_answers(client: TestClient) -> None:
    links = re.findall(r'href="([^"]*)"', client.get("/").text)
    assert {"/docs", "/openapi.json", "/problems", "/v1/methods"} <= set(links)
    said = {link: client.get(link).status_code for link in links}
    assert said.pop("/v1/methods") == 401
    assert said.pop("/readyz") in (200, 503)
    assert set(said.values()) == {200}


def test_reference_when_opened_then_has_every_operation_parameter_and_schema(client: TestClient) -> None:
    page = client.get("/docs").text
    document: dict[str, Any] = client.get("/openapi.json").json()
    anchors = re.findall(r'id="([^"]*)"', page)
    for path, verbs in document["paths"].items():
        assert f"<code>{path}</code>" in page
        for operation in verbs.values():
            assert anchors.count(operation["operationId"]) == 1
            for parameter in parameters_of(operation, document):
                assert f"<code>{parameter['name']}</code>" in page
    assert set(document["components"]["schemas"]) <= set(anchors)
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(anchors), "no link leads nowhere"


def test_problems_page_when_opened_then_names_every_code(client: TestClient) -> None:
    assert re.findall(r'href="/problems/([a-z_]+)"', client.get("/problems").text) == list(CODES)
