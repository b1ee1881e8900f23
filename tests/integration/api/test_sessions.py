"""Signing in to the pages: the cookie, its limits, and who may change what with it."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.api import sessions
from app.settings import Settings
from tests.integration.api.conftest import Api


class Browser:
    """A browser without scripts: it keeps its cookie, follows nothing, and sends the token of the page it saw last."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.cookie = ""
        self.token = ""

    def get(self, path: str, **headers: str) -> Any:
        answer = self.client.get(path, headers=self._headers(headers), follow_redirects=False)
        if found := re.search(r'<meta name="csrf-token" content="([^"]*)">', answer.text):
            self.token = found[1]
        return answer

    def post(self, path: str, form: dict[str, Any] | None = None, **headers: str) -> Any:
        fields = {"csrf_token": self.token, **(form or {})}
        answer = self.client.post(path, data=fields, headers=self._headers(headers), follow_redirects=False)
        if (given := answer.headers.get("set-cookie")) is not None:
            self.cookie = given.partition(";")[0]
        return answer

    def sign_in(self, key: str, **form: str) -> Any:
        answer = self.post("/ui/sign-in", {"key": key, **form})
        self.client.cookies.clear()
        self.get("/ui/datasets")
        return answer

    def _headers(self, further: dict[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in further.items()}
        return {**({"Cookie": self.cookie} if self.cookie else {}), **named}


def signed_in(api: Api) -> Browser:
    browser = Browser(api.client)
    assert browser.sign_in(api.token).status_code == 303
    return browser


def test_sign_in_when_the_key_is_right_then_a_cookie_that_does_not_hold_it(api: Api) -> None:
    browser = Browser(api.client)
    answer = browser.sign_in(api.token, next="/ui/jobs?state=failed")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/jobs?state=failed")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert api.token.rpartition("_")[2] not in cookie
    assert browser.get("/ui/jobs").status_code == 200
    assert "Secure" not in cookie.split("; "), "this connection has no TLS"
    safe = Browser(api.client).post("/ui/sign-in", {"key": api.token}, X_Forwarded_Proto="https")
    assert "Secure" in safe.headers["set-cookie"].split("; ")


@pytest.mark.parametrize("key", ["", "dsk_x_y", "nonsense", "dsk_\0_x"])
def test_sign_in_when_the_key_is_wrong_then_said_so_and_no_cookie(client: TestClient, key: str) -> None:
    answer = Browser(client).post("/ui/sign-in", {"key": key})
    assert answer.status_code == 401
    assert "no valid key" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("next", ["//evil.example", "https://evil.example/ui/", "/v1/me", "/ui\\..\\x", "/ui/\nx"])
def test_sign_in_when_it_is_to_go_elsewhere_afterwards_then_to_the_start(api: Api, next: str) -> None:
    assert Browser(api.client).sign_in(api.token, next=next).headers["location"] == "/ui"


def test_page_when_nobody_signed_in_then_to_the_sign_in_and_back(client: TestClient) -> None:
    answer = client.get("/ui/jobs?state=failed", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/sign-in?next=%2Fui%2Fjobs%3Fstate%3Dfailed")
    part = client.get("/ui/jobs", headers={"HX-Request": "true"}, follow_redirects=False)
    assert part.headers["hx-redirect"] == "/ui/sign-in", "a part of a page does not become a sign-in inside it"


def test_page_when_a_link_of_another_site_leads_to_it_then_asked_for_again_from_here(api: Api) -> None:
    elsewhere = api.client.get("/ui/sign-in?next=%2Fui%2Fjobs", headers={"Sec-Fetch-Site": "cross-site"}).text
    assert '<meta http-equiv="refresh" content="0; url=/ui/jobs">' in elsewhere
    evil = "/ui/sign-in?next=https%3A%2F%2Fevil.example"
    assert "refresh" not in api.client.get(evil, headers={"Sec-Fetch-Site": "cross-site"}).text
    assert "refresh" not in api.client.get("/ui/sign-in?next=%2Fui%2Fjobs").text


def test_session_when_its_key_is_revoked_then_over(api: Api) -> None:
    browser = signed_in(api)
    key_id = "key_" + api.token.split("_")[1]
    assert api.delete(f"/v1/api-keys/{key_id}?force=true").status_code == 204
    assert browser.get("/ui/jobs").status_code == 303
    assert api.client.get("/v1/me", headers={"Cookie": browser.cookie}).status_code == 401


def test_session_when_signed_out_then_the_cookie_goes(api: Api) -> None:
    browser = signed_in(api)
    answer = browser.post("/ui/sign-out")
    assert answer.status_code == 303
    assert "Max-Age=0" in answer.headers["set-cookie"]


def test_session_when_it_is_changed_or_old_or_of_another_secret_then_nobody(
    api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = "key_" + api.token.split("_")[1]
    good = sessions.new_session(settings.secret, key_id)
    body, _, signature = good.rpartition(".")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    old = sessions.new_session(settings.secret, key_id)
    monkeypatch.undo()
    wrong = [
        old,
        f"{body.replace(key_id, 'key_other')}.{signature}",
        f"{body}.{signature[:-1]}{'0' if signature[-1] != '0' else '1'}",
        sessions.new_session("another secret", key_id),
        "",
        "a.b.c.d",
        "é",
        good * 40,
    ]
    for session in wrong:
        headers = {b"Cookie": f"{sessions.COOKIE}={session}".encode()}
        assert api.client.get("/v1/me", headers=headers).status_code == 401, session
    assert api.client.get("/v1/me", headers={"Cookie": f"{sessions.COOKIE}={good}"}).json()["key_id"] == key_id


def test_api_when_asked_in_a_session_then_reads_and_changes_only_with_the_token(api: Api) -> None:
    browser = signed_in(api)
    body = {"name": "x", "kind": "interactions"}
    cookie = {"Cookie": browser.cookie}
    assert api.client.get("/v1/datasets", headers=cookie).status_code == 200
    for token in ("", "0" * 64, "é"):
        headers = {**cookie, "X-CSRF-Token": token.encode("latin-1")}
        assert api.client.post("/v1/datasets", json=body, headers=headers).status_code == 401
    assert api.get("/v1/datasets").json()["items"] == []
    answer = api.client.post("/v1/datasets", json=body, headers={**cookie, "X-CSRF-Token": browser.token})
    assert answer.status_code == 201


def test_form_when_it_lacks_the_token_or_comes_from_elsewhere_then_nothing_changes(api: Api, other: Api) -> None:
    browser, stranger = signed_in(api), signed_in(other)
    form = {"name": "x", "kind": "interactions"}
    tries: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"csrf_token": ""}, {}),
        ({"csrf_token": stranger.token}, {}),
        ({}, {"Sec_Fetch_Site": "cross-site"}),
        ({}, {"Sec_Fetch_Site": "same-site"}),
        ({}, {"Origin": "https://evil.example"}),
        ({}, {"Origin": "null"}),
    ]
    for fields, headers in tries:
        answer = browser.post("/ui/datasets", {**form, **fields}, **headers)
        assert answer.status_code == 403, (fields, headers)
        assert "not of your session" in answer.text
    assert api.get("/v1/datasets").json()["items"] == []
    assert browser.post("/ui/datasets", form, Sec_Fetch_Site="same-origin").status_code == 303
    assert len(api.get("/v1/datasets").json()["items"]) == 1


def test_sign_in_form_when_another_site_sends_it_then_refused(api: Api) -> None:
    answer = Browser(api.client).post("/ui/sign-in", {"key": api.token}, Sec_Fetch_Site="cross-site")
    assert (answer.status_code, answer.headers.get("set-cookie")) == (303, None)


def test_key_when_it_is_sent_beside_a_session_then_it_counts(api: Api, other: Api) -> None:
    browser = signed_in(api)
    answer = other.get("/v1/me", headers={"Cookie": browser.cookie})
    assert answer.json()["tenant_id"] == other.tenant_id
    wrong = api.client.get("/v1/me", headers={"Cookie": browser.cookie, "Authorization": "Bearer dsk_x_y"})
    assert wrong.status_code == 401
