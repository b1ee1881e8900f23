"""Writes what a service of this revision keeps, rows in every table and its files, for tests of later revisions:
`python -m tests.landed.write`. Run it for each migration that lands; what is written is never changed again."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import httpx
from sqlalchemy import text

from app.embedded.binaries import wheel_postgres
from app.store.migrate import head_revision
from tests.faults.invariants import address, database
from tests.planted import planted_csv
from tests.service import Service

FOLDER = Path(__file__).parent
KEPT = ("random-users", "distill-cf", "ingest")  # methods; their schemas would be most of the file


def main() -> None:
    """Run a service, use every part of it that has a table, and dump it."""
    with Service(threads=1, outbound_http="true", outbound_private="true", outbound_ports="*") as service:
        use(service)
        with database(service) as conn:
            conn.execute(text("DELETE FROM method WHERE name <> ALL (:kept)"), {"kept": list(KEPT)})
        command = [wheel_postgres() / "bin" / "pg_dump", "--data-only", "--column-inserts", "--no-owner"]
        dump = subprocess.run([*command, address(service)], check=True, capture_output=True, text=True).stdout
        # Settings of the session and psql's own words are no rows.
        lines = [line for line in dump.splitlines() if not re.match(r"--|SET |SELECT pg_catalog|\\|$", line)]
        revision = head_revision()
        key = service.http.headers["Authorization"].removeprefix("Bearer ")
        (FOLDER / f"{revision}.sql").write_text(f"-- key: {key}\n" + "\n".join(lines) + "\n")
        with zipfile.ZipFile(FOLDER / f"{revision}.blobs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((service.home / "blobs").rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(service.home / "blobs"))


def use(service: Service) -> None:
    """Leave rows in every table."""
    with tempfile.TemporaryDirectory() as folder, service.http as http:
        csv = planted_csv(Path(folder) / "planted.csv", users=60, items=20)
        hook = {"url": "http://127.0.0.1:9/hook", "events": ["job.succeeded"]}
        answered(http.post("/v1/webhooks", json=hook))
        dataset = service.client.datasets.upload(str(csv), kind="interactions").reference
        body = {
            "method": "random-users", "dataset": dataset, "params": {"budget": 20},
            "evaluate": {"learners": ["popularity"], "bootstrap": 100, "draws": 1},
        }  # fmt: skip
        job = answered(http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "the-key"}))
        Service.wait(lambda: http.get(f"/v1/jobs/{job['id']}").json()["state"] == "succeeded", 90, "the job")
        waiting = {**body, "seed": 7, "webhook": {"url": hook["url"]}, "labels": {"what": "cancelled"}}
        answered(http.post(f"/v1/jobs/{answered(http.post('/v1/jobs', json=waiting))['id']}/cancel"))
        other = answered(http.post("/v1/datasets", json={"name": "unfinished", "kind": "interactions"}))["id"]
        for content in (b"one", b"two"):  # the first one lies loose from then on
            answered(http.put(f"/v1/datasets/{other}/files/a.csv", content=content))
        where = {"dataset": other, "path": "b.csv"}
        metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in where.items())
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": metadata}
        answered(http.post("/v1/uploads", headers=tus))
        answered(http.post("/v1/api-keys", json={"name": "second", "scopes": ["jobs:read"]}))
        time.sleep(2.0)  # the message is tried


def answered(answer: httpx.Response) -> dict[str, str]:
    """The document of an answer that is no refusal."""
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else {}


if __name__ == "__main__":
    sys.exit(main())
