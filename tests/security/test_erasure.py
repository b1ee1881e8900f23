"""A tenant is erased on a running service: afterwards no table, no file and no line of any log holds its data."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from app.store.api_keys import ensure_first_key
from tests.planted import planted_csv
from tests.scanning import files_below, files_with
from tests.security.fort import Fort, finished_job
from tests.service import Service

pytestmark = pytest.mark.security
SECRET = "quetzalcoatlus"
QUICK = {"threads": 1, "blob_grace_s": 1, "sweep_every_s": 1}


def holding(home: Path, word: str) -> list[Path]:
    """Files of a home, but those of Postgres itself, that hold a word in their bytes or their name."""
    ours = (path for path in files_below(home) if "pg" not in path.relative_to(home).parts[0])
    return files_with(ours, word)


def tables_with(url: str, word: str) -> list[str]:
    engine = create_engine(url)
    with engine.connect() as conn:
        holds = 'SELECT count(*) FROM "{}" t WHERE strpos(t::text, :word) > 0'
        found = [t for t in inspect(conn).get_table_names() if conn.scalar(text(holds.format(t)), {"word": word})]
    engine.dispose()
    return found


def audited(url: str, tenant_id: str) -> list[tuple[str, str]]:
    engine = create_engine(url)
    with engine.connect() as conn:
        found = conn.execute(text("SELECT act, object FROM audit WHERE tenant_id = :id"), {"id": tenant_id}).all()
    engine.dispose()
    return [tuple(row) for row in found]


def test_tenant_when_erased_then_a_scan_of_disk_and_database_finds_nothing(tmp_path: Path) -> None:
    csv = Path(planted_csv(tmp_path / "clicks.csv")).read_bytes()
    named = b"\n".join([csv.splitlines()[0], *(SECRET.encode() + line for line in csv.splitlines()[1:])])
    with Service(**QUICK) as service:
        fort = Fort(service, service.state()["url"], "")
        url = fort.environment()["DISTILLERY_DATABASE_URL"]
        key = ensure_first_key(url, tenant_name=SECRET)
        tenant_id = fort.request("GET", "/v1/me", key=key).json()["tenant_id"]
        files = {f"{SECRET}.csv": named}
        ingest = fort.ended(fort.upload(files, name=SECRET, key=key, tags={"team": SECRET}), key=key)
        assert ingest["state"] == "succeeded", ingest["error"]
        finished_job(fort, ingest["dataset"], key=key, labels={"why": SECRET})
        wrong = fort.ended(fort.upload(files, key=key, columns={"user": SECRET, "item": SECRET}), key=key)
        assert wrong["state"] == "failed"
        assert SECRET in str(wrong["error"]), "so that the error's text is looked for in the logs, too"
        at_work = fort.upload(files, key=key)
        assert holding(service.home, SECRET)
        assert len(tables_with(url, SECRET)) >= 5
        erased = fort.request("DELETE", f"/v1/tenant?confirm={tenant_id}", key=key)
        assert erased.status_code == 202, erased.text
        assert fort.request("GET", f"/v1/jobs/{at_work}", key=key).status_code == 401
        gone = {"audit"}  # one row says that it was erased, by which key, and when
        Service.wait(lambda: set(tables_with(url, tenant_id)) <= gone, 120, "the tenant's rows to go", every_s=0.5)
        assert audited(url, tenant_id) == [("tenant.erase", tenant_id)]
        assert tables_with(url, SECRET) == []
        for at, folders, files in os.walk(service.home / "staging", topdown=False):  # its sweeper waits an hour
            for name in (*folders, *files):
                with suppress(FileNotFoundError):
                    os.utime(Path(at, name), (0, 0))
        Service.wait(lambda: not holding(service.home, SECRET), 60, "its files to go", every_s=0.5)
