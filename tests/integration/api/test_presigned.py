"""Files that go between clients and an S3-like store by presigned addresses: no word of a client is trusted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import Engine, create_engine
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.store.open_blobs import open_blobs, open_direct
from tests.engines import Engines
from tests.integration.api.conftest import Api, announce, file_settings, new_tenant
from tests.integration.api.test_quotas import changed
from tests.s3_server import S3Server
from tests.stated import StatingClient

CONTENT = b"user,item\n" + b"".join(b"%d,%d\n" % (n, n % 7) for n in range(500))
PREFIX = "presigned/deep"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def settings(engines: Engines, tmp_path_factory: pytest.TempPathFactory, s3: S3Server) -> Iterator[Settings]:
    with engines.database() as url:
        presigned = {"blob_presigned": True, "presigned_download_bytes": 1000, "upload_limit_bytes": 1_000_000}
        yield file_settings(url, tmp_path_factory.mktemp("presigned"), **s3.settings(PREFIX), **presigned)


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient]:
    with StatingClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[Engine]:
    engine = create_engine(settings.database_url)
    announce(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def api(client: TestClient, engine: Engine, settings: Settings) -> Api:
    api = new_tenant(client, engine, settings)
    api.blobs = open_blobs(settings)
    return api


def described(content: bytes = CONTENT, path: str = "clicks.csv") -> dict[str, Any]:
    return {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def address(api: Api, dataset: str, file: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(f"/v1/datasets/{dataset}/upload-urls", json={"files": [file]})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    [given] = answer.json()["files"]
    return given


def send(given: dict[str, Any], content: bytes) -> None:
    """As a careless store would take it: moto compares neither signature nor checksum."""
    headers = {**given["headers"], "Content-Length": str(len(content))}
    httpx.request(given["method"], given["url"], headers=headers, content=content).raise_for_status()


def commit(api: Api, dataset: str, *files: dict[str, Any]) -> Any:
    return api.post(f"/v1/datasets/{dataset}/commit", json={"files": files})


def incoming(s3: S3Server) -> list[str]:
    return [key for key in s3.keys(PREFIX) if key.startswith("incoming/")]


def test_file_when_sent_to_the_store_and_committed_then_is_the_version_s(api: Api, s3: S3Server) -> None:
    dataset, file = api.dataset()["id"], described()
    send(address(api, dataset, file), CONTENT)
    committed = commit(api, dataset, file)
    assert committed.status_code == 202, committed.text
    [source] = api.get(f"/v1/datasets/{dataset}/versions/1").json()["sources"]
    assert (source["path"], source["sha256"], source["size"]) == ("clicks.csv", file["sha256"], file["size"])
    assert incoming(s3) == []
    # Named again, it is the dataset's own.
    assert commit(api, dataset, file).status_code == 202


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT + b"1,1\n", b""], ids=["changed", "longer", "empty"])
def test_file_when_other_bytes_arrive_than_promised_then_commit_refuses_and_forgets_them(
    api: Api, s3: S3Server, content: bytes
) -> None:
    dataset, file = api.dataset()["id"], described()
    send(address(api, dataset, file), content)
    refused = commit(api, dataset, file)
    assert (refused.status_code, refused.json()["code"]) == (422, "checksum_mismatch")
    assert refused.json()["errors"][0]["pointer"] == "/files/0"
    assert api.get(f"/v1/datasets/{dataset}/versions").json()["items"] == []
    assert api.get(f"/v1/datasets/{dataset}/files").json()["items"] == []
    assert incoming(s3) == []
    stored = hashlib.sha256(content).hexdigest()
    assert f"sha256/{stored[:2]}/{stored}" not in s3.keys(PREFIX)


def test_address_when_used_again_after_the_commit_then_the_committed_bytes_stay(api: Api) -> None:
    dataset, file = api.dataset()["id"], described()
    given = address(api, dataset, file)
    send(given, CONTENT)
    assert commit(api, dataset, file).status_code == 202
    send(given, b"something else")
    assert b"".join(api.blobs.open(file["sha256"])) == CONTENT


def test_file_when_nothing_was_sent_then_commit_says_unknown(api: Api) -> None:
    dataset, file = api.dataset()["id"], described(b"never sent")
    address(api, dataset, file)
    refused = commit(api, dataset, file)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_file")


def test_upload_of_another_tenant_when_named_in_a_commit_then_is_not_found(
    api: Api, client: TestClient, engine: Engine, settings: Settings
) -> None:
    other = new_tenant(client, engine, settings)
    dataset, file = api.dataset()["id"], described(b"user,item\nsecret,1\n")
    send(address(api, dataset, file), b"user,item\nsecret,1\n")
    assert other.post(f"/v1/datasets/{dataset}/upload-urls", json={"files": [file]}).status_code == 404
    assert commit(other, dataset, file).status_code == 404
    mine = other.dataset()["id"]
    assert commit(other, mine, file).json()["code"] == "unknown_file"


def test_address_when_given_then_is_signed_for_size_checksum_and_minutes(api: Api) -> None:
    given = address(api, api.dataset()["id"], described())
    asked = parse_qs(urlsplit(given["url"]).query)
    assert asked["X-Amz-SignedHeaders"] == ["content-length;host;x-amz-checksum-sha256"]
    assert asked["X-Amz-Expires"] == ["900"]
    assert given["headers"]["Content-Length"] == str(len(CONTENT))


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"size": 1_000_001}, 413, "payload_too_large"),
        ({"path": "../x"}, 422, "invalid_path"),
        ({"sha256": "x" * 64}, 422, "invalid_request"),
        ({"size": -1}, 422, "invalid_request"),
    ],
)
def test_address_when_the_file_could_never_be_kept_then_is_refused(
    api: Api, change: dict[str, Any], status: int, code: str
) -> None:
    refused = api.post(f"/v1/datasets/{api.dataset()['id']}/upload-urls", json={"files": [{**described(), **change}]})
    assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_address_when_the_store_is_local_then_the_refusal_names_the_cure(
    engines: Engines, tmp_path: Path, engine: Engine, settings: Settings
) -> None:
    local = file_settings(settings.database_url, tmp_path, blob_presigned=True)
    with StatingClient(create_app(local)) as client:
        api = new_tenant(client, engine, local)
        dataset = api.dataset()["id"]
        refused = api.post(f"/v1/datasets/{dataset}/upload-urls", json={"files": [described()]})
    assert (refused.status_code, refused.json()["code"]) == (422, "unsupported")
    assert f"/v1/datasets/{dataset}/files/" in refused.json()["hint"]
    assert "/v1/uploads" in refused.json()["hint"]


def test_download_when_large_then_the_store_sends_it_for_saving(api: Api) -> None:
    result = api.summary({"manifest.json": b"{}", "page.html": b"<script>1</script>" + CONTENT})
    path = f"/v1/summaries/{result['summary']}/files/page.html"
    there = api.get(path, follow_redirects=False)
    assert there.status_code == 307
    assert there.headers["cache-control"] == "no-store"
    assert api.token not in there.headers["location"]
    got = httpx.get(there.headers["location"])
    assert got.content == b"<script>1</script>" + CONTENT
    assert got.headers["content-disposition"].startswith("attachment")
    assert got.headers["content-type"] == "application/octet-stream"
    part = httpx.get(there.headers["location"], headers={"Range": "bytes=18-26"})
    assert (part.status_code, part.content) == (206, b"user,item")


def test_download_when_small_or_known_or_only_asked_about_then_comes_from_here(api: Api) -> None:
    result = api.summary({"manifest.json": b"{}", "data.bin": CONTENT})
    root = f"/v1/summaries/{result['summary']}/files"
    assert api.get(f"{root}/manifest.json", follow_redirects=False).status_code == 200
    asked = api.request("HEAD", f"{root}/data.bin")
    assert (asked.status_code, asked.headers["content-length"]) == (200, str(len(CONTENT)))
    known = api.get(f"{root}/data.bin", headers={"If-None-Match": asked.headers["etag"]}, follow_redirects=False)
    assert known.status_code == 304


def test_uploads_when_nobody_commits_them_then_the_sweep_removes_them_by_age(
    api: Api, s3: S3Server, settings: Settings
) -> None:
    file = described(b"left behind")
    send(address(api, api.dataset()["id"], file), b"left behind")
    direct = open_direct(settings)
    assert direct is not None
    assert direct.forget_older(3600.0) == 0
    kept = [key for key in s3.keys(PREFIX) if not key.startswith("incoming/")]
    assert direct.forget_older(-5.0) >= 1
    assert s3.keys(PREFIX) == kept


def test_public_endpoint_when_set_then_clients_are_sent_there(settings: Settings) -> None:
    direct = open_direct(settings.model_copy(update={"blob_public_endpoint": "https://files.example.com/"}))
    assert direct is not None
    url = direct.download("ab" * 32, "x.csv", 60)
    assert url.startswith(f"https://files.example.com/blobs/{PREFIX}/sha256/ab/{'ab' * 32}?")


def test_keys_when_the_store_has_none_or_presigning_is_off_then_nothing_is_signed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    assert open_direct(settings.model_copy(update={"blob_presigned": False})) is None
    assert open_direct(settings.model_copy(update={"blob_access_key": "", "blob_secret_key": ""})) is None


def test_upload_urls_when_many_are_asked_for_then_together_within_the_quota(api: Api, client: TestClient) -> None:
    """What may be put at the store counts from when its address is given out; the same file counts once."""
    dataset = api.dataset()["id"]
    with changed(client, quota_stored_bytes=2 * len(CONTENT)):
        files = [described(CONTENT + bytes([n]), f"f{n}.csv") for n in range(2)]
        where = f"/v1/datasets/{dataset}/upload-urls"
        for _ in range(2):
            assert api.post(where, json={"files": files[:1]}).status_code == 200
        assert api.post(where, json={"files": files[1:]}).json()["code"] == "quota_exceeded"
        send(address(api, dataset, files[0]), CONTENT + bytes([0]))
        assert api.post(f"/v1/datasets/{dataset}/commit", json={"files": files[:1]}).status_code == 202
        assert api.get("/v1/usage").json()["stored_bytes"]["used"] == len(CONTENT) + 1
