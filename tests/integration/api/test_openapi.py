"""The committed description is the one the code gives, and it is complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.api.openapi import rendered
from app.main import create_app, undecided

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(undecided()).openapi()


def test_description_when_rendered_then_equals_the_committed_one() -> None:
    committed = (ROOT / "openapi.json").read_text()
    assert rendered(create_app(undecided())) == committed, "run: python -m app.main openapi > openapi.json"


def test_command_when_run_without_settings_then_prints_the_description() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.main", "openapi"], cwd=ROOT, capture_output=True, text=True, check=True, env={}
    )
    assert done.stdout == (ROOT / "openapi.json").read_text()


def test_operations_when_listed_then_named_tagged_and_their_refusals_documented(document: dict[str, Any]) -> None:
    names: list[str] = []
    for path, verbs in document["paths"].items():
        for operation in verbs.values():
            names.append(operation["operationId"])
            assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation["operationId"])
            assert operation["tags"]
            assert operation["summary"]
            assert operation["description"]
            if path.startswith("/v1/"):
                assert {"401", "403", "422", "500", "503"} <= set(operation["responses"])
                assert "application/problem+json" in operation["responses"]["422"]["content"]
                assert operation["security"]
            if "{" in path:
                assert "404" in operation["responses"], path
    assert len(names) == len(set(names)) >= 32


def test_request_bodies_when_described_then_have_examples_that_are_valid(document: dict[str, Any]) -> None:
    import jsonschema

    seen = 0
    for name in (
        "DatasetCreate",
        "DatasetPatch",
        "Commit",
        "JobCreate",
        "KeyCreate",
        "WebhookCreate",
        "WebhookPatch",
        "WebhookRotate",
        "DatasetImport",
    ):
        schema = document["components"]["schemas"][name]
        for example in schema["examples"]:
            whole = {**schema, "components": document["components"]}
            jsonschema.validate(example, whole)
            seen += 1
    assert seen >= 9


def test_operations_when_described_then_have_valid_examples(document: dict[str, Any]) -> None:
    import jsonschema

    seen = 0
    for path, verbs in document["paths"].items():
        for operation in verbs.values():
            for parameter in operation.get("parameters", []):
                assert parameter["in"] != "path" or "example" in parameter, (path, parameter["name"])
            for answer in operation["responses"].values():
                for media_type, content in answer.get("content", {}).items():
                    if media_type.endswith("json") and content.get("schema"):
                        whole = {**content["schema"], "components": document["components"]}
                        jsonschema.validate(content["example"], whole)
                        seen += 1
    assert seen > 300


def test_references_when_followed_then_none_is_missing(document: dict[str, Any]) -> None:
    text = str(document)
    for name in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert name in document["components"]["schemas"]
    assert "HTTPValidationError" not in text
