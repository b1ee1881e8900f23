"""A client that a public generator makes of openapi.json does the first hour's work against a running service."""

from __future__ import annotations

import importlib
import io
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import ROOT, Installation

# The generator knows octet streams, and has to be told that these are some.
BYTES = (
    "application/zip",
    "application/offset+octet-stream",
    "image/png",
    "image/svg+xml",
    "text/csv",
    "text/markdown",
)
PACKAGE = "generated_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Imports a module of the generated package by its name."""
    folder = tmp_path_factory.mktemp("generated")
    config = folder / "config.yaml"
    config.write_text("content_type_overrides:\n" + "".join(f"  {kind}: application/octet-stream\n" for kind in BYTES))
    command = [Path(sys.executable).with_name("openapi-python-client"), "generate", "--meta", "none"]
    places = ["--path", ROOT / "openapi.json", "--output-path", folder / PACKAGE, "--config", config]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([*command, *places], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Endpoint will not be generated" not in done.stdout, done.stdout
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"{PACKAGE}.{name}")
    sys.path.remove(str(folder))


def test_generated_client_when_it_walks_from_a_file_to_a_summary_then_every_step_is_typed(
    generated: Any, installation: Installation, clicks: Path
) -> None:
    client_of, models, types = generated("client"), generated("models"), generated("types")
    said = dict(
        line.removeprefix("export ").split("=", 1)
        for line in installation.run("status", "--env").stdout.split("\n")
        if "=" in line
    )
    url, key = (said[f"DISTILLERY_{name}"].strip("'\"") for name in ("URL", "API_KEY"))
    client = client_of.AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)

    def call(operation: str, *words: Any, **options: Any) -> Any:
        return generated(f"api.{operation}").sync(*words, client=client, **options)

    def finished(job_id: str) -> Any:
        until = time.monotonic() + 240
        while (job := call("jobs.get_job", job_id, prefer="wait=20")).finished_at is None:
            assert time.monotonic() < until, job
        assert job.state == models.JobViewState.SUCCEEDED, job.error
        return job

    columns = models.DatasetCreateColumns.from_dict({"user": "uid", "item": "what"})
    made = call(
        "datasets.create_dataset", body=models.DatasetCreate(name="clicks", kind="interactions", columns=columns)
    )
    assert isinstance(made, models.DatasetView)
    file = call("files.put_file", made.id, clicks.name, body=types.File(payload=io.BytesIO(clicks.read_bytes())))
    assert (file.path, file.size) == (clicks.name, clicks.stat().st_size)
    committed = call("versions.commit_dataset", made.id, body=models.Commit())
    finished(committed.job.id)

    params = models.JobCreateParams.from_dict({"budget": 20})
    asked = models.JobCreate(dataset=committed.reference, method="random-users", params=params)
    job = finished(call("jobs.create_job", body=asked).id)
    assert job.created_at <= job.started_at <= job.finished_at
    listed = call("summaries.list_summaries", dataset=committed.reference)
    assert [one.id for one in listed.items] == [job.result["summary"]]
    archive = call("summaries.download_summary", job.result["summary"])
    assert "manifest.json" in zipfile.ZipFile(archive.payload).namelist()

    refused = call("jobs.create_job", body=models.JobCreate(dataset="ds_none@1"))
    assert isinstance(refused, models.ProblemDocument)
    assert (refused.code, refused.errors[0].pointer) == ("unknown_dataset", "/dataset")
    assert refused.type_ == f"{url.rstrip('/')}/problems/unknown_dataset"
    assert refused.hint
