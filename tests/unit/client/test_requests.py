from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from distillery import AsyncClient, Client, _requests, errors
from distillery._views import View
from tests.unit.client.http_server import Answer, Script, document, in_turn, problem, serving

JOB = {"id": "job_1", "state": "queued", "method": "m", "dataset": "ds_1@1"}
Ask = Callable[[Any], Any]


def blocking(url: str, ask: Ask) -> Any:
    with Client(url, "dsk_a_b") as client:
        return ask(client)


def awaited(url: str, ask: Ask) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, "dsk_a_b") as client:
            return await ask(client)

    return asyncio.run(run())


both = pytest.mark.parametrize("through", [blocking, awaited])
backoff = _requests._backoff  # here the tries themselves make no pauses


def outcome(through: Any, script: Script, ask: Ask) -> tuple[Any, Any]:
    with serving(script) as server:
        try:
            return through(server.url, ask), server
        except errors.DistilleryError as error:
            return error, server


@both
def test_request_when_sent_then_carries_the_key(through: Any) -> None:
    job, server = outcome(through, in_turn(document(JOB)), lambda c: c.job("job_1"))
    assert job.id == "job_1"
    assert server.asked[0].headers["authorization"] == "Bearer dsk_a_b"
    assert server.asked[0].headers["user-agent"].startswith("distillery-python/")


@both
def test_get_when_service_is_unavailable_then_tries_again(through: Any) -> None:
    script = in_turn(problem(503, "stopping"), problem(429, "too_many_requests"), document(JOB))
    job, server = outcome(through, script, lambda c: c.job("job_1"))
    assert job.state == "queued"
    assert len(server.asked) == 3


@both
def test_get_when_unavailable_for_good_then_gives_up_after_ten_tries(through: Any) -> None:
    error, server = outcome(through, in_turn(problem(503, "stopping")), lambda c: c.job("job_1"))
    assert isinstance(error, errors.ServerError)
    assert len(server.asked) == 10


@both
def test_get_when_the_service_goes_and_comes_back_then_is_answered(through: Any) -> None:
    cut = Answer(200, b"{}", cut_after=1)
    job, server = outcome(through, in_turn(problem(503, "stopping"), *[cut] * 8, document(JOB)), lambda c: c.job("j"))
    assert job.state == "queued"
    assert len(server.asked) == 10


@both
def test_get_when_nobody_has_ever_answered_then_gives_up_soon(through: Any) -> None:
    error, server = outcome(through, in_turn(Answer(200, b"{}", cut_after=1)), lambda c: c.job("job_1"))
    assert isinstance(error, errors.ConnectionLost)
    assert len(server.asked) == 5


def test_pauses_when_summed_up_then_outlast_a_restart_but_not_a_users_patience() -> None:
    assert 10 < sum(backoff(attempt) for attempt in range(1, _requests.TRIES)) < 40
    assert sum(backoff(attempt) for attempt in range(1, 5)) < 6


@both
def test_delete_when_the_answer_to_the_first_try_was_lost_then_gone_is_what_was_wanted(through: Any) -> None:
    script = in_turn(document({"id": "ds_1"}, ETag='"v1"'), Answer(200, b"{}", cut_after=1), problem(404, "not_found"))
    nothing, server = outcome(through, script, lambda c: c.datasets.delete("ds_1"))
    assert nothing is None
    assert server.paths()[1:] == ["DELETE /v1/datasets/ds_1"] * 2


@both
def test_delete_when_there_never_was_such_a_thing_then_raises_not_found(through: Any) -> None:
    script = in_turn(document({"id": "ds_1"}, ETag='"v1"'), problem(404, "not_found"))
    error, _ = outcome(through, script, lambda c: c.datasets.delete("ds_1"))
    assert isinstance(error, errors.NotFound)


@both
def test_get_when_told_to_come_back_much_later_then_does_not_wait(through: Any) -> None:
    script = in_turn(problem(429, "queue_full", **{"Retry-After": "3600"}))
    error, server = outcome(through, script, lambda c: c.job("job_1"))
    assert isinstance(error, errors.QueueFull)
    assert len(server.asked) == 1


@both
def test_run_when_first_answer_is_lost_then_repeats_with_the_same_key(through: Any) -> None:
    script = in_turn(Answer(202, b'{"id": "job_1"}', cut_after=3), document(JOB, 202))
    job, server = outcome(through, script, lambda c: c.run("m", "ds_1@1", budget="1%"))
    assert job.id == "job_1"
    keys = [asked.headers["idempotency-key"] for asked in server.asked]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert server.asked[0].json == server.asked[1].json


@both
def test_run_when_called_twice_then_uses_two_keys(through: Any) -> None:
    def once(client: Any) -> Any:
        return client.run("m", "ds_1@1")

    with serving(in_turn(document(JOB, 202))) as server:
        through(server.url, once)
        through(server.url, once)
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 2


@both
def test_post_when_still_being_answered_then_waits_for_the_first_one(through: Any) -> None:
    script = in_turn(problem(409, "idempotency_in_progress", **{"Retry-After": "0"}), document(JOB, 202))
    job, server = outcome(through, script, lambda c: c.run("m", "ds_1@1"))
    assert job.id == "job_1"
    assert len(server.asked) == 2


@both
def test_refusal_when_not_worth_repeating_then_raises_at_once(through: Any) -> None:
    script = in_turn(problem(422, "kind_mismatch", "m needs images.", "Try distill-cf."))
    error, server = outcome(through, script, lambda c: c.run("m", "ds_1@1"))
    assert type(error) is errors.KindMismatch
    assert (error.code, error.hint, str(error)) == ("kind_mismatch", "Try distill-cf.", "m needs images.")
    assert len(server.asked) == 1


@both
def test_refusal_when_it_comes_from_a_proxy_then_says_what_came(through: Any) -> None:
    error, _ = outcome(through, in_turn(Answer(413, b"<html>too big</html>")), lambda c: c.job("job_1"))
    assert isinstance(error, errors.InvalidRequest)
    assert "too big" in str(error)


@both
def test_connect_when_nobody_listens_then_raises_connect_error(through: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(errors.ConnectError, match="Nobody answers") as caught:
        through(url, lambda c: c.job("job_1"))
    assert "distillery up" in caught.value.hint


@both
def test_list_when_in_pages_then_returns_all(through: Any) -> None:
    pages = [
        document({"items": [JOB | {"id": "job_1"}], "next_page_token": "t+/="}),
        document({"items": [JOB | {"id": "job_2"}], "next_page_token": ""}),
    ]
    jobs, server = outcome(through, in_turn(*pages), lambda c: c.jobs(state="queued"))
    assert [job.id for job in jobs] == ["job_1", "job_2"]
    assert server.paths() == ["GET /v1/jobs?state=queued", "GET /v1/jobs?state=queued&page_token=t%2B%2F%3D"]


@both
def test_delete_dataset_when_changed_meanwhile_then_raises_precondition_failed(through: Any) -> None:
    script = in_turn(document({"id": "ds_1"}, ETag='"v1"'), problem(412, "precondition_failed"))
    error, server = outcome(through, script, lambda c: c.datasets.delete("ds_1@3"))
    assert isinstance(error, errors.PreconditionFailed)
    assert server.asked[1].headers["if-match"] == '"v1"'
    assert server.paths()[1] == "DELETE /v1/datasets/ds_1"


@both
def test_evaluate_when_called_then_runs_the_kinds_own_method_on_the_summary(through: Any) -> None:
    catalogue = [{"name": "distill-cf", "task": "distil"}, {"name": "judge", "task": "evaluate"}]
    script = in_turn(
        document({"id": "ds_1", "kind": "interactions"}),
        document({"items": catalogue, "next_page_token": ""}),
        document(JOB, 202),
    )
    _, server = outcome(through, script, lambda c: c.evaluate("sum_1", "ds_1@2"))
    assert server.asked[2].json == {"method": "judge", "dataset": "ds_1@2", "inputs": {"summary": "sum_1"}}
    assert server.paths()[1] == "GET /v1/methods?kind=interactions"


@both
def test_run_when_an_input_has_several_things_then_each_is_sent_by_its_reference(through: Any) -> None:
    def compare(client: Any) -> Any:
        return client.run(
            "compare", "ds_1@2", inputs={"summaries": ["sum_1", View({"id": "sum_2"})], "policy": "sum_3"}
        )

    _, server = outcome(through, in_turn(document(JOB, 202)), compare)
    assert server.asked[0].json["inputs"] == {"summaries": ["sum_1", "sum_2"], "policy": "sum_3"}
