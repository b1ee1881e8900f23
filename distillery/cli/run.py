"""run: start a job and wait for it."""

from __future__ import annotations

from typing import Annotated

import typer

from distillery.cli.jobs import show_job
from distillery.cli.output import AsJson, emit_json, failing_well, pairs, repeated, say, values


@failing_well
def run(
    method: Annotated[str, typer.Argument(help="A method of `distillery methods`, or auto.")],
    dataset: Annotated[str, typer.Argument(help="ds_…@1, or ds_… for its latest version.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="NAME=VALUE of the method, such as budget=1%; JSON where it is JSON."),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--input", help="NAME=REFERENCE, such as summary=sum_… for evaluate; repeat it to give several."),
    ] = None,
    evaluate: Annotated[
        list[str] | None, typer.Option("--evaluate", help="NAME=VALUE of the kind's evaluation.")
    ] = None,
    limit: Annotated[list[str] | None, typer.Option("--limit", help="NAME=VALUE, such as time_s=600.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="NAME=VALUE to find it by.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything random in the job.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Do it again, even when the same has been done.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job and leave.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a method on a dataset. Ctrl-C stops the waiting, not the job."""
    from distillery import Client

    with Client() as client:
        job = client.run(
            method,
            dataset,
            params=values(param or [], "-p"),
            inputs=repeated(given or [], "--input"),
            evaluate=values(evaluate or [], "--evaluate"),
            limits=values(limit or [], "--limit"),
            labels=pairs(label or [], "--label"),
            seed=seed,
            device=device,
            force=force,
        )
        if not no_wait:
            job.wait(progress=True)
        if as_json:
            emit_json(job.view)
        elif no_wait:
            say(job.id)
        else:
            show_job(job)
