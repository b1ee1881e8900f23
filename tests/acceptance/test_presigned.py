"""A whole service with its files in an S3-like store, and a client that is sent there: upload, job, download."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from distillery import _uploading
from tests.planted import planted_csv
from tests.s3_server import S3Server
from tests.service import Service

QUICK = {"learners": ["popularity"], "bootstrap": 100, "draws": 1}


def test_service_when_it_presigns_then_bytes_bypass_it_and_arrive_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_uploading, "DIRECT_BYTES", range(1, 10**9))
    clicks = planted_csv(tmp_path / "clicks.csv")
    s3 = S3Server()
    try:
        s3.start()
        with Service(**s3.settings("files"), blob_presigned=True, presigned_download_bytes=0, threads=1) as service:
            with service.client as client:
                dataset = client.datasets.upload(clicks, kind="interactions")
                assert dataset.versions()[0]["sources"][0]["sha256"] == hashlib.sha256(clicks.read_bytes()).hexdigest()
                job = client.job(client.distil(dataset, "head-users", budget=20, evaluate=QUICK).id).wait()
                folder = job.summary.download(tmp_path / "out")
                assert sorted(path.name for path in folder.iterdir() if path.is_file()) != []
            log = service.logs("api")
        assert "PUT" not in re.findall(r"method=(\w+)", log) + re.findall(r'"method": ?"(\w+)"', log)
        assert re.search(r"files/manifest\.json.{0,80}\b307\b|\b307\b.{0,300}files/manifest\.json", log)
        assert not [key for key in s3.keys("files") if key.startswith("incoming/")]
    finally:
        s3.close()
