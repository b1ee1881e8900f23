"""The committed description is the one the code gives, and it is complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from app.api.documented import OF_ANY_REQUEST, codes_of, refusals
from app.api.openapi import describe, rendered
from app.api.problem_codes import CODES
from app.api.problems import Problem
from app.api.refusals import install
from app.api.shared import parameters_of, resolved
from app.main import create_app, undecided
from tests.stated import StatingClient

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
            assert {"400", "429", "500"} <= said, path
            assert "405" not in said, "an address that takes a method never refuses it"
            assert ("404" in said) >= ("{" in path), path
            assert ({"401", "503"} <= said) == path.startswith("/v1/") or path in ("/metrics", "/readyz")
            assert ({"408", "413"} <= said) == ("requestBody" in operation), path
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
            for parameter in parameters_of(operation, document):
                assert parameter["in"] != "path" or "example" in parameter, (path, parameter["name"])
            for answer in (resolved(answer, document) for answer in operation["responses"].values()):
                for media_type, content in answer.get("content", {}).items():
                    if media_type.endswith("json") and content.get("schema"):
                        schema = resolved(content["schema"], document)
                        if "next_page_token" in schema.get("properties", {}):  # a list shows what its items do
                            schema = resolved(schema["properties"]["items"]["items"], document)
                        whole = {**schema, "components": document["components"]}
                        for example in schema.get("examples") or [content["example"]]:
                            jsonschema.validate(example, whole)
                            seen += 1
    assert seen > 300


def test_description_when_written_then_is_small_enough_to_be_read() -> None:
    assert (ROOT / "openapi.json").stat().st_size < 200_000


def test_refusals_when_stated_then_each_code_has_its_status_and_is_known(document: dict[str, Any]) -> None:
    stated: set[str] = set()
    for path, verbs in document["paths"].items():
        for operation in verbs.values():
            for status, answer in operation["responses"].items():
                codes = resolved(answer, document).get("x-codes", [])
                assert {CODES[code].status for code in codes} <= {int(status)}, (path, status)
                assert bool(codes) == (status >= "400") or path == "/readyz", (path, status)
            stated |= codes_of(operation, document)
    # All that the API and what it calls refuse with is stated somewhere; a client of the tests looks where.
    raised: set[str] = set()
    for package in ("app/api", "app/jobs"):
        for file in (ROOT / package).rglob("*.py"):
            raised |= set(re.findall(r'(?:Problem|Refused)\(\s*"([a-z_]+)"', file.read_text()))
    assert raised - {*OF_ANY_REQUEST} - stated == {"method_not_allowed"}


def test_times_when_described_then_have_a_unit(document: dict[str, Any]) -> None:
    """A moment is RFC 3339; a span of time is a number of seconds and its name says so."""
    spans = re.compile(r"time|timeout|seconds|duration|interval|keep|wait|_s$|_s_")
    seen = 0
    for name, schema in document["components"]["schemas"].items():
        for field, one in schema.get("properties", {}).items():
            kinds = {*([one["type"]] if isinstance(one.get("type"), str) else one.get("type", []))}
            if kinds & {"number", "integer"} and spans.search(field):
                assert field.endswith("_s") or "_s_" in field or field == "requests_per_s", (name, field)
                seen += 1
            if field.endswith(("_at", "_until")):
                assert one["format"] == "date-time", (name, field)
                seen += 1
    assert seen > 30


def test_references_when_followed_then_none_is_missing(document: dict[str, Any]) -> None:
    text = str(document)
    for kind, name in set(re.findall(r"#/components/(\w+)/([\w-]+)", text)):
        assert name in document["components"][kind]
    assert "HTTPValidationError" not in text


def test_client_of_the_tests_when_an_operation_answers_what_it_does_not_state_then_objects() -> None:
    app = FastAPI()
    describe(app)
    install(app)

    def refusing() -> None:
        raise Problem("dataset_in_use")

    app.add_api_route("/silent", refusing, summary="s", description="d", responses=refusals("not_found"))
    app.add_api_route("/frank", refusing, summary="s", description="d", responses=refusals("dataset_in_use"))
    client = StatingClient(app)
    assert client.get("/frank").status_code == 409
    with pytest.raises(AssertionError, match="does not state dataset_in_use"):
        client.get("/silent")
