"""The client against a real service."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from typing import Any

import pytest

from distillery import AsyncClient, Client, errors
from distillery._home import look
from tests.acceptance.conftest import ROOT, Installation

MSWEB = ROOT / "distillery" / "data" / "msweb.parquet"
QUICK = {"learners": ["popularity", "ease"], "bootstrap": 100}


def test_upload_when_done_then_has_reference_statistics_and_preview(client: Client, clicks: Path) -> None:
    dataset = client.datasets.upload(clicks, kind="interactions", columns={"user": "uid", "item": "what"})
    assert dataset.reference == f"{dataset.id}@1"
    assert dataset.state == "ready"
    assert dataset.statistics()["statistics"]
    assert dataset.preview(3)["rows"]
    source = dataset.versions()[0]["sources"][0]
    assert source["sha256"] == hashlib.sha256(clicks.read_bytes()).hexdigest()


def test_upload_when_columns_are_numbers_then_file_needs_no_header(
    client: Client, clicks: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare.csv"
    bare.write_text("\n".join(clicks.read_text().splitlines()[1:]) + "\n")
    dataset = client.datasets.upload(bare, kind="interactions", columns={"user": 0, "item": 1})
    assert dataset.state == "ready"


def test_distil_when_waited_for_then_events_are_gapless_and_summary_is_whole(
    client: Client, dataset: str, tmp_path: Path
) -> None:
    told: list[dict[str, Any]] = []
    job = client.distil(dataset, "head-users", budget=0.25, evaluate=QUICK, labels={"test": "client"})
    job.wait(progress=told.append)
    history = [event["seq"] for event in told if event["type"] != "waiting"]
    assert history == list(range(1, len(history) + 1))
    assert job.report.verdict
    files = {file["path"]: file for file in job.summary.manifest()["files"]}
    folder = job.summary.download(tmp_path)
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == set(files)
    assert [found.id for found in client.jobs(label="test=client")] == [job.id]


def test_upload_when_a_long_job_runs_then_is_ready_before_that_ends(client: Client, tmp_path: Path) -> None:
    msweb = client.datasets.upload(MSWEB, kind="interactions", columns={"user": "user_id", "item": "item_id"})
    long = client.distil(msweb, "random-users", budget=300, force=True)  # judged by every default learner
    while client.job(long.id).view["state"] == "queued":
        time.sleep(0.1)
    events = tmp_path / "events.csv"
    events.write_text("user,item\n" + "".join(f"{row % 9973},{row * 7 % 501}\n" for row in range(130_000)))
    assert events.stat().st_size > 1_000_000
    uploaded = client.datasets.upload(events, kind="interactions", columns={"user": "user", "item": "item"})
    assert uploaded.state == "ready"
    assert client.job(long.id).view["state"] == "running"
    long.cancel()


def test_evaluate_when_given_a_summary_then_reports_on_it(client: Client, dataset: str) -> None:
    made = client.distil(dataset, "random-users", budget=30, evaluate=QUICK).wait()
    judged = client.evaluate(made.summary, dataset, evaluate=QUICK).wait()
    assert {"verdict", "tables"} <= set(judged.report.json())


def test_run_when_budget_exceeds_the_dataset_then_raises_budget_too_large(client: Client, dataset: str) -> None:
    with pytest.raises(errors.BudgetTooLarge) as caught:
        client.distil(dataset, "random-users", budget=100_000, evaluate=QUICK).wait()
    assert caught.value.hint


def test_run_when_method_is_unknown_then_raises_unknown_method(client: Client, dataset: str) -> None:
    with pytest.raises(errors.UnknownMethod):
        client.run("no-such-method", dataset)


def test_job_when_id_is_unknown_then_raises_not_found(client: Client) -> None:
    with pytest.raises(errors.NotFound):
        client.job("job_00000000000000000000000000")


def test_key_when_wrong_then_raises_authentication_error(client: Client) -> None:
    with Client(client.url, "dsk_no_body") as stranger, pytest.raises(errors.AuthenticationError):
        stranger.jobs()


def test_async_client_when_used_then_does_the_same(client: Client, installation: Installation, dataset: str) -> None:
    async def run() -> tuple[str, list[str]]:
        async with AsyncClient(client.url, look(installation.home).api_key()) as connected:
            job = await connected.distil(dataset, "random-interactions", budget="20%", evaluate=QUICK)
            seen = [event["type"] async for event in job.events()]
            await job.wait()
            return await job.report.verdict(), seen

    verdict, seen = asyncio.run(run())
    assert verdict
    assert (seen[0], seen[-1]) == ("created", "succeeded")
