"""Imports from a real web server on loopback, which these settings allow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.main import create_app
from app.settings import Settings
from tests.engines import Engines
from tests.integration.api.conftest import Api, file_settings
from tests.receiver import Receiver, receiving
from tests.stated import StatingClient

CLICKS = b"user,item\n1,2\n"
OPEN = {"import_enabled": True, "outbound_http": True, "outbound_private": True, "outbound_ports": "*"}


@pytest.fixture(scope="module")
def settings(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with engines.database() as url:
        yield file_settings(url, tmp_path_factory.mktemp("imports"), **OPEN, import_limit_bytes=1000)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        one.files = {"/clicks.csv": CLICKS, "/moved": b"", "/cut.csv": CLICKS, "/large.csv": b"x" * 1001}
        yield one


def importing(api: Api, url: str, **fields: Any) -> Any:
    headers = fields.pop("headers", {})
    return api.post(
        "/v1/datasets:import", json={"url": url, "name": "x", "kind": "interactions", **fields}, headers=headers
    )


def test_import_when_the_file_is_there_then_answers_like_a_commit(api: Api, receiver: Receiver) -> None:
    sha256 = hashlib.sha256(CLICKS).hexdigest()
    answer = importing(api, receiver.url("/clicks.csv?token=1"), sha256=sha256, columns={"user": "user"})
    receiver.files["/clicks.csv?token=1"] = CLICKS
    assert answer.json()["code"] == "import_failed"  # 404 so far
    answer = importing(api, receiver.url("/clicks.csv?token=1"), sha256=sha256, columns={"user": "user"})
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{made['job']['id']}"
    assert (made["version"], made["job"]["task"], made["job"]["state"]) == (1, "ingest", "queued")
    version = api.get(f"/v1/datasets/{made['dataset']}/versions/1").json()
    assert version["sources"] == [{"path": "clicks.csv", "sha256": sha256, "size": len(CLICKS)}]
    assert api.get(f"/v1/datasets/{made['dataset']}/files/clicks.csv").content == CLICKS


def test_import_when_sent_twice_with_one_key_then_fetched_once(api: Api, receiver: Receiver) -> None:
    sent = [
        importing(api, receiver.url("/clicks.csv"), path="in/it.csv", headers={"Idempotency-Key": "k"}) for _ in "ab"
    ]
    assert sent[0].json() == sent[1].json()
    assert sent[1].headers["idempotency-replayed"] == "true"
    assert receiver.fetched == 1


@pytest.mark.parametrize(
    ("path", "fields", "status", "code"),
    [
        ("/none.csv", {}, 422, "import_failed"),
        ("/moved", {}, 422, "import_failed"),
        ("/cut.csv", {}, 422, "import_failed"),
        ("/large.csv", {}, 413, "payload_too_large"),
        ("/clicks.csv", {"sha256": "0" * 64}, 422, "checksum_mismatch"),
        ("/clicks.csv", {"path": "../x"}, 422, "invalid_path"),
        ("/clicks.csv", {"kind": "images"}, 422, "unknown_kind"),
        ("/clicks.csv", {"options": {"none": 1}}, 422, "invalid_params"),
    ],
)
def test_import_when_it_cannot_be_then_refused_and_nothing_made(
    api: Api, receiver: Receiver, path: str, fields: dict[str, Any], status: int, code: str
) -> None:
    answer = importing(api, receiver.url(path), **fields)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert api.get("/v1/datasets").json()["items"] == []
    assert list(api.blobs.staging.iterdir()) == []
    if code in ("invalid_path", "unknown_method", "invalid_params"):
        assert receiver.fetched == 0  # refused before anything is fetched


def test_import_when_the_address_is_unsafe_then_refused(api: Api) -> None:
    for url in ("file:///etc/passwd", "http://169.254.169.254/latest/meta-data", "http://0x0.0x0/", "http://[::]/"):
        answer = importing(api, url, path="x.csv")
        assert (answer.status_code, answer.json()["code"]) == (422, "unsafe_url"), url


@pytest.mark.parametrize(
    ("changes", "code"),
    [({}, "import_disabled"), ({"import_enabled": True}, "unsafe_url"), ({**OPEN, "import_slots": 0}, "import_busy")],
)
def test_import_when_the_settings_do_not_allow_it_then_refused(
    settings: Settings, api: Api, receiver: Receiver, tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    with StatingClient(create_app(file_settings(settings.database_url, tmp_path, **changes))) as client:
        mine = Api(client, api.engine, api.blobs, api.tenant_id, api.token)
        assert importing(mine, receiver.url("/clicks.csv")).json()["code"] == code
    assert receiver.fetched == 0
