"""A model behind HTTP: the same scores as from its directory, and what happens when the server misbehaves."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.judges.parity import Truth
from tests.judges.served import Served
from tests.judges.server import KEY
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.kinds.text.judging_prompt import Prompt
from worker.llm.answers import from_listed
from worker.llm.asking import ask
from worker.llm.backend import NO, YES, Backend, Limits, Sampling, open_backend, unheard
from worker.llm.hf_local import LocalModel
from worker.llm.http import Failed, Server, _parsed
from worker.llm.limits import Bucket
from worker.llm.remote import Remote, _counted
from worker.llm.retry import TRIES, pause_s, worth_another
from worker.llm.written import generated

Pool = tuple[list[str], list[bool]]
PROMPT = Prompt("signal-1", "probability")


_OPEN: list[Backend] = []


def opened(entry: dict[str, Any], ctx: Context | None = None, concurrency: int = 4) -> Backend:
    _OPEN.append(open_backend({"judge": entry}, "judge", ctx or Context(), Limits(concurrency)))
    return _OPEN[-1]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


@pytest.fixture
def prompts(pool: Pool) -> list[str]:
    return [PROMPT.about(text) for text in pool[0][200:216]]


@pytest.fixture
def local(checkpoint: Path, prompts: list[str]) -> Truth:
    model = opened({"backend": "hf-local", "path": str(checkpoint)})
    assert isinstance(model, LocalModel)
    truth = Truth.of(model, prompts)
    assert yes_of(model, prompts) == pytest.approx(truth.logp, abs=1e-4)
    return truth


def yes_of(backend: Backend, prompts: list[str]) -> np.ndarray:
    answers = backend.score(prompts, YES, NO, unheard)
    assert [one.reason for one in answers] == [""] * len(prompts)
    return np.array([(one.logp_yes, one.logp_no) for one in answers])


def entry_of(served: Served, shape: str) -> dict[str, Any]:
    marks = "<|user|>{prompt}<|end|><|assistant|>"
    return {
        "chat": served.openai(),
        "completions": served.openai(style="completions", template=marks),
        "gemini": served.gemini(),
        "openai batch": served.openai(batch=True),
        "gemini batch": served.gemini(batch=True),
    }[shape]


@pytest.mark.parametrize("shape", ["chat", "completions", "gemini", "openai batch", "gemini batch"])
def test_scores_over_http_are_those_of_the_same_checkpoint_in_this_process(
    shape: str, served: Served, prompts: list[str], local: Truth
):
    backend = opened(entry_of(served, shape))
    capability = backend.probe()
    assert (capability.logprobs, capability.max_top_logprobs) == (True, 20)
    assert capability.batch == ("batch" in shape)
    local.check(yes_of(backend, prompts))


def test_answers_that_a_server_does_not_list_are_taken_as_the_most_they_can_be():
    found = from_listed(
        [("no", math.log(0.9)), (" no", math.log(0.05)), ("maybe", math.log(0.01))], "no", 5, 1, YES, NO
    )
    assert found.censored
    assert (found.logp_yes, found.logp_no) == pytest.approx((math.log(0.04), math.log(0.95)))
    assert found.answer_mass == pytest.approx(0.95)
    certain = from_listed([("maybe", math.log(0.9))], "maybe", 5, 1, YES, NO)
    assert (certain.logp_yes, certain.logp_no, certain.answer_mass) == pytest.approx(
        (math.log(0.1), math.log(0.1), 0.0)
    )
    twenty = [("no", math.log(0.5)), *((f"token {at}", math.log(0.001)) for at in range(19))]
    assert from_listed(twenty, "no", 5, 1, YES, NO).logp_yes == pytest.approx(math.log(6 * 0.001))
    alone = [from_listed([(said, math.log(0.999))], said, 5, 1, YES, NO).logp_yes for said in ("no", "yes")]
    assert alone[0] < alone[1] - 5  # a server that lists the answer alone: no is not taken for yes
    assert from_listed([("no", 0.0)], "no", 5, 1, YES, NO).logp_yes < -10


def test_older_shape_of_probabilities_in_a_chat_answer_is_read(served: Served, prompts: list[str], local: Truth):
    served.fault("legacy")
    local.check(yes_of(opened(served.openai()), prompts))


@pytest.mark.parametrize("fault", ["429", "500", "truncated"])
def test_passing_faults_are_tried_again_and_change_nothing(
    fault: str, served: Served, prompts: list[str], local: Truth
):
    served.fault(fault, times=3)
    local.check(yes_of(opened(served.openai()), prompts))
    assert served.seen()["questions"] == len(prompts) + 3


def test_a_server_that_asks_to_wait_is_not_asked_before(served: Served, prompts: list[str]):
    served.fault("429", times=1)
    started = time.monotonic()
    yes_of(opened(served.openai()), prompts[:1])
    assert time.monotonic() - started >= 1.0


def test_a_bad_request_is_not_tried_again_and_its_reason_hides_the_key(served: Served, prompts: list[str]):
    served.fault("400", times=1)
    backend = opened(served.openai(), concurrency=1)
    bad, good = backend.score(prompts[:2], YES, NO, unheard)
    assert "HTTP 400" in bad.reason
    assert KEY not in bad.reason
    assert not bad.passing
    assert not good.reason
    assert served.seen()["questions"] == 2


def test_a_server_that_refuses_everything_ends_the_job(served: Served, prompts: list[str]):
    served.fault("400")
    with pytest.raises(JobError) as ended:
        opened(served.openai()).score(prompts * 2, YES, NO, unheard)  # it is given up after twenty in a row
    assert ended.value.code == "model_unavailable"
    assert KEY not in str(vars(ended.value))


@pytest.mark.parametrize(
    "fields", [{"api_key": "sk-wrong-key-0001"}, {"model": "tiny", "base_url": "http://127.0.0.1:9/v1"}]
)
def test_a_wrong_key_or_address_ends_the_job_and_neither_is_said(
    fields: dict[str, Any], served: Served, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("worker.llm.http.pause_s", lambda *_: 0.0)
    with pytest.raises(JobError) as ended:
        opened(served.openai(**fields)).probe()
    said = str(vars(ended.value)) + repr(ended.value)
    assert ended.value.code == "model_unavailable"
    assert "sk-" not in said
    assert "127.0.0.1" not in said


@pytest.mark.parametrize("shape", ["chat", "gemini"])
@pytest.mark.parametrize("fault", ["ignored", "refused"])
def test_a_server_without_probabilities_is_found_by_one_question(
    fault: str, shape: str, served: Served, prompts: list[str]
):
    served.fault(fault)
    backend = opened(entry_of(served, shape))
    assert not backend.probe().logprobs
    assert served.seen()["questions"] == (1 if fault == "ignored" else 2)


@pytest.mark.parametrize("shape", ["chat", "gemini"])
@pytest.mark.parametrize("way", ["grade", "votes"])
def test_grades_and_votes_are_asked_of_a_server_without_probabilities_and_follow_what_it_thinks(
    way: Any, shape: str, served: Served, pool: Pool
):
    served.fault("ignored")
    backend = opened(entry_of(served, shape))
    asked = [Prompt("signal-1", way).about(text) for text in pool[0][200:212]]
    answers = ask(backend, asked, way, 3, unheard)
    assert all(not one.reason and one.logp_yes < 0 for one in answers)
    again = ask(opened(entry_of(served, shape)), asked, way, 3, unheard)
    assert [one.logp_yes for one in answers] == [one.logp_yes for one in again]
    assert served.seen()["questions"] == 2 * 12 * (3 if way == "grade" else 5)
    good = np.array(pool[1][200:212])
    means = [
        np.mean([one.logp_yes for one, is_good in zip(answers, good, strict=True) if is_good == side])
        for side in (True, False)
    ]
    assert means[0] > means[1]


def test_tokens_that_a_server_does_not_count_are_estimated(served: Served):
    backend = opened(served.openai())
    assert isinstance(backend, Remote)
    sent = backend.wire.text_request("word " * 100, None, 24, Sampling())
    said = {"choices": [{"message": {"content": "no, and for many reasons that I give"}}]}
    counted = _counted(backend.wire.read_text(said, None), sent)
    assert counted.n_in_tokens >= 100
    assert counted.n_out_tokens >= 9
    told = backend.wire.read_text(said | {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}, None)
    assert (_counted(told, sent).n_in_tokens, _counted(told, sent).n_out_tokens) == (7, 3)


def test_answers_that_are_lost_count_as_paid(served: Served, prompts: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.llm.http.pause_s", lambda *_: 0.0)
    served.fault("truncated")
    backend = opened(served.openai())
    [lost] = backend.score(prompts[:1], YES, NO, unheard)
    assert lost.reason
    assert lost.n_in_tokens >= TRIES * len(prompts[0].encode()) // 4
    served.fault("429")
    [busy] = backend.score(prompts[:1], YES, NO, unheard)
    assert (busy.passing, busy.n_in_tokens) == (True, 0)


def test_addresses_that_a_server_quotes_are_taken_out(served: Served):
    backend = opened(served.openai())
    assert isinstance(backend, Remote)
    place = served.address.removeprefix("http://")
    text = f"upstream http://10.1.2.3:8080/v1?key=abc refused {place} and {place.split(':')[0]}: {KEY} is late"
    said = backend.server._cleaned(json.dumps({"error": {"message": text}}))
    assert said == "upstream *** refused *** and ***: *** is late"


def test_identity_when_answers_may_change_then_changes_and_a_new_key_does_not(served: Served):
    entries = [{}, {"structured": "none"}, {"extra": {"top_p": 0.5}}, {"model": "other"}]
    found = [opened(served.openai(**one)).identity for one in entries]
    assert len(set(found)) == 4
    assert opened(served.openai(api_key="another", requests_per_minute=9)).identity == found[0]


def test_nested_brackets_without_end_are_no_json():
    deep = "[" * 200_000
    assert _parsed(deep, lines=False) is None
    assert generated(deep, {"type": "object"}, 1, 1).reason == "an answer that is no JSON"


def test_a_batch_whose_answers_cannot_be_read_ends_the_attempt_and_not_the_answers(
    served: Served, prompts: list[str], monkeypatch: pytest.MonkeyPatch
):
    ctx = Context()
    with monkeypatch.context() as broken:
        broken.setattr(Server, "lines", lambda *_: Failed("HTTP 500", 500, passing=True))
        with pytest.raises(JobError, match="cannot be read"):
            opened(served.openai(batch=True), ctx).score(prompts[:4], YES, NO, unheard)
    answers = opened(served.openai(batch=True), ctx).score(prompts[:4], YES, NO, unheard)
    assert all(not one.reason for one in answers)
    assert served.seen()["questions"] == 1


def test_a_blocked_document_has_no_score_and_a_reason(served: Served, prompts: list[str]):
    served.fault("blocked", times=1)
    blocked, other = opened(served.gemini(), concurrency=1).score(prompts[:2], YES, NO, unheard)
    assert blocked.reason == "blocked: SAFETY"
    assert not other.reason


def test_gemini_is_asked_not_to_think(served: Served, prompts: list[str]):
    opened(served.gemini()).score(prompts[:1], YES, NO, unheard)
    opened(served.gemini(thinking_budget=None)).score(prompts[:1], YES, NO, unheard)
    first, second = (one["generationConfig"] for one in served.seen()["bodies"])
    assert first["thinkingConfig"] == {"thinkingBudget": 0}
    assert "thinkingConfig" not in second


def test_no_more_questions_are_open_than_allowed(served: Served, prompts: list[str]):
    yes_of(opened(served.openai(), concurrency=3), prompts)
    assert 2 <= served.seen()["most_at_once"] <= 3


def test_asking_a_slow_server_when_stopped_then_ends_within_two_seconds(served: Served, prompts: list[str]):
    served.fault("slow")
    ctx = Context()
    threading.Timer(0.5, ctx.stop).start()

    def told(done: int) -> None:
        ctx.progress(done, len(prompts))

    started = time.monotonic()
    with pytest.raises(Cancelled):
        opened(served.openai()).score(prompts, YES, NO, told)
    assert time.monotonic() - started < 2.0


def test_a_batch_when_the_attempt_is_killed_while_it_waits_then_is_not_sent_again(served: Served, prompts: list[str]):
    ctx = Context()

    def killed(done: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        opened(served.openai(batch=True), ctx).score(prompts[:4], YES, NO, killed)
    assert served.seen()["questions"] == 1
    answers = opened(served.openai(batch=True), ctx).score(prompts[:4], YES, NO, unheard)
    assert all(not one.reason for one in answers)
    assert served.seen()["questions"] == 1


@pytest.mark.parametrize("shape", ["chat", "gemini"])
def test_generated_json_fits_its_schema_or_is_no_answer(shape: str, served: Served, prompts: list[str]):
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
    backend = opened(entry_of(served, shape))
    [fits] = backend.generate(prompts[:1], schema)
    assert isinstance(fits.value["score"], int)
    [unfit] = backend.generate(prompts[:1], {**schema, "required": ["name"]})
    assert unfit.reason.startswith("an answer of another shape")


def test_unknown_names_and_incomplete_entries_say_what_to_do():
    for credentials, hint in (
        ({}, "none"), ({"other": {}}, "other"), ({"judge": {"backend": "psychic"}}, "operator"),
        ({"judge": {"backend": "openai-compatible", "model": "m"}}, "operator"),
        ({"judge": {"backend": "openai-compatible", "model": "m", "base_url": "file:///etc/passwd"}}, "operator"),
        ({"judge": {"backend": "openai-compatible", "model": "m", "base_url": "http://u:p@host/v1"}}, "operator"),
    ):  # fmt: skip
        with pytest.raises(JobError) as refused:
            open_backend(credentials, "judge", Context())
        assert refused.value.code == "model_unavailable"
        assert hint in refused.value.hint


def test_statuses_that_may_pass_and_pauses_between_tries():
    assert [status for status in (400, 401, 403, 404, 408, 409, 422, 429, 500, 503) if worth_another(status)] == [
        408, 409, 429, 500, 503,
    ]  # fmt: skip
    rng = random.Random(0)
    pauses = [pause_s(failed, "", rng) for failed in range(1, 6)]
    assert all(0.25 * 2**at <= pause <= 0.5 * 2**at for at, pause in enumerate(pauses))
    assert pause_s(1, "7", rng) == 7.0
    assert pause_s(1, "soon", rng) < 1
    assert pause_s(1, "Wed, 21 Oct 2015 07:28:00 GMT", rng) < 1


def test_a_bucket_gives_no_more_than_its_rate_whatever_the_size_of_a_taking():
    now = 0.0
    bucket = Bucket(60, clock=lambda: now)
    given = 0
    while now < 60:
        pause = bucket.wait_s(5)
        given += 5 * (pause == 0.0)
        now += pause
    assert 60 <= given <= 75
    assert Bucket(0).wait_s(10**9) == 0.0
    assert Bucket(60, clock=lambda: 0.0).wait_s(1_000) == 0.0
