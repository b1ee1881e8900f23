"""/ui/jobs/new: what to do with a dataset, by which method, with which settings; and what that will take."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import HTMLResponse, Response

from app.api.pagination import LARGEST_SIZE
from app.api.problems import Problem, of_refused
from app.api.routes import datasets, jobs, methods, summaries
from app.api.schemas.jobs import JobCreate
from app.api.schemas.results import MethodView
from app.api.security import Caller, JobWriter, calling
from app.jobs.errors import Refused
from app.store.methods import get_method
from app.web import bundled
from app.web.ask import document, first_page, go, wanted
from app.web.forms import Field, fields_of, values_of
from app.web.render import HEADERS, page, part
from app.web.route import Fields, Form, PageRoute
from app.web.words import task_order

router = APIRouter(route_class=PageRoute)
Chooser = Annotated[Caller, calling("datasets:read", "jobs:read", reads=True)]


@router.get("/ui/jobs/new")
def choose(request: Request, caller: Chooser) -> Response:
    """First the dataset, then the method, then its settings: as far as the address says."""
    reference, name = wanted(request, "dataset"), wanted(request, "method")
    ready = datasets.list_datasets(caller, first_page(size=LARGEST_SIZE), state="ready", exports=True).items
    chosen = next((one for one in ready if reference in (one.id, one.reference)), None)
    if chosen is None:
        return page(request, "new_job_dataset.html", caller=caller, datasets=ready)
    if name:
        return _form(request, caller, chosen, name, Fields())
    found = methods.list_methods(caller, first_page(size=LARGEST_SIZE), kind=chosen.kind).items
    ordered = sorted(found, key=lambda one: (task_order(one.task), one.name != "auto", one.name))
    grouped = [(task, list(those)) for task, those in groupby(ordered, key=lambda one: one.task)]
    quick = bundled.quick_job(caller, chosen.name)
    return page(request, "new_job_method.html", caller=caller, dataset=chosen, groups=grouped, quick=quick)


@router.post("/ui/jobs")
def create(request: Request, caller: JobWriter, form: Form) -> Response:
    """Begin the job, or show the form again with what is wrong."""
    try:
        made = document(jobs.create_job(request, caller, _asked(caller, form), validate_only=False))
    except (Refused, Problem, ValidationError) as refused:
        return _form(request, caller, _dataset(caller, form), _one(form, "method"), form, _problem_of(refused))
    return go(f"/ui/jobs/{made['id']}")


@router.post("/ui/jobs/estimate")
def estimate(request: Request, caller: JobWriter, form: Form) -> Response:
    """What the job would take, as a part of the page."""
    try:
        would_be = document(jobs.create_job(request, caller, _asked(caller, form), validate_only=True))
        text = part(
            "estimate.html",
            cost=would_be["cost"],
            device=would_be["queue"],
            judged=bool(would_be["evaluate"]),
            problem=None,
        )
    except (Refused, Problem, ValidationError) as refused:
        text = part("estimate.html", cost=None, device="", judged=False, problem=_problem_of(refused))
    return HTMLResponse(text, headers=HEADERS)


def _form(
    request: Request, caller: Caller, dataset: Any, name: str, filled: Fields, problem: Problem | None = None
) -> Response:
    row = get_method(caller.conn, dataset.kind, name)
    if row is None or row["task"] == "ingest":
        raise Problem("unknown_method", f"No worker announced a method {name[:80]} for {dataset.kind}.")
    view = MethodView.of(row)
    wrong = _wrong(problem)
    asked = request.query_params
    given = {**{key: list(value.split(",")) for key, value in asked.items() if "." in key}, **filled}
    groups: dict[str, list[Field]] = {}
    for group, schema in (("params", view.params_schema), ("evaluate", view.evaluate_schema)):
        now = values_of(fields_of(schema, group), _marked(fields_of(schema, group), given)) if given else {}
        groups[group] = fields_of(schema, group, given=now, errors=wrong.get(group, {}))
    offered: dict[str, list[tuple[str, str]]] = {}
    for one in view.inputs:
        offered[one.name] = _offered(caller, one.type, one.kind or view.kind, dataset.id)
    return page(
        request,
        "new_job.html",
        caller=caller,
        status=problem.status_code if problem else 200,
        dataset=dataset,
        method=view,
        params=groups["params"],
        evaluate=groups["evaluate"],
        inputs=view.inputs,
        offered=offered,
        chosen={one.name: given.get(f"inputs.{one.name}", []) for one in view.inputs},
        seed=_one(filled, "seed") or "0",
        device=_one(filled, "device") or "auto",
        time_s=_one(filled, "time_s"),
        problem=problem,
        wrong=wrong.get("", {}),
    )


def _marked(fields: list[Field], given: Fields) -> Fields:
    """An address names what is ticked; a form also which boxes there were."""
    shown = {f"{one.name}.shown": ["1"] for one in fields if one.name in given}
    return {**shown, **given}


def _asked(caller: Caller, form: Fields) -> JobCreate:
    dataset = _dataset(caller, form)
    row = get_method(caller.conn, dataset.kind, _one(form, "method"))
    if row is None:
        raise Problem("unknown_method", "No worker announced this method.")
    inputs: dict[str, Any] = {}
    for one in row["inputs"]:
        given = [value for value in form.get(f"inputs.{one['name']}", []) if value]
        if given:
            inputs[one["name"]] = given if one["many"] else given[0]
    limits = {"time_s": int(_one(form, "time_s"))} if _one(form, "time_s").isdigit() else {}
    seed = _one(form, "seed")
    return JobCreate.model_validate(
        {
            "dataset": dataset.reference,
            "method": row["name"],
            "inputs": inputs,
            "params": values_of(fields_of(row["params_schema"], "params"), form),
            "evaluate": values_of(fields_of(row["evaluate_schema"], "evaluate"), form),
            "seed": int(seed) if seed.lstrip("-").isdigit() else 0,
            "device": _one(form, "device") or "auto",
            "limits": limits,
            "labels": {"from": "page"},
        }
    )


def _dataset(caller: Caller, form: Fields) -> Any:
    return datasets.DatasetView.of(datasets.existing(caller, _one(form, "dataset").partition("@")[0]))


def _offered(caller: Caller, sort: str, kind: str, dataset_id: str) -> list[tuple[str, str]]:
    """What an input can be: (reference, how it is called). Summaries of this dataset come first."""
    found: list[tuple[str, str]] = []
    if sort in ("summary", "evidence", "either"):
        made = summaries.list_summaries(caller, first_page(size=200), kind=kind).items
        made.sort(key=lambda one: not one.source.startswith(f"{dataset_id}@"))
        found += [(one.id, f"{one.method}, {one.created_at:%d %b %H:%M}, {one.id[-6:]}") for one in made]
    if sort in ("dataset", "either"):
        ready = datasets.list_datasets(caller, first_page(size=200), kind=kind, state="ready").items
        found += [(one.reference, f"{one.name} ({one.reference[-8:]})") for one in ready if one.id != dataset_id]
    return found


def _problem_of(refused: Exception) -> Problem:
    match refused:
        case Refused():
            return of_refused(refused)
        case Problem():
            return refused
        case ValidationError():
            first = refused.errors()[0]
            pointer = "/" + "/".join(map(str, first["loc"]))
            return Problem("invalid_request", f"{pointer.strip('/')}: {first['msg']}", pointer=pointer)
        case _:
            raise refused


def _wrong(problem: Problem | None) -> dict[str, dict[str, str]]:
    """What was wrong, by group and field; of the job itself under an empty group."""
    found: dict[str, dict[str, str]] = {}
    for error in problem.errors if problem else ():
        _, group, *rest = [*str(error["pointer"]).split("/"), ""]
        grouped = group in ("params", "evaluate", "inputs") and rest and rest[0]
        found.setdefault(group if grouped else "", {})[rest[0] if grouped else group] = str(error["detail"])
    return found


def _one(form: Fields, name: str) -> str:
    return form.get(name, [""])[-1].strip()
