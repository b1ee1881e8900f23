"""Erasing: what is named goes with all that came of it, and nothing of it is left in any table or on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, select, text

from app.jobs.commit import Outcome
from app.jobs.erase_tenant import main
from app.jobs.retain import Retention, drop_expired_uploads
from app.settings import Settings
from app.store.tables import tenant
from tests.integration.api.conftest import Api
from tests.integration.api.test_retention import DAY, RETENTION, age, sweep
from tests.integration.api.test_uploads import begin, patch
from tests.scanning import files_below, files_with

SECRET = "quetzalcoatlus"


def rows_with(engine: Engine, word: str) -> dict[str, int]:
    """How many rows of each table hold a word anywhere."""
    found = {}
    with engine.connect() as conn:
        for table in inspect(conn).get_table_names():
            number = conn.scalar(
                text(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE :word'), {"word": f"%{word}%"}
            )
            if number:
                found[table] = number
    return found


def kept_with(settings: Settings, word: str) -> list[Path]:
    """The files that hold it."""
    return files_with(files_below(settings.blob_dir, settings.staging_dir), word)


def swept(engine: Engine, api: Api, settings: Settings, rounds: int = 1) -> None:
    """What the dispatcher does from time to time, once the grace of files is over."""
    for _ in range(rounds):
        with engine.begin() as conn:
            RETENTION.enforce(conn)
            drop_expired_uploads(conn, settings.staging_dir)
        age(engine, "loose_bytes", "created_at", 1)
        sweep(engine, api)


def life(api: Api, word: str) -> dict[str, Any]:
    """A dataset whose every text holds a word, and what came of it: summary, report, export, answers, readers."""
    dataset = api.dataset(name=word, tags={"team": word}, options={"split": word})["id"]
    api.put(f"/v1/datasets/{dataset}/files/{word}.csv", content=f"user,item\n{word},1\n".encode())
    headers = {"Idempotency-Key": word}
    committed = api.post(f"/v1/datasets/{dataset}/commit", headers=headers).json()
    canonical = api.stored({"x.parquet": word.encode()})
    version = {
        "statistics": {"users": 1000, "events": 9},
        "preview": [{"user": word}],
        "schema": {},
        "warnings": [word],
    }
    api.finish(committed["job"]["id"], Outcome(canonical=canonical, version=version))
    reference = committed["reference"]
    asked = {"dataset": reference, "method": "head-users", "params": {"split": word}, "labels": {"why": word}}
    first = api.post("/v1/jobs", json=asked, headers={"Idempotency-Key": f"{word}!"}).json()
    api.log(first["id"], f"I read {word}")
    outcome = Outcome(
        summary=api.stored({"rows.npz": b"summary of " + word.encode()}),
        dataset=api.stored({"y.parquet": b"export of " + word.encode()}),
        report=api.stored({"report.json": b"report on " + word.encode()}),
        figures=api.stored({"f.safetensors": b"figures of " + word.encode()}),
        manifest={"about": word},
        verdict={"text": word},
        environment={"about": word},
    )
    made = api.finish(first["id"], outcome)
    answered = api.post("/v1/jobs", json=asked).json()
    assert answered["cached_from"] == first["id"]
    second = api.job(made["dataset"], labels={"why": word})
    more = api.finish(
        second["id"], Outcome(report=api.stored({"report.json": word.encode() + b"?"}), verdict={"t": word})
    )
    third = api.job(reference, method="evaluate", inputs={"summary": made["summary"]}, labels={"why": word}, force=True)
    api.post(f"/v1/jobs/{third['id']}/cancel")
    begun = begin(api, dataset=dataset, path=f"{word}2.csv", length=100)
    patch(api, begun.headers["location"], 0, word.encode())
    return {
        "dataset": dataset,
        "export": made["dataset"].partition("@")[0],
        "ingest": committed["job"]["id"],
        "jobs": [first["id"], answered["id"], second["id"], third["id"]],
        "summary": made["summary"],
        "reports": [made["report"], more["report"]],
        "upload": begun.headers["location"],
    }


def test_dataset_when_deleted_with_cascade_then_nothing_of_it_is_left(
    api: Api, engine: Engine, settings: Settings
) -> None:
    word = SECRET + api.tenant_id
    kept, things = life(api, "kept"), life(api, word)
    assert len(rows_with(engine, word)) >= 8
    assert kept_with(settings, word)
    gone = api.delete(f"/v1/datasets/{things['dataset']}?cascade=true", headers={"If-Match": "*"})
    assert gone.status_code == 204, gone.text
    for path in (
        *(f"/v1/datasets/{things[name]}" for name in ("dataset", "export")),
        *(f"/v1/jobs/{job}" for job in (*things["jobs"], things["ingest"])),
        f"/v1/summaries/{things['summary']}",
        *(f"/v1/reports/{report}" for report in things["reports"]),
    ):
        assert api.get(path).status_code == 404, path
    swept(engine, api, settings)
    assert rows_with(engine, word) == {}
    assert kept_with(settings, word) == []
    for path in (f"/v1/datasets/{kept['dataset']}", f"/v1/reports/{kept['reports'][1]}"):
        assert api.get(path).status_code == 200
    assert api.get(f"/v1/summaries/{kept['summary']}/files/rows.npz").content == b"summary of kept"


def test_job_when_deleted_with_cascade_then_what_it_made_goes_and_its_dataset_stays(api: Api) -> None:
    things = life(api, "word")
    assert api.delete(f"/v1/jobs/{things['jobs'][0]}?cascade=true").status_code == 204
    assert api.get(f"/v1/summaries/{things['summary']}").status_code == 404
    assert api.get(f"/v1/jobs/{things['jobs'][2]}").status_code == 404, "it read the export"
    assert api.get(f"/v1/datasets/{things['dataset']}").status_code == 200
    assert api.get(f"/v1/jobs/{things['ingest']}").status_code == 200
    again = api.post("/v1/jobs", json={"dataset": f"{things['dataset']}@1", "method": "head-users"}).json()
    assert again["cached_from"] is None


def test_summary_when_deleted_with_cascade_then_its_report_export_and_readers_go(api: Api) -> None:
    things = life(api, "word")
    assert api.delete(f"/v1/summaries/{things['summary']}?cascade=true").status_code == 204
    assert api.get(f"/v1/reports/{things['reports'][0]}").status_code == 404
    assert api.get(f"/v1/datasets/{things['export']}").status_code == 404
    assert [api.get(f"/v1/jobs/{job}").status_code for job in things["jobs"]] == [200, 200, 404, 404]


def test_cascade_when_a_job_is_unfinished_then_refused_and_all_is_there(api: Api) -> None:
    things = life(api, "word")
    reader = api.job(f"{things['dataset']}@1", seed=7)
    for path in (f"/v1/datasets/{things['dataset']}?cascade=true&force=true",):
        refused = api.delete(path, headers={"If-Match": "*"})
        assert (refused.status_code, refused.json()["code"]) == (409, "job_not_finished")
        assert reader["id"] in refused.json()["detail"]
    assert api.get(f"/v1/summaries/{things['summary']}").status_code == 200


def test_report_when_deleted_then_gone_and_its_job_is_done_anew(api: Api, engine: Engine) -> None:
    reference = api.version()
    made = api.job(reference)
    report = api.finish(made["id"], Outcome(report=api.stored({"report.json": b"{}"})))["report"]
    assert api.job(reference)["cached_from"] == made["id"]
    assert api.delete(f"/v1/reports/{report}").status_code == 204
    assert api.get(f"/v1/reports/{report}").status_code == 404
    assert api.delete(f"/v1/reports/{report}").status_code == 404
    assert api.job(reference)["cached_from"] is None


def test_erasing_when_the_things_are_of_another_tenant_then_404(api: Api, other: Api) -> None:
    things = life(other, "theirs")
    for path in (
        f"/v1/datasets/{things['dataset']}?cascade=true",
        f"/v1/jobs/{things['jobs'][0]}?cascade=true",
        f"/v1/summaries/{things['summary']}?cascade=true",
        f"/v1/reports/{things['reports'][0]}",
    ):
        assert api.delete(path, headers={"If-Match": "*"}).status_code == 404
    assert other.get(f"/v1/reports/{things['reports'][0]}").status_code == 200


def test_tenant_when_erased_then_no_row_and_no_file_of_it_is_left(
    api: Api, other: Api, engine: Engine, settings: Settings
) -> None:
    word = SECRET + api.tenant_id
    life(api, word)
    theirs = life(other, "theirs")
    waiting = api.job(api.version(b"a"), labels={"why": word})["id"]
    with engine.begin() as conn:
        conn.execute(text("UPDATE tenant SET name = :name WHERE id = :id"), {"name": word, "id": api.tenant_id})
    assert api.delete("/v1/tenant?confirm=ten_other").json()["code"] == "invalid_request"
    assert api.as_key("jobs:write").delete(f"/v1/tenant?confirm={api.tenant_id}").status_code == 403
    assert api.delete(f"/v1/tenant?confirm={api.tenant_id}").status_code == 202
    assert api.get("/v1/me").status_code == 401
    assert api.state_of(waiting) == "cancelled"
    swept(engine, api, settings, rounds=3)
    assert rows_with(engine, word) == {}
    assert rows_with(engine, api.tenant_id) == {"audit": 1}, "that it was erased"
    assert kept_with(settings, word) == []
    assert other.get(f"/v1/summaries/{theirs['summary']}/files/rows.npz").content == b"summary of theirs"


def test_tenant_when_a_job_of_it_still_runs_then_its_rows_wait_for_its_end(
    api: Api, engine: Engine, settings: Settings
) -> None:
    from app.jobs.claim import claim_job
    from app.jobs.finish import AttemptEnd, cancel_attempt

    running = api.job()["id"]
    with engine.begin() as conn:
        row = claim_job(conn, running, "w1", 30.0)
    api.delete(f"/v1/tenant?confirm={api.tenant_id}")
    swept(engine, api, settings, rounds=3)
    assert api.state_of(running) == "cancelling"
    with engine.begin() as conn:
        cancel_attempt(conn, row, AttemptEnd())
    swept(engine, api, settings, rounds=3)
    assert rows_with(engine, api.tenant_id) == {"audit": 1}, "that it was erased"


def test_command_when_a_tenant_is_named_then_its_erasure_begins(
    api: Api, engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with engine.connect() as conn:
        name = conn.scalar(select(tenant.c.name).where(tenant.c.id == api.tenant_id))
    monkeypatch.setenv("DISTILLERY_DATABASE_URL", settings.database_url)
    monkeypatch.setattr("sys.argv", ["erase_tenant", name])
    main()
    assert api.tenant_id in capsys.readouterr().out
    assert api.get("/v1/me").status_code == 401
    monkeypatch.setattr("sys.argv", ["erase_tenant", name])
    with pytest.raises(SystemExit, match="no tenant"):
        main()


def test_jobs_when_kept_for_a_time_then_those_that_left_nothing_go(api: Api, engine: Engine) -> None:
    things = life(api, "word")
    cancelled = api.job(api.version(b"b"))["id"]
    api.post(f"/v1/jobs/{cancelled}/cancel")
    age(engine, "job", "finished_at", 100)
    with engine.begin() as conn:
        Retention(7 * DAY, 7 * DAY, jobs_s=90 * DAY).enforce(conn)
    assert api.get(f"/v1/jobs/{cancelled}").status_code == 404
    seen = {job: api.get(f"/v1/jobs/{job}").status_code for job in (things["ingest"], *things["jobs"])}
    assert list(seen.values()) == [200, 200, 404, 200, 404], "with a version, a summary, nothing, a report, nothing"
    assert api.get(f"/v1/summaries/{things['summary']}").status_code == 200
    assert api.get(f"/v1/reports/{things['reports'][1]}").status_code == 200


def test_datasets_when_deleted_long_ago_then_their_rows_go_too(api: Api, engine: Engine) -> None:
    dataset = life(api, "word")["dataset"]
    assert api.delete(f"/v1/datasets/{dataset}?cascade=true", headers={"If-Match": "*"}).status_code == 204
    age(engine, "job", "finished_at", 100)
    age(engine, "dataset", "deleted_at", 100)
    for _ in range(2):
        with engine.begin() as conn:
            Retention(7 * DAY, 7 * DAY, jobs_s=90 * DAY).enforce(conn)
    assert rows_with(engine, dataset).keys() == {"audit"}, "who did what with it, without its content"
