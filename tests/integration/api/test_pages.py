"""Pages of lists: nothing skipped, nothing repeated, tokens cannot be made up."""

from __future__ import annotations

import base64

import pytest

from tests.integration.api.conftest import Api


def walk(api: Api, path: str, size: int, meanwhile: object = None) -> list[str]:
    seen: list[str] = []
    token = ""
    while True:
        page = api.get(path, params={"page_size": size, "page_token": token}).json()
        seen += [item["id"] for item in page["items"]]
        if callable(meanwhile):
            meanwhile()
        if not (token := page["next_page_token"]):
            return seen


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_list_when_rows_are_inserted_meanwhile_then_each_old_row_comes_once(api: Api, size: int) -> None:
    old = [api.dataset(name=f"d{n}")["id"] for n in range(7)]
    seen = walk(api, "/v1/datasets", size, lambda: api.dataset(name="new"))
    assert seen == old[::-1]


def test_list_when_rows_share_a_time_then_each_comes_once(api: Api) -> None:
    from sqlalchemy import insert

    from app.store.ids import new_id
    from app.store.tables import dataset

    ids = [new_id("ds") for _ in range(9)]
    with api.engine.begin() as conn:  # one transaction: one now()
        for row_id in ids:
            conn.execute(insert(dataset).values(id=row_id, tenant_id=api.tenant_id, name="n", kind="graph"))
    assert sorted(walk(api, "/v1/datasets", 2)) == sorted(ids)


def test_page_size_when_negative_then_400_and_when_huge_then_coerced(api: Api) -> None:
    answer = api.get("/v1/jobs?page_size=-1")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_page")
    assert api.get("/v1/jobs?page_size=5000").status_code == 200
    assert api.get("/v1/jobs?page_size=x").status_code in (400, 422)


def test_page_token_when_tampered_or_of_other_filters_then_400(api: Api, other: Api) -> None:
    for _ in range(3):
        api.dataset()
        other.dataset()
    token = api.get("/v1/datasets?page_size=1").json()["next_page_token"]
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    wrong = ["x", token[:-2], "é", "%00" * 3, "A" * 40]
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1
        wrong.append(base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode())
    for given in wrong:
        answer = api.get("/v1/datasets", params={"page_size": 1, "page_token": given})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_page"), given
    good = {"page_size": 1, "page_token": token}
    assert api.get("/v1/datasets", params=good).status_code == 200
    assert api.get("/v1/datasets", params={**good, "kind": "interactions"}).status_code == 400
    assert api.get("/v1/jobs", params=good).status_code == 400
    assert other.get("/v1/datasets", params=good).status_code == 400
