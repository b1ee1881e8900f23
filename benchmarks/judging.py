"""What the default evaluation of a trivial pick takes on the demo's dataset, and what a second job on it still takes.

Run: `python -m benchmarks.judging`. On the embedded service: `random-users` of 300 users, judged with the defaults;
then the same with another seed of the draw, which finds the figures of the full data computed. Beside them stands what
`validate_only` had said. Every job is an attempt of its own; seconds are those between its start and its end.
"""

from __future__ import annotations

from datetime import datetime
from importlib.resources import as_file, files
from typing import Any

from benchmarks.record import write
from distillery import Client
from tests.service import Service


def main() -> None:
    with Service() as service, as_file(files("distillery") / "data" / "msweb.parquet") as path:
        client = service.client
        columns = {"user": "user_id", "item": "item_id"}
        dataset = client.datasets.upload(str(path), kind="interactions", columns=columns).reference
        body = {"method": "random-users", "dataset": dataset, "params": {"budget": 300}}
        said = service.http.post("/v1/jobs", params={"validate_only": True}, json=body).json()["cost"]
        first = measured(client, body)
        # The same draw in another job: only `force` keeps it from being answered by the first one's result.
        second = measured(client, {**body, "force": True})
        other = measured(client, {**body, "params": {"budget": 250}})
    write(
        "judging",
        {
            "validate_only": said,
            "first": first,
            "same_again": second,
            "another_size": other,
            "another_size_over_first": round(other["seconds"] / first["seconds"], 3),
            "another_size_over_first_cpu": round(other["cpu_s"] / first["cpu_s"], 3),
        },
        ("torch", "numpy", "scipy", "matplotlib"),
    )


def measured(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    """Seconds and peak memory of a job, and from which jobs its figures come."""
    options = {name: value for name, value in body.items() if name not in ("method", "dataset")}
    job = client.run(body["method"], body["dataset"], **options).wait()
    view = job.view
    began, ended = (datetime.fromisoformat(view[name]) for name in ("started_at", "finished_at"))
    return {
        "seconds": round((ended - began).total_seconds(), 2),
        "cpu_s": view["cost"]["cpu_s"],
        "peak_rss_mb": view["cost"]["peak_rss_mb"],
        "reused_from": len(job.report.json()["reused_from"]),
    }


if __name__ == "__main__":
    main()
