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


TUS = "application/offset+octet-stream"


def _media_types(operation: dict[str, Any]) -> list[str]:
    return list(operation.get("requestBody", {}).get("content", {}))


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
            said = set(operation["responses"])
            assert {"400", "413", "429", "431", "500"} <= said, path
            assert "405" not in said, "an address that takes a method never refuses it"
            assert ("404" in said) >= ("{" in path), path
            assert ({"401", "503"} <= said) == path.startswith("/v1/") or path in ("/metrics", "/readyz")
            assert ("408" in said) == ("requestBody" in operation), path
            assert ("415" in said) == bool({"application/json", TUS} & set(_media_types(operation))), path
            if path.startswith("/v1/"):
                assert operation["security"] == [{"HTTPBearer": []}]
                assert ("403" in said) == bool(operation.get("x-scopes")), path
    assert len(names) == len(set(names)) >= 32


def test_operations_when_nothing_of_them_can_be_wrong_then_they_do_not_say_422(document: dict[str, Any]) -> None:
    silent = [
        "get_me",
        "get_usage",
        "get_dataset",
        "list_files",
        "delete_file",
        "list_versions",
        "cancel_job",
        "get_job",
    ]
    named = {
        operation["operationId"]: operation for verbs in document["paths"].values() for operation in verbs.values()
    }
    assert [name for name in silent if "422" in named[name]["responses"]] == []
    assert [
        name for name in ("put_file", "list_jobs", "get_version", "retry_job") if "422" not in named[name]["responses"]
    ] == []


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
        "UploadUrlsWanted",
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
            for status, answer in operation["responses"].items():
                for media_type, content in answer.get("content", {}).items():
                    if media_type == "application/problem+json":
                        assert content["example"]["status"] == int(status), (path, status)
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
