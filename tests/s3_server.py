"""A real S3-compatible server for tests: moto's, as a process of its own, spoken to over HTTP."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import obstore
from obstore.store import S3Store

from app.embedded.processes import spawn
from app.store.object_blobs import Bucket

BUCKET = "blobs"
SECRET_KEY = "secretofthestore"
_RUNNING = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")


class S3Server:
    """Runs from `start` to `close` with one empty bucket; it dies with this process. `pause` stops it answering."""

    def __init__(self) -> None:
        self.endpoint = ""  # known when it has started: it takes a free port itself
        self._log = Path(tempfile.mkstemp(prefix="moto-", suffix=".log")[1])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        with self._log.open("ab") as log:
            self._process = spawn(command, log=log, env=dict(os.environ))
        give_up = time.monotonic() + 60
        while True:
            try:
                self.endpoint = _RUNNING.findall(self._log.read_text())[0]
                self._request("PUT", f"/{BUCKET}")
                return
            except (OSError, IndexError):
                assert time.monotonic() < give_up, self._log.read_text()
                assert self._process.poll() is None, self._log.read_text()
                time.sleep(0.05)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._log.unlink(missing_ok=True)

    def bucket(self, prefix: str) -> Bucket:
        return Bucket(f"s3://{BUCKET}/{prefix}", self.endpoint, access_key="key", secret_key=SECRET_KEY)

    def settings(self, prefix: str) -> dict[str, str]:
        """The settings of a service that keeps its files here."""
        return {
            "blob_url": f"s3://{BUCKET}/{prefix}",
            "blob_endpoint": self.endpoint,
            "blob_access_key": "key",
            "blob_secret_key": SECRET_KEY,
        }

    def client(self, prefix: str) -> S3Store:
        """A way around our code."""
        return self.bucket(prefix).open()

    def keys(self, prefix: str) -> list[str]:
        return [item["path"] for item in obstore.list(self.client(prefix)).collect()]

    def _request(self, verb: str, path: str) -> None:
        request = urllib.request.Request(self.endpoint + path, method=verb)
        with urllib.request.urlopen(request, timeout=5):
            pass
