"""Resumable uploads: the tus protocol, and that a finished one is the same as a plain upload."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import Engine, select, text
from starlette.testclient import TestClient

from app.jobs.retain import drop_expired_uploads
from app.jobs.sweep import Sweeper
from app.settings import Settings
from app.store.staging import opened
from app.store.tables import upload
from tests.integration.api.conftest import Api

TUS = {"Tus-Resumable": "1.0.0"}
CONTENT = b"user,item\n" + b"1,2\n" * 1000


def encoded(**values: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())


def begin(api: Api, *, length: int = len(CONTENT), headers: dict[str, str] | None = None, **metadata: str) -> Response:
    described = {"dataset": metadata.pop("dataset", "") or api.dataset()["id"], "path": "clicks.csv", **metadata}
    sent = {**TUS, "Upload-Length": str(length), "Upload-Metadata": encoded(**described), **(headers or {})}
    return api.post("/v1/uploads", headers=sent)


def location(api: Api, **options: Any) -> str:
    answer = begin(api, **options)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


def patch(api: Api, where: str, offset: int, content: Any, **headers: str) -> Response:
    kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
    return api.request("PATCH", where, content=content, headers={**TUS, **kind, **headers})


def head(api: Api, where: str) -> Response:
    return api.request("HEAD", where, headers=TUS)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def code_of(answer: Response) -> tuple[int, str]:
    assert answer.headers["tus-resumable"] == "1.0.0"
    return answer.status_code, answer.json()["code"]


def staged(settings: Settings, where: str) -> Path:
    return settings.staging_dir / where.rpartition("/")[2]


def test_upload_when_sent_in_pieces_then_equals_a_plain_one(api: Api, settings: Settings) -> None:
    dataset = api.dataset()["id"]
    begun = begin(api, dataset=dataset, sha256=sha256(CONTENT))
    where = begun.headers["location"]
    assert (begun.status_code, begun.headers["tus-resumable"]) == (201, "1.0.0")
    assert begun.json()["path"] == "clicks.csv"
    assert head(api, where).headers["upload-offset"] == "0"
    first = patch(api, where, 0, CONTENT[:1000])
    assert (first.status_code, first.headers["upload-offset"]) == (204, "1000")
    assert first.headers["upload-expires"].endswith("GMT")
    half = head(api, where)
    assert (half.headers["upload-offset"], half.headers["upload-length"]) == ("1000", str(len(CONTENT)))
    assert half.headers["cache-control"] == "no-store"
    assert half.headers["upload-metadata"].startswith("dataset ")
    assert api.get(f"/v1/datasets/{dataset}/files").json()["items"] == []
    last = patch(api, where, 1000, CONTENT[1000:])
    assert (last.status_code, last.headers["upload-offset"]) == (204, str(len(CONTENT)))
    plain = api.dataset()["id"]
    api.put(f"/v1/datasets/{plain}/files/clicks.csv", content=CONTENT)
    listed = [api.get(f"/v1/datasets/{one}/files").json()["items"] for one in (dataset, plain)]
    assert listed[0] == listed[1] == [{"path": "clicks.csv", "size": len(CONTENT), "sha256": sha256(CONTENT)}]
    assert api.get(f"/v1/datasets/{dataset}/files/clicks.csv").content == CONTENT
    assert head(api, where).headers["upload-offset"] == str(len(CONTENT))
    assert patch(api, where, len(CONTENT), b"").status_code == 204
    assert not staged(settings, where).exists()


def test_upload_when_empty_then_a_file_at_once(api: Api) -> None:
    dataset = api.dataset()["id"]
    location(api, dataset=dataset, length=0)
    assert api.get(f"/v1/datasets/{dataset}/files").json()["items"][0]["size"] == 0


def test_options_when_asked_then_says_what_is_offered(api: Api) -> None:
    answer = api.request("OPTIONS", "/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) == {"creation", "checksum", "termination", "expiration"}
    assert "sha1" in answer.headers["tus-checksum-algorithm"]
    assert int(answer.headers["tus-max-size"]) == 2_000_000_000


def test_patch_when_the_offset_is_wrong_then_409_and_nothing_written(api: Api) -> None:
    where = location(api)
    patch(api, where, 0, CONTENT[:10])
    for wrong in (0, 11, 10_000):
        answer = patch(api, where, wrong, b"x")
        assert code_of(answer) == (409, "upload_offset_conflict")
        assert answer.headers["upload-offset"] == "10"
    assert head(api, where).headers["upload-offset"] == "10"


def test_requests_when_malformed_then_refused(api: Api) -> None:
    where = location(api)
    assert code_of(api.request("PATCH", where, content=b"x"))[0] == 412
    answer = api.request("HEAD", where, headers={"Tus-Resumable": "0.2.2"})
    assert (answer.status_code, answer.headers["tus-version"]) == (412, "1.0.0")
    assert code_of(patch(api, where, 0, b"x", **{"Content-Type": "text/plain"})) == (415, "unsupported_media_type")
    assert code_of(patch(api, where, 0, b"x", **{"Upload-Offset": "-1"})) == (400, "malformed_request")
    assert code_of(patch(api, where, 0, b"x", **{"Upload-Checksum": "crc32 AAAA"})) == (400, "malformed_request")
    assert code_of(patch(api, where, 0, b"x", **{"Upload-Checksum": "sha1 AAAA"})) == (400, "malformed_request")
    assert code_of(patch(api, where, 0, CONTENT + b"x")) == (413, "payload_too_large")
    assert code_of(patch(api, where, 0, iter([CONTENT, b"x"]))) == (413, "payload_too_large")
    assert code_of(begin(api, path="../x")) == (422, "invalid_path")
    assert code_of(begin(api, dataset="ds_none")) == (404, "not_found")
    assert code_of(begin(api, sha256="abc")) == (422, "invalid_request")
    assert code_of(begin(api, length=3_000_000_000)) == (413, "payload_too_large")
    assert code_of(begin(api, headers={"Upload-Metadata": "dataset ,path !"})) == (400, "malformed_request")
    assert code_of(api.post("/v1/uploads", headers=TUS)) == (400, "malformed_request")
    assert code_of(api.post("/v1/uploads")) == (412, "tus_version")


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_patch_when_the_checksum_is_wrong_then_460_and_the_bytes_are_forgotten(api: Api, algorithm: str) -> None:
    where = location(api)
    right = base64.b64encode(hashlib.new(algorithm, CONTENT).digest()).decode()
    broken = patch(api, where, 0, b"?" + CONTENT[1:], **{"Upload-Checksum": f"{algorithm} {right}"})
    assert code_of(broken) == (460, "upload_checksum_mismatch")
    assert head(api, where).headers["upload-offset"] == "0"
    assert patch(api, where, 0, CONTENT, **{"Upload-Checksum": f"{algorithm} {right}"}).status_code == 204


def test_upload_when_the_whole_is_not_what_was_said_then_given_up(api: Api, settings: Settings) -> None:
    dataset = api.dataset()["id"]
    where = location(api, dataset=dataset, sha256=sha256(b"else"))
    assert code_of(patch(api, where, 0, CONTENT)) == (422, "checksum_mismatch")
    assert head(api, where).status_code == 404
    assert api.get(f"/v1/datasets/{dataset}/files").json()["items"] == []
    assert not staged(settings, where).exists()


def test_upload_when_given_up_then_gone_with_its_bytes(api: Api, settings: Settings) -> None:
    where = location(api)
    patch(api, where, 0, CONTENT[:10])
    assert staged(settings, where).stat().st_size == 10
    assert api.request("DELETE", where, headers=TUS).status_code == 204
    assert head(api, where).status_code == 404
    assert not staged(settings, where).exists()


def test_upload_when_only_post_gets_through_then_overridden(api: Api) -> None:
    where = location(api)
    kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    override = {"X-HTTP-Method-Override": "PATCH"}
    assert api.post(where, content=CONTENT, headers={**TUS, **kind, **override}).status_code == 204
    assert api.post(where, headers=TUS).status_code == 405
    assert api.post(where, headers={**TUS, "X-HTTP-Method-Override": "DELETE"}).status_code == 204


def test_begin_when_repeated_with_its_key_then_one_upload(api: Api, engine: Engine) -> None:
    dataset = api.dataset()["id"]
    key = {"Idempotency-Key": "once"}
    answers = [begin(api, dataset=dataset, headers=key) for _ in range(2)]
    assert answers[0].headers["location"] == answers[1].headers["location"]
    other = begin(api, dataset=dataset, length=7, headers=key)
    assert code_of(other) == (422, "idempotency_key_reused")
    with engine.connect() as conn:
        assert len(conn.execute(select(upload.c.id).where(upload.c.tenant_id == api.tenant_id)).all()) == 1


def test_upload_when_another_request_writes_it_then_423(api: Api, settings: Settings) -> None:
    where = location(api)
    with opened(settings.staging_dir, where.rpartition("/")[2]):
        answer = patch(api, where, 0, CONTENT)
        assert code_of(answer) == (423, "upload_locked")
        assert answer.headers["retry-after"]
    assert patch(api, where, 0, CONTENT).status_code == 204


def test_upload_when_the_file_is_longer_than_acknowledged_then_the_surplus_is_cut(api: Api, settings: Settings) -> None:
    where = location(api, sha256=sha256(CONTENT))
    patch(api, where, 0, CONTENT[:1000])
    with staged(settings, where).open("ab") as file:  # a crash between the write and the database
        file.write(b"never acknowledged")
    assert head(api, where).headers["upload-offset"] == "1000"
    assert patch(api, where, 1000, CONTENT[1000:]).status_code == 204


def test_upload_when_the_file_is_shorter_than_acknowledged_then_goes_on_there(api: Api, settings: Settings) -> None:
    where = location(api, sha256=sha256(CONTENT))
    patch(api, where, 0, CONTENT[:1000])
    os.truncate(staged(settings, where), 900)
    assert head(api, where).headers["upload-offset"] == "900"
    assert patch(api, where, 900, CONTENT[900:]).status_code == 204
    lost = location(api)
    patch(api, lost, 0, CONTENT[:1000])
    staged(settings, lost).unlink()
    assert head(api, lost).headers["upload-offset"] == "0"


def test_upload_when_killed_before_its_end_was_noted_then_asking_finishes_it(
    api: Api, settings: Settings, engine: Engine
) -> None:
    dataset = api.dataset()["id"]
    where = location(api, dataset=dataset, length=len(CONTENT))
    staged(settings, where).write_bytes(CONTENT)
    with engine.begin() as conn:
        conn.execute(text('UPDATE upload SET "offset" = length WHERE id = :id'), {"id": where.rpartition("/")[2]})
    assert head(api, where).headers["upload-offset"] == str(len(CONTENT))
    assert api.get(f"/v1/datasets/{dataset}/files/clicks.csv").content == CONTENT


def test_upload_when_expired_then_410_and_swept(api: Api, settings: Settings, engine: Engine) -> None:
    where, other = location(api), location(api)
    for one in (where, other):
        patch(api, one, 0, CONTENT[:10])
    with engine.begin() as conn:
        conn.execute(text("UPDATE upload SET expires_at = now() WHERE id = :id"), {"id": where.rpartition("/")[2]})
    assert code_of(patch(api, where, 10, CONTENT[10:])) == (410, "upload_expired")
    with engine.begin() as conn:
        assert drop_expired_uploads(conn, settings.staging_dir) == 1
    assert head(api, where).status_code == 404
    assert not staged(settings, where).exists()
    assert head(api, other).headers["upload-offset"] == "10"


def test_staging_when_swept_then_unfinished_uploads_stay_and_leftovers_go(
    api: Api, settings: Settings, engine: Engine
) -> None:
    where = location(api)
    patch(api, where, 0, CONTENT[:10])
    paused, left = staged(settings, where), settings.staging_dir / "upl_gone"
    left.write_bytes(b"x")
    for path in (paused, left):
        os.utime(path, (time.time() - 7200,) * 2)
    with engine.begin() as conn:
        Sweeper(api.blobs, grace_s=86_400).sweep(conn)
    assert (paused.exists(), left.exists()) == (True, False)


def test_upload_when_its_dataset_is_deleted_meanwhile_then_404(api: Api) -> None:
    dataset = api.dataset()["id"]
    where = location(api, dataset=dataset)
    api.delete(f"/v1/datasets/{dataset}", headers={"If-Match": "*"})
    assert code_of(patch(api, where, 0, CONTENT)) == (404, "not_found")


def test_upload_when_the_client_goes_away_then_what_came_is_kept(
    api: Api, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starlette.requests import ClientDisconnect, Request

    whole = Request.stream

    async def broken(self: Request) -> Any:
        async for chunk in whole(self):
            yield chunk[:700]
            raise ClientDisconnect

    where = location(api)
    with monkeypatch.context() as patched:
        patched.setattr(Request, "stream", broken)
        with suppress(Exception):  # there is nobody to answer, and the test client minds
            patch(api, where, 0, CONTENT)
    assert head(api, where).headers["upload-offset"] == "700"
