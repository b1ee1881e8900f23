"""What every blob store keeps to, tried on each: the local disk, and an S3-like store over real HTTP."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.store.blobs import Blobs, CorruptBlob, LocalBlobs, StoredBlob, read_verified
from app.store.object_blobs import ObjectBlobs
from tests.s3_server import S3Server

_numbers = itertools.count()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(params=["local", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "local":
        return LocalBlobs(tmp_path / "blobs", tmp_path / "staging")
    bucket = request.getfixturevalue("s3").bucket(f"test-{next(_numbers)}")
    return ObjectBlobs(bucket, tmp_path / "cache", tmp_path / "staging", cache_bytes=10**9)


def stored(blobs: Blobs, content: bytes) -> StoredBlob:
    with blobs.incoming() as incoming:
        incoming.write(content)
        return incoming.finish()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_incoming_when_finished_then_the_blob_has_its_bytes_under_its_hash(blobs: Blobs):
    with blobs.incoming() as incoming:
        for chunk in (b"one ", b"", b"two"):
            incoming.write(chunk)
        assert incoming.size == 7
        kept = incoming.finish()
    assert kept == StoredBlob(sha256(b"one two"), 7)
    assert b"".join(read_verified(blobs, kept.sha256)) == b"one two"
    assert list(blobs.staging.iterdir()) == []


def test_incoming_when_left_early_then_nothing_remains(blobs: Blobs):
    with blobs.incoming() as incoming:
        incoming.write(b"half")
    assert list(blobs.iterate()) == []
    assert list(blobs.staging.iterdir()) == []


def test_put_file_when_done_then_the_file_is_gone_and_the_blob_is_here(blobs: Blobs, tmp_path: Path):
    path = blobs.staging / "made"
    path.write_bytes(b"made here")
    kept = blobs.put_file(path)
    assert not path.exists()
    assert blobs.local_path(kept.sha256).read_bytes() == b"made here"
    assert [name for name, _ in blobs.iterate()] == [sha256(b"made here")]


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 9000], ids=["empty", "one", "2 MB"])
def test_blob_when_put_twice_then_it_is_there_once(blobs: Blobs, content: bytes):
    assert stored(blobs, content) == stored(blobs, content) == StoredBlob(sha256(content), len(content))
    assert len(list(blobs.iterate())) == 1
    with blobs.open(sha256(content)) as file:
        assert file.read() == content


def test_local_path_when_the_bytes_here_changed_then_nobody_gets_them(blobs: Blobs, tmp_path: Path):
    path = blobs.staging / "made"
    path.write_bytes(b"made here")
    kept = blobs.put_file(path)
    here = blobs.local_path(kept.sha256)
    here.chmod(0o640)
    here.write_bytes(b"made hers")
    if isinstance(blobs, LocalBlobs):
        with pytest.raises(CorruptBlob, match=kept.sha256):
            blobs.local_path(kept.sha256)
        assert stored(blobs, b"made here") == kept  # storing it again mends it
    assert blobs.local_path(kept.sha256).read_bytes() == b"made here"  # S3-like: fetched anew
    assert list(blobs.staging.iterdir()) == []


def test_iterate_when_asked_then_times_are_of_now(blobs: Blobs):
    names = {stored(blobs, bytes([number])).sha256 for number in range(5)}
    found = dict(blobs.iterate())
    assert set(found) == names
    assert all(abs(moment - time.time()) < 60 for moment in found.values())


@pytest.mark.parametrize("read", ["open", "local_path"])
def test_blob_when_never_stored_then_reading_says_which_is_missing(blobs: Blobs, read: str):
    reader: Callable[[str], object] = getattr(blobs, read)
    with pytest.raises(FileNotFoundError) as missing:
        reader(sha256(b"nowhere"))
    assert sha256(b"nowhere") in str(missing.value)


def test_delete_when_repeated_then_the_blob_is_gone_and_nothing_is_said(blobs: Blobs):
    kept = stored(blobs, b"short life")
    blobs.local_path(kept.sha256)
    blobs.delete(kept.sha256)
    blobs.delete(kept.sha256)
    assert list(blobs.iterate()) == []
    with pytest.raises(FileNotFoundError):
        blobs.local_path(kept.sha256)


def test_check_when_all_is_well_then_it_is_silent(blobs: Blobs):
    blobs.check()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 6_000_000), length=st.integers(0, 5_000_000))
def test_open_when_read_from_anywhere_then_the_slice_is_right(blobs: Blobs, start: int, length: int):
    content = bytes(range(251)) * 20_000  # 5 MB and a prime period: a shifted read would show
    kept = stored(blobs, content)
    with blobs.open(kept.sha256) as file:
        assert file.seekable()
        file.seek(start)
        assert file.read(length) == content[start : start + length]
