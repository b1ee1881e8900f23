"""What only an S3-like store can do wrong: be away, lose or change bytes, be written by two at once, fill the cache."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import obstore
import pytest

from app.settings import Settings
from app.store import object_blobs
from app.store.blobs import CorruptBlob, LocalBlobs, StoreUnavailable
from app.store.object_blobs import Bucket, ObjectBlobs
from app.store.open_blobs import open_blobs
from tests.s3_server import S3Server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name}/deep"


def machine(s3: S3Server, prefix: str, folder: Path, *, cache_bytes: int = 10**9) -> ObjectBlobs:
    """The store as one machine sees it."""
    return ObjectBlobs(s3.bucket(prefix), folder / "cache", folder / "staging", cache_bytes=cache_bytes)


@pytest.fixture
def blobs(s3: S3Server, prefix: str, tmp_path: Path) -> ObjectBlobs:
    return machine(s3, prefix, tmp_path / "here")


@pytest.fixture
def elsewhere(s3: S3Server, prefix: str, tmp_path: Path) -> ObjectBlobs:
    return machine(s3, prefix, tmp_path / "elsewhere")


def put(blobs: ObjectBlobs, content: bytes) -> str:
    with blobs.incoming() as incoming:
        incoming.write(content)
        return incoming.finish().sha256


def key_of(sha256: str) -> str:
    return f"sha256/{sha256[:2]}/{sha256}"


def test_blob_when_put_on_one_machine_then_another_reads_it(blobs: ObjectBlobs, elsewhere: ObjectBlobs):
    name = put(blobs, b"shared")
    assert elsewhere.local_path(name).read_bytes() == b"shared"
    with elsewhere.open(name) as file:
        assert file.read() == b"shared"


def test_key_when_put_then_it_lies_under_the_prefix(blobs: ObjectBlobs, s3: S3Server, prefix: str):
    name = put(blobs, b"where")
    assert s3.keys("") == [key for key in s3.keys("") if key.startswith("test_")]
    assert f"{prefix}/{key_of(name)}" in s3.keys("")


def test_put_when_the_key_is_there_then_it_is_not_written_again(blobs: ObjectBlobs, s3: S3Server, prefix: str):
    name = put(blobs, b"once")
    written = obstore.head(s3.client(prefix), key_of(name))["last_modified"]
    time.sleep(1.1)
    put(blobs, b"once")
    assert obstore.head(s3.client(prefix), key_of(name))["last_modified"] == written


def test_put_when_many_write_the_same_at_once_then_one_whole_object_remains(blobs: ObjectBlobs):
    content = os.urandom(1_000_000)
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(put(blobs, content))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 8
    assert [name for name, _ in blobs.iterate()] == [hashlib.sha256(content).hexdigest()]


def test_put_when_sent_then_it_is_conditional_and_carries_a_checksum_to_compare(tmp_path: Path):
    heard: list[Message] = []

    class Ear(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            heard.append(self.headers)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Ear) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        bucket = Bucket("s3://b/p", f"http://127.0.0.1:{server.server_port}", access_key="key", secret_key="secret")
        name = put(ObjectBlobs(bucket, tmp_path / "c", tmp_path / "s", cache_bytes=0), b"checked on arrival")
        server.shutdown()
        thread.join()
    (headers,) = heard
    assert headers["if-none-match"] == "*"
    assert base64.b64decode(headers["x-amz-checksum-sha256"]).hex() == name
    assert headers["x-amz-content-sha256"] == name


def test_put_when_the_object_is_old_then_it_is_made_young(blobs: ObjectBlobs, s3, prefix, monkeypatch):
    name = put(blobs, b"old but good")
    written = obstore.head(s3.client(prefix), key_of(name))["last_modified"]
    time.sleep(1.1)
    monkeypatch.setattr(object_blobs, "_STILL_YOUNG", object_blobs.timedelta(seconds=1))
    put(blobs, b"old but good")
    assert obstore.head(s3.client(prefix), key_of(name))["last_modified"] > written


def test_put_when_the_object_is_shortened_then_it_is_written_whole(blobs: ObjectBlobs, elsewhere, s3, prefix):
    name = put(blobs, b"whole")
    obstore.put(s3.client(prefix), key_of(name), b"who")
    put(blobs, b"whole")
    assert elsewhere.local_path(name).read_bytes() == b"whole"


def test_put_when_the_file_is_large_then_it_goes_in_parts(blobs: ObjectBlobs, elsewhere: ObjectBlobs, monkeypatch):
    monkeypatch.setattr(object_blobs, "AT_ONCE_BYTES", 1_000_000)
    monkeypatch.setattr(object_blobs, "_PART_BYTES", 5_500_000)
    content = os.urandom(12_000_000)
    name = put(blobs, content)
    assert elsewhere.local_path(name).read_bytes() == content
    put(blobs, content)
    assert len(list(blobs.iterate())) == 1


def test_local_path_when_bytes_changed_in_the_store_then_corrupt_and_nothing_kept(
    blobs: ObjectBlobs, elsewhere: ObjectBlobs, s3: S3Server, prefix: str
):
    name = put(blobs, b"true bytes")
    obstore.put(s3.client(prefix), key_of(name), b"lies bytes")
    with pytest.raises(CorruptBlob):
        elsewhere.local_path(name)
    assert list(elsewhere.staging.iterdir()) == []
    with pytest.raises(CorruptBlob):
        elsewhere.local_path(name)


def test_put_file_when_read_again_here_then_the_store_is_not_asked(blobs: ObjectBlobs, s3: S3Server, prefix: str):
    path = blobs.staging / "made"
    path.write_bytes(b"kept near")
    name = blobs.put_file(path).sha256
    obstore.delete(s3.client(prefix), key_of(name))
    assert blobs.local_path(name).read_bytes() == b"kept near"


def test_cache_when_full_then_only_copies_unused_for_a_day_are_dropped(s3: S3Server, prefix: str, tmp_path: Path):
    small = machine(s3, prefix, tmp_path, cache_bytes=250)
    names = [put(small, bytes([number]) * 100) for number in range(4)]
    paths = [small.local_path(name) for name in names[:3]]
    assert all(path.is_file() for path in paths), "a job may be reading any of them"
    long_ago = time.time() - 2 * 86_400
    os.utime(paths[0], (long_ago, long_ago))
    small.local_path(names[3])
    assert [path.is_file() for path in paths] == [False, True, True]
    assert small.local_path(names[0]).read_bytes() == bytes(100)


def test_store_when_away_then_every_call_says_unavailable(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(object_blobs, "_RETRIES", 0)
    nowhere = Bucket("s3://blobs/x", "http://127.0.0.1:9", access_key="key", secret_key="hush")
    blobs = ObjectBlobs(nowhere, tmp_path / "cache", tmp_path / "staging", cache_bytes=0)
    made = tmp_path / "staging" / "made"
    made.write_bytes(b"x")
    calls = [
        blobs.check,
        lambda: put(blobs, b"x"),
        lambda: blobs.put_file(made),
        lambda: blobs.open("ab" * 32),
        lambda: blobs.local_path("ab" * 32),
        lambda: blobs.delete("ab" * 32),
        lambda: list(blobs.iterate()),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable) as away:
            call()
        assert "hush" not in str(away.value)
        assert "127.0.0.1" not in str(away.value)
    assert made.read_bytes() == b"x", "what could not be stored is not thrown away"
    assert list((tmp_path / "staging").iterdir()) == [made]


def test_check_when_the_bucket_does_not_exist_then_unavailable(s3: S3Server, tmp_path: Path):
    bucket = replace(s3.bucket("x"), url="s3://no-such-bucket/x")
    with pytest.raises(StoreUnavailable):
        ObjectBlobs(bucket, tmp_path / "cache", tmp_path / "staging", cache_bytes=0).check()


def settings(tmp_path: Path, **more: str) -> Settings:
    needed = {"database_url": "", "broker_url": "", "secret": "", "blob_dir": tmp_path / "b", "staging_dir": tmp_path}
    return Settings.model_validate({**needed, **more})


def test_open_blobs_when_no_address_is_set_then_files_are_local(tmp_path: Path):
    assert isinstance(open_blobs(settings(tmp_path)), LocalBlobs)


def test_open_blobs_when_an_address_is_set_then_files_go_there(s3: S3Server, prefix: str, tmp_path: Path):
    blobs = open_blobs(settings(tmp_path, **s3.settings(prefix)))
    with blobs.incoming() as incoming:
        incoming.write(b"by settings")
        name = incoming.finish().sha256
    assert f"{prefix}/{key_of(name)}" in s3.keys("")


def test_open_blobs_when_the_address_is_no_bucket_then_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="s3://bucket/prefix"):
        open_blobs(settings(tmp_path, blob_url="https://example.org/bucket"))
