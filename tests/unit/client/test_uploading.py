from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from distillery import AsyncClient, Client, errors
from distillery._uploading import Uploaded, collect
from tests.unit.client.http_server import Answer, Asked, document, problem, serving

CREATED = {"id": "ds_1", "name": "clicks", "kind": "interactions", "state": "open", "latest_version": 0}


class Service:
    """Takes an upload and reads it with a job that ends in `state`. `refuse`: answers given to the first PUTs."""

    def __init__(self, state: str = "succeeded", refuse: list[Answer] | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.state = state
        self.refuse = refuse or []

    def __call__(self, asked: Asked) -> Answer:
        match asked.method, asked.path.removeprefix("/v1/"):
            case "POST", "datasets":
                return document(CREATED, 201)
            case "PUT", path:
                if self.refuse:
                    return self.refuse.pop(0)
                self.files[path.removeprefix("datasets/ds_1/files/")] = asked.body
                return document({}, 201)
            case "POST", "datasets/ds_1/commit":
                job = {"id": "job_1", "state": "queued"}
                return document({"job": job, "dataset": "ds_1", "version": 1, "reference": "ds_1@1"}, 202)
            case "GET", "jobs/job_1/events":
                event = {"seq": 1, "at": "t", "type": self.state, "data": {}}
                body = f"id: 1\nevent: {self.state}\ndata: {json.dumps(event)}\n\n".encode()
                return Answer(200, body, {"Content-Type": "text/event-stream"})
            case "GET", "jobs/job_1":
                error = {"code": "unknown_column", "detail": "There is no column uid.", "hint": "It has user_id."}
                return document({"id": "job_1", "state": self.state, "error": error})
            case _:
                return document(CREATED | {"state": "ready", "latest_version": 1})


def sent_digest(asked: Asked) -> bytes:
    return base64.b64decode(asked.headers["content-digest"].removeprefix("sha-256=:").removesuffix(":"))


def test_upload_when_one_file_then_sends_digest_commit_and_waits(tmp_path: Path) -> None:
    content = bytes(3_000_000)
    (tmp_path / "clicks.csv").write_bytes(content)
    service, told = Service(), []
    with serving(service) as server, Client(server.url, "k") as client:
        dataset = client.datasets.upload(
            tmp_path / "clicks.csv", kind="interactions", columns={"user": 0}, progress=told.append
        )
    assert dataset.reference == "ds_1@1"
    assert service.files == {"clicks.csv": content}
    create, put, commit = server.asked[:3]
    assert create.json == {"kind": "interactions", "name": "clicks", "columns": {"user": "0"}}
    assert sent_digest(put) == hashlib.sha256(content).digest()
    assert int(put.headers["content-length"]) == len(content)
    expected = {"path": "clicks.csv", "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    assert commit.json == {"files": [expected]}
    sent: list[Any] = [what.sent for what in told if isinstance(what, Uploaded)]
    assert sent == sorted(sent)
    assert sent[-1] == len(content)


def test_async_upload_when_one_file_then_does_the_same(tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_bytes(b"user,item\n1,2\n")

    async def run(url: str) -> str:
        async with AsyncClient(url, "k") as client:
            return (await client.datasets.upload(tmp_path / "clicks.csv", kind="interactions")).reference

    service = Service()
    with serving(service) as server:
        assert asyncio.run(run(server.url)) == "ds_1@1"
    assert service.files == {"clicks.csv": b"user,item\n1,2\n"}


def test_upload_when_folder_then_keeps_relative_names(tmp_path: Path) -> None:
    (tmp_path / "ml" / "inner dir").mkdir(parents=True)
    (tmp_path / "ml" / "ratings.dat").write_bytes(b"1")
    (tmp_path / "ml" / "inner dir" / "é.csv").write_bytes(b"2")
    (tmp_path / "ml" / ".hidden").write_bytes(b"3")
    service = Service()
    with serving(service) as server, Client(server.url, "k") as client:
        client.datasets.upload(tmp_path / "ml", kind="interactions")
    assert service.files == {"ratings.dat": b"1", "inner%20dir/%C3%A9.csv": b"2"}
    assert server.asked[0].json["name"] == "ml"


def test_upload_when_put_fails_once_then_sends_the_whole_file_again(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"content")
    service = Service(refuse=[problem(503, "stopping")])
    with serving(service) as server, Client(server.url, "k") as client:
        client.datasets.upload(tmp_path / "a.csv", kind="interactions")
    assert service.files == {"a.csv": b"content"}
    assert [asked.body for asked in server.asked if asked.method == "PUT"] == [b"content", b"content"]


def test_upload_when_file_cannot_be_read_by_the_service_then_raises_the_jobs_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x")
    with (
        serving(Service(state="failed")) as server,
        Client(server.url, "k") as client,
        pytest.raises(errors.UnknownColumn, match="no column uid") as caught,
    ):
        client.datasets.upload(tmp_path / "a.csv", kind="interactions")
    assert caught.value.hint == "It has user_id."


def test_collect_when_nothing_is_there_then_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        collect(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="no files in"):
        collect(tmp_path)


def test_collect_when_two_files_share_a_name_then_raises(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.csv").touch()
    with pytest.raises(ValueError, match=r"x\.csv"):
        collect([tmp_path / "a" / "x.csv", tmp_path / "b" / "x.csv"])
