"""Webhooks against a real receiver on loopback, which these settings allow."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text, update

from app.jobs.cancel import cancel_job
from app.jobs.claim import claim_job
from app.jobs.commit import Outcome
from app.jobs.dispatch import serve
from app.jobs.finish import AttemptEnd, fail_attempt
from app.outbound.request import TOTAL_S, OutboundError
from app.outbound.ssrf import Rules
from app.settings import Settings
from app.store.tables import webhook_delivery
from app.webhooks.deliver import PATIENCE_S, Deliverer
from tests.engines import Engines
from tests.integration.api.conftest import Api, file_settings
from tests.receiver import Receiver, receiving
from tests.service import Service

_paths = itertools.count(1)


@pytest.fixture(scope="module")
def settings(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with engines.database() as url:
        yield file_settings(
            url,
            tmp_path_factory.mktemp("webhooks"),
            outbound_http=True,
            outbound_private=True,
            outbound_ports="*",
            webhook_endpoints=3,
        )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture(autouse=True)
def _no_leftovers(engine: Engine) -> None:
    with engine.begin() as conn:
        conn.execute(text("DELETE FROM webhook_delivery"))


@pytest.fixture
def deliverer(api: Api, settings: Settings) -> Deliverer:
    return Deliverer.of(settings, api.engine)


def endpoint(api: Api, receiver: Receiver, **fields: Any) -> dict[str, Any]:
    url = receiver.url(f"/hook/{next(_paths)}")
    answer = api.post("/v1/webhooks", json={"url": url, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def failed(api: Api) -> dict[str, Any]:
    """A job that failed."""
    made = api.job(force=True)
    with api.engine.begin() as conn:
        row = claim_job(conn, made["id"], "w1", 30.0)
        assert row is not None
        assert fail_attempt(conn, row, {"code": "diverged", "detail": "It diverged."}, AttemptEnd()) == "failed"
    return made


def succeed(api: Api, job_id: str) -> None:
    api.finish(job_id, Outcome(report=api.stored({"report.json": b"{}"})))


def deliveries(api: Api, hook: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    answer = api.get(f"/v1/webhooks/{hook['id']}/deliveries", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def make_due(api: Api) -> None:
    with api.engine.begin() as conn:
        conn.execute(text("UPDATE webhook_delivery SET next_at = now() WHERE state = 'pending'"))


def test_job_when_it_ends_then_each_listener_is_told_signed(api: Api, receiver: Receiver, deliverer: Deliverer) -> None:
    version = api.version()
    everything = endpoint(api, receiver)
    failures = endpoint(api, receiver, events=["job.failed"])
    made = api.job(version, force=True, labels={"team": "search"})
    assert deliveries(api, everything) == []
    succeed(api, made["id"])
    broken = failed(api)
    waiting = deliveries(api, failures)
    assert [(one["event"], one["job"], one["state"]) for one in waiting] == [("job.failed", broken["id"], "pending")]
    while deliverer.deliver_next(everything["id"]) is not None:
        pass
    got = [(one, json.loads(one.body)) for one in receiver.received]
    # `failed` ingested a version of its own before its job.
    assert [told["type"] for _, told in got] == ["job.succeeded", "job.succeeded", "dataset.ready", "job.failed"]
    first, told = got[0]
    assert told["data"]["id"] == made["id"]
    assert told["data"]["labels"] == {"team": "search"}
    assert told["data"]["result"]["report"].startswith("rep_")
    assert got[2][1]["data"]["reference"] == got[1][1]["data"]["dataset"]
    assert all(one.verified(everything["secret"]) and not one.verified(failures["secret"]) for one, _ in got)
    assert abs(int(first.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert first.headers["content-type"] == "application/json"
    listed = deliveries(api, everything, job=made["id"])
    assert [one["id"] for one in listed] == [first.headers["webhook-id"]]
    assert (listed[0]["state"], listed[0]["last_status"], listed[0]["attempt"]) == ("delivered", 204, 1)
    detail = api.get(f"/v1/webhooks/{everything['id']}/deliveries/{listed[0]['id']}").json()
    assert detail["payload"] == told


def test_message_when_the_transaction_of_the_end_is_rolled_back_then_there_is_none(
    api: Api, receiver: Receiver
) -> None:
    hook = endpoint(api, receiver)
    made = api.job()
    before = len(deliveries(api, hook))
    with api.engine.connect() as conn:
        assert cancel_job(conn, api.tenant_id, made["id"]) is not None
        conn.rollback()
    assert len(deliveries(api, hook)) == before
    assert api.post(f"/v1/jobs/{made['id']}/cancel").status_code == 200
    assert [one["event"] for one in deliveries(api, hook, job=made["id"])] == ["job.cancelled"]


def test_delivery_when_the_receiver_fails_then_sent_again_under_the_same_id(
    api: Api, receiver: Receiver, deliverer: Deliverer
) -> None:
    hook = endpoint(api, receiver)
    sent = api.post(f"/v1/webhooks/{hook['id']}/test")
    assert sent.status_code == 202
    receiver.statuses = [500, 302]
    for attempt, (code, low, high) in enumerate([("http_500", 4, 6), ("http_302", 240, 360)], start=1):
        assert deliverer.deliver_next(hook["id"]) is not None
        one = deliveries(api, hook)[0]
        assert (one["state"], one["attempt"], one["last_error"]) == ("pending", attempt, code)
        wait = datetime.fromisoformat(one["next_at"]) - datetime.fromisoformat(one["last_at"])
        assert low - 0.1 <= wait.total_seconds() <= high + 5
        assert deliverer.deliver_next(hook["id"]) is None  # not due
        make_due(api)
    assert deliverer.deliver_next(hook["id"]) is not None
    one = deliveries(api, hook)[0]
    assert (one["state"], one["attempt"], one["last_error"], one["next_at"]) == ("delivered", 3, None, None)
    assert {got.headers["webhook-id"] for got in receiver.received} == {sent.json()["id"]}
    assert len({got.body for got in receiver.received}) == 1
    assert len(receiver.received) == 3  # the redirect was not followed
    assert all(got.verified(hook["secret"]) for got in receiver.received)


def test_delivery_when_the_last_try_fails_then_given_up(api: Api, receiver: Receiver, deliverer: Deliverer) -> None:
    hook = endpoint(api, receiver)
    api.post(f"/v1/webhooks/{hook['id']}/test")
    receiver.statuses = [503] * 10
    for _ in range(10):
        make_due(api)
        assert deliverer.deliver_next(hook["id"]) is not None
    one = deliveries(api, hook, state="failed")[0]
    assert (one["attempt"], one["last_status"], one["next_at"]) == (10, 503, None)
    make_due(api)
    assert deliverer.deliver_next(hook["id"]) is None


def test_receiver_when_it_answers_410_then_disabled_until_enabled(
    api: Api, receiver: Receiver, deliverer: Deliverer
) -> None:
    hook = endpoint(api, receiver)
    path = f"/v1/webhooks/{hook['id']}"
    for _ in range(2):
        api.post(f"{path}/test")
    receiver.statuses = [410]
    assert deliverer.deliver_next(hook["id"]) is not None
    view = api.get(path).json()
    assert (view["enabled"], view["disabled_reason"]) == (False, "gone")
    assert sorted(one["state"] for one in deliveries(api, hook)) == ["failed", "pending"]
    assert deliverer.deliver_next(hook["id"]) is None
    assert (api.post(f"{path}/test").status_code, api.post(f"{path}/test").json()["code"]) == (409, "webhook_disabled")
    failed(api)
    assert len(deliveries(api, hook)) == 2  # nothing is kept for a disabled endpoint
    enabled = api.request("PATCH", path, json={"enabled": True}).json()
    assert (enabled["enabled"], enabled["disabled_reason"]) == (True, None)
    assert deliverer.deliver_next(hook["id"]) is not None
    assert len(receiver.received) == 2


def test_secret_when_rotated_then_both_count_for_a_while(api: Api, receiver: Receiver, deliverer: Deliverer) -> None:
    hook = endpoint(api, receiver)
    path = f"/v1/webhooks/{hook['id']}"
    rotated = api.post(f"{path}/rotate").json()
    api.post(f"{path}/test")
    assert deliverer.deliver_next(hook["id"]) is not None
    assert rotated["secret"] != hook["secret"]
    assert len(receiver.received[0].headers["webhook-signature"].split(" ")) == 2
    assert [receiver.received[0].verified(one["secret"]) for one in (hook, rotated)] == [True, True]
    with api.engine.begin() as conn:
        conn.execute(text("UPDATE webhook_endpoint SET previous_until = now() WHERE id = :id"), {"id": hook["id"]})
    api.post(f"{path}/test")
    assert deliverer.deliver_next(hook["id"]) is not None
    assert [receiver.received[1].verified(one["secret"]) for one in (hook, rotated)] == [False, True]
    at_once = api.post(f"{path}/rotate", json={"keep_s": 0}).json()
    api.post(f"{path}/test")
    assert deliverer.deliver_next(hook["id"]) is not None
    assert [receiver.received[2].verified(one["secret"]) for one in (rotated, at_once)] == [False, True]


def test_secret_when_asked_for_later_then_not_told(api: Api, receiver: Receiver) -> None:
    hook = endpoint(api, receiver)
    assert hook["secret"].startswith("whsec_")
    for path in ("/v1/webhooks", f"/v1/webhooks/{hook['id']}"):
        assert "secret" not in api.get(path).text
    key = {"Idempotency-Key": "same"}
    first, again = (api.post(f"/v1/webhooks/{hook['id']}/rotate", headers=key) for _ in range(2))
    assert first.json() == again.json()
    assert (first.headers["cache-control"], again.headers["idempotency-replayed"]) == ("no-store", "true")


def test_delivery_when_redelivered_then_the_same_message_again(
    api: Api, receiver: Receiver, deliverer: Deliverer
) -> None:
    hook = endpoint(api, receiver)
    sent = api.post(f"/v1/webhooks/{hook['id']}/test").json()
    assert deliverer.deliver_next(hook["id"]) is not None
    again = api.post(f"/v1/webhooks/{hook['id']}/deliveries/{sent['id']}/redeliver")
    assert (again.status_code, again.json()["state"], again.json()["attempt"]) == (202, "pending", 0)
    assert deliverer.deliver_next(hook["id"]) is not None
    first, second = receiver.received
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert deliveries(api, hook)[0]["state"] == "delivered"
    assert api.post(f"/v1/webhooks/{hook['id']}/deliveries/msg_none/redeliver").status_code == 404


def test_job_when_it_names_an_endpoint_then_that_one_is_told(api: Api, receiver: Receiver) -> None:
    hook = endpoint(api, receiver, events=[])
    version = api.version()
    silent = api.job(version, force=True)
    named = api.job(version, force=True, webhook={"endpoint_id": hook["id"]})
    for one in (silent, named):
        succeed(api, one["id"])
    assert [one["job"] for one in deliveries(api, hook)] == [named["id"]]
    retried = api.post(f"/v1/jobs/{named['id']}/retry").json()
    assert api.post(f"/v1/jobs/{retried['id']}/cancel").status_code == 200
    assert deliveries(api, hook)[0]["event"] == "job.cancelled"
    answer = api.post("/v1/jobs", json={"dataset": version, "webhook": {"endpoint_id": "wh_none"}})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_webhook")


def test_job_when_it_names_an_address_then_an_endpoint_is_made_once(api: Api, receiver: Receiver) -> None:
    version = api.version()
    webhook = {"url": receiver.url("/adhoc")}
    body = {"dataset": version, "method": "head-users", "webhook": webhook}
    assert api.post("/v1/jobs?validate_only=true", json=body).status_code == 200
    assert api.get("/v1/webhooks").json()["items"] == []
    first = api.job(version, webhook=webhook)
    twin = api.job(version, webhook=webhook)  # the live job answers
    assert twin["id"] == first["id"]
    succeed(api, first["id"])
    cached = api.job(version, webhook=webhook)
    assert cached["cached_from"] == first["id"]
    hooks = api.get("/v1/webhooks").json()["items"]
    assert [(one["url"], one["events"]) for one in hooks] == [(webhook["url"], [])]
    assert [one["job"] for one in deliveries(api, hooks[0])] == [cached["id"], first["id"]]
    narrow = api.as_key("jobs:write", "jobs:read")
    for changed in (webhook, {"url": receiver.url("/other")}):
        answer = narrow.post("/v1/jobs", json={**body, "webhook": changed, "force": True})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    named = {"endpoint_id": hooks[0]["id"]}
    assert narrow.post("/v1/jobs", json={**body, "webhook": named, "force": True}).status_code == 202
    for wrong in ({}, {**webhook, **named}, {"url": "ftp://x/"}, {"url": "http://169.254.169.254/"}):
        assert api.post("/v1/jobs", json={**body, "webhook": wrong}).status_code == 422


def test_live_job_when_named_by_a_second_request_then_it_tells_that_one_too(api: Api, receiver: Receiver) -> None:
    hook = endpoint(api, receiver, events=[])
    version = api.version()
    first = api.job(version)
    assert api.job(version, webhook={"endpoint_id": hook["id"]})["id"] == first["id"]
    succeed(api, first["id"])
    assert [one["job"] for one in deliveries(api, hook)] == [first["id"]]


def test_round_when_one_receiver_hangs_then_others_are_served(api: Api, settings: Settings, receiver: Receiver) -> None:
    gate = threading.Event()
    dead, alive = endpoint(api, receiver), endpoint(api, receiver)
    hanging = dead["url"].replace("127.0.0.1", "hang.test")
    api.request("PATCH", f"/v1/webhooks/{dead['id']}", json={"url": hanging})

    def resolver(host: str, port: int) -> list[str]:
        if host == "hang.test":
            gate.wait(20)
        return ["127.0.0.1"]

    rules = Rules(ports=None, http=True, private=True)
    deliverer = Deliverer(api.engine, rules, slots=8, resolver=resolver)
    for hook in (dead, alive):
        for _ in range(3):
            api.post(f"/v1/webhooks/{hook['id']}/test")
    assert deliverer.round() == 2
    Service.wait(lambda: len(receiver.received) == 3, 10, "the endpoint that answers to have all its messages")
    assert deliverer.round() == 0  # the other one is being served, and nothing else is due
    gate.set()
    Service.wait(lambda: len(receiver.received) == 6, 10, "the other one's messages")
    order = [one.headers["webhook-id"] for one in receiver.at(alive["url"].partition(str(receiver.port))[2])]
    assert order == sorted(order)


def test_round_when_one_tenant_has_many_endpoints_then_it_gets_a_quarter_of_the_slots(
    api: Api, other: Api, receiver: Receiver
) -> None:
    gate = threading.Event()

    def resolver(host: str, port: int) -> list[str]:
        gate.wait(20)
        return ["127.0.0.1"]

    rules = Rules(ports=None, http=True, private=True)
    deliverer = Deliverer(api.engine, rules, slots=8, resolver=resolver)
    for hook in [endpoint(api, receiver) for _ in range(3)]:
        api.post(f"/v1/webhooks/{hook['id']}/test")
    assert deliverer.round() == 2
    theirs = endpoint(other, receiver)
    other.post(f"/v1/webhooks/{theirs['id']}/test")
    assert deliverer.round() == 1
    gate.set()
    Service.wait(lambda: len(receiver.received) == 3, 10, "these three")
    Service.wait(lambda: deliverer.round() == 1, 10, "a slot for the third endpoint")
    Service.wait(lambda: len(receiver.received) == 4, 10, "its message")


def test_round_when_receivers_failed_lately_then_they_wait_for_each_other_and_nobody_for_them(
    api: Api, other: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience: dict[str, float] = {}

    def note(url: str, *_: Any, total_s: float, **__: Any) -> Any:
        patience[url] = total_s
        raise OutboundError("timeout")

    monkeypatch.setattr("app.webhooks.deliver.post", note)
    deliverer = Deliverer(api.engine, Rules(ports=None, http=True, private=True), slots=4)
    failed = [endpoint(who, receiver) for who in (api, other)]
    for who, hook in zip((api, other), failed, strict=True):
        who.post(f"/v1/webhooks/{hook['id']}/test")
    with api.engine.begin() as conn:
        conn.execute(update(webhook_delivery).values(attempt=1))
    fresh = endpoint(other, receiver)
    other.post(f"/v1/webhooks/{fresh['id']}/test")
    assert deliverer.round() == 2  # the fresh one, and one of the two that failed
    Service.wait(lambda: len(patience) == 2, 10, "two tries")
    assert patience.pop(fresh["url"]) == TOTAL_S
    assert list(patience.values()) == [PATIENCE_S]


def test_round_when_two_dispatchers_run_then_nothing_is_sent_twice(
    api: Api, settings: Settings, receiver: Receiver
) -> None:
    hook = endpoint(api, receiver)
    for _ in range(12):
        api.post(f"/v1/webhooks/{hook['id']}/test")
    pair = [Deliverer.of(settings, api.engine) for _ in range(2)]
    assert [one.round() for one in pair] == [1, 1]
    Service.wait(lambda: not deliveries(api, hook, state="pending"), 20, "all messages to be delivered")
    ids = [one.headers["webhook-id"] for one in receiver.received]
    assert len(ids) == len(set(ids)) == 12


def test_dispatcher_when_the_broker_is_away_then_messages_go_out_all_the_same(
    api: Api, settings: Settings, receiver: Receiver
) -> None:
    hook = endpoint(api, receiver)
    stopping = threading.Event()
    thread = threading.Thread(target=serve, args=(settings.model_copy(update={"webhook_every_s": 0.1}), stopping))
    thread.start()
    try:
        broken = failed(api)
        Service.wait(lambda: deliveries(api, hook, job=broken["id"], state="delivered"), 20, "the message")
    finally:
        stopping.set()
        thread.join(30)
    assert json.loads(receiver.received[-1].body)["data"]["error"]["code"] == "diverged"


def test_sender_when_it_dies_then_the_message_is_sent_again_after_its_lease(
    api: Api, receiver: Receiver, deliverer: Deliverer
) -> None:
    from app.store.webhooks import claim_delivery, record_attempt

    hook = endpoint(api, receiver)
    api.post(f"/v1/webhooks/{hook['id']}/test")
    with api.engine.begin() as conn:
        claimed = claim_delivery(conn, hook["id"], 60.0)
        assert claimed is not None
    assert deliverer.deliver_next(hook["id"]) is None
    make_due(api)  # as the end of the lease does
    assert deliverer.deliver_next(hook["id"]) is not None
    with api.engine.begin() as conn:  # the first sender was only slow: it no longer has a say
        record_attempt(conn, claimed, state="failed", status=500, error="http_500", retry_in_s=None)
    assert (deliveries(api, hook)[0]["state"], deliveries(api, hook)[0]["attempt"]) == ("delivered", 2)


def test_address_when_it_became_private_then_not_sent(api: Api, receiver: Receiver) -> None:
    hook = endpoint(api, receiver)
    api.request("PATCH", f"/v1/webhooks/{hook['id']}", json={"url": f"http://name.test:{receiver.port}/"})
    api.post(f"/v1/webhooks/{hook['id']}/test")
    rules = Rules(ports=None, http=True)
    for answer, code in ((["127.0.0.1"], "unsafe_url"), (["8.8.8.8", "10.0.0.1"], "unsafe_url"), ([], "unresolvable")):
        make_due(api)
        result = Deliverer(api.engine, rules, resolver=lambda *_, a=answer: a).deliver_next(hook["id"])
        assert result is not None
        assert result.error == code
        assert deliveries(api, hook)[0]["last_error"] == code
    assert receiver.received == []


def test_webhook_when_created_changed_and_deleted_then_seen_so(api: Api, receiver: Receiver) -> None:
    hook = endpoint(api, receiver, description="mine")
    path = f"/v1/webhooks/{hook['id']}"
    assert hook["events"] == ["dataset.ready", "job.cancelled", "job.failed", "job.succeeded"]
    assert api.get(path).json() == {name: value for name, value in hook.items() if name != "secret"}
    taken = api.post("/v1/webhooks", json={"url": hook["url"]})
    assert (taken.status_code, taken.json()["code"]) == (409, "webhook_exists")
    other_hook = endpoint(api, receiver)
    taken = api.request("PATCH", f"/v1/webhooks/{other_hook['id']}", json={"url": hook["url"]})
    assert (taken.status_code, taken.json()["code"]) == (409, "webhook_exists")
    changed = api.request("PATCH", path, json={"events": [], "enabled": False, "url": receiver.url("/new")}).json()
    assert (changed["events"], changed["enabled"], changed["disabled_reason"]) == ([], False, "user")
    assert changed["url"] == receiver.url("/new")
    endpoint(api, receiver)
    full = api.post("/v1/webhooks", json={"url": receiver.url("/fourth")})
    assert (full.status_code, full.json()["code"]) == (403, "quota_exceeded")
    assert [api.delete(path).status_code for _ in range(2)] == [204, 404]
    assert api.post("/v1/webhooks", json={"url": receiver.url("/fourth")}).status_code == 201
    with api.engine.connect() as conn:
        query = text("SELECT secret FROM webhook_endpoint WHERE id = :id")
        assert conn.execute(query, {"id": hook["id"]}).scalar_one() == ""


def test_webhook_when_deleted_then_what_waits_is_not_sent(api: Api, receiver: Receiver, deliverer: Deliverer) -> None:
    hook = endpoint(api, receiver)
    api.post(f"/v1/webhooks/{hook['id']}/test")
    assert api.delete(f"/v1/webhooks/{hook['id']}").status_code == 204
    assert deliverer.deliver_next(hook["id"]) is None
    assert receiver.received == []


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "http://169.254.169.254/latest", "http://[64:ff9b::7f00:1]/", "http://u@x/", "x", ""]
)
def test_webhook_when_its_address_is_unsafe_then_refused(api: Api, url: str) -> None:
    answer = api.post("/v1/webhooks", json={"url": url})
    assert answer.status_code == 422
    assert answer.json()["code"] == ("unsafe_url" if url else "invalid_request")
    assert answer.json()["errors"][0]["pointer"] == "/url"


def test_tenants_when_each_has_endpoints_then_neither_hears_of_the_other(
    api: Api, other: Api, receiver: Receiver
) -> None:
    mine, theirs = endpoint(api, receiver), endpoint(other, receiver)
    made = failed(api)
    assert deliveries(api, mine, job=made["id"])
    assert deliveries(other, theirs) == []
    for path in (f"/v1/webhooks/{mine['id']}", f"/v1/webhooks/{mine['id']}/deliveries"):
        assert other.get(path).status_code == 404
    body = {"dataset": other.version(), "method": "head-users", "webhook": {"endpoint_id": mine["id"]}}
    assert other.post("/v1/jobs", json=body).json()["code"] == "unknown_webhook"
    same = other.post("/v1/webhooks", json={"url": mine["url"]})  # an address is nobody's own
    assert same.status_code == 201
    assert same.json()["secret"] != mine["secret"]


def test_deliveries_when_paged_then_each_once(api: Api, receiver: Receiver) -> None:
    hook = endpoint(api, receiver)
    sent = [api.post(f"/v1/webhooks/{hook['id']}/test").json()["id"] for _ in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        params = {"page_size": 2, "page_token": token}
        page = api.get(f"/v1/webhooks/{hook['id']}/deliveries", params=params).json()
        seen += [one["id"] for one in page["items"]]
        token = page["next_page_token"]
        if not token:
            break
    assert seen == sent[::-1]


def test_messages_when_old_then_forgotten(api: Api, receiver: Receiver) -> None:
    from app.store.webhooks import forget_old

    kept, gone = endpoint(api, receiver), endpoint(api, receiver)
    version = api.version()
    api.job(version, force=True, webhook={"endpoint_id": gone["id"]})
    for hook in (kept, gone):
        api.post(f"/v1/webhooks/{hook['id']}/test")
    api.delete(f"/v1/webhooks/{gone['id']}")
    with api.engine.begin() as conn:
        assert forget_old(conn, keep_s=3600) == 0
        conn.execute(text("UPDATE webhook_delivery SET created_at = now() - interval '2 hours'"))
        conn.execute(
            text("UPDATE webhook_endpoint SET deleted_at = now() - interval '2 hours' WHERE deleted_at < now()")
        )
        assert forget_old(conn, keep_s=3600) >= 2
        query = text("SELECT count(*) FROM webhook_endpoint WHERE id IN (:a, :b)")
        assert conn.execute(query, {"a": kept["id"], "b": gone["id"]}).scalar_one() == 1
    assert deliveries(api, kept) == []
