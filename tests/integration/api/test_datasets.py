"""Datasets, files and versions over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from sqlalchemy import func, update

from app.jobs.commit import Outcome
from app.store.tables import worker
from tests.integration.api.conftest import Api, add_worker


def digest(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def test_create_dataset_when_read_back_then_is_what_was_sent(api: Api) -> None:
    sent = {
        "name": "clicks",
        "kind": "interactions",
        "columns": {"user": "u"},
        "options": {"split": "x"},
        "tags": {"a": "b"},
    }
    answer = api.post("/v1/datasets", json=sent)
    assert answer.status_code == 201
    made = answer.json()
    assert {name: made[name] for name in sent} == sent
    assert (made["state"], made["latest_version"]) == ("open", 0)
    assert api.get(answer.headers["location"]).json() == made


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "x"}, "/kind"),
        ({"name": "", "kind": "graph"}, "/name"),
        ({"name": "x", "kind": ""}, "/kind"),
        ({"name": "x", "kind": "graph", "colour": 1}, "/colour"),
        ({"name": "x\0", "kind": "graph"}, ""),
        ({"name": "x", "kind": "graph", "options": {"a": "\ud800"}}, ""),
    ],
)
def test_create_dataset_when_a_field_is_wrong_then_the_problem_points_at_it(api: Api, body: dict, pointer: str) -> None:
    # Not json=: the client itself would refuse half of a surrogate pair.
    answer = api.post("/v1/datasets", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_request"
    assert answer.json()["errors"][0]["pointer"] == pointer


WRONG_READING = [
    ({"options": {"splt": "x"}}, "/options/splt", "Did you mean split? Known: split."),
    ({"options": {"split": 1}}, "/options/split", "How events are held out."),
    ({"options": {"columns": {"user": "u"}}}, "/options/columns", "Known: split."),
    ({"columns": {"usr": "u"}}, "/columns/usr", "Did you mean user? Known: item, time/s, user."),
    ({"columns": {"a/b~": "u"}}, "/columns/a~1b~0", "Known: item, time/s, user."),
    ({"columns": {"time/s": 1.5}}, "/columns/time~1s", "Which column is what."),
]


@pytest.mark.parametrize(("change", "pointer", "hint"), WRONG_READING)
def test_dataset_when_options_or_columns_do_not_fit_the_kind_then_refused_before_any_file_is_sent(
    api: Api, change: dict, pointer: str, hint: str
) -> None:
    made = api.post("/v1/datasets", json={"name": "x", "kind": "interactions", **change})
    assert api.get("/v1/datasets").json()["items"] == []
    path = f"/v1/datasets/{api.dataset()['id']}"
    changed = api.request("PATCH", path, json=change, headers={"If-Match": "*"})
    for answer in (made, changed):
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "invalid_params")
        assert (problem["errors"][0]["pointer"], problem["hint"]) == (pointer, hint)
    assert api.get(path).json()["columns"] == api.get(path).json()["options"] == {}


def test_get_dataset_when_unchanged_then_304(api: Api) -> None:
    path = f"/v1/datasets/{api.dataset()['id']}"
    tag = api.get(path).headers["etag"]
    again = api.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


def test_patch_dataset_when_etag_is_current_then_changes_and_stale_is_refused(api: Api) -> None:
    path = f"/v1/datasets/{api.dataset()['id']}"
    tag = api.get(path).headers["etag"]
    assert api.request("PATCH", path, json={"name": "n"}).status_code == 428
    changed = api.request("PATCH", path, json={"name": "n", "tags": {"k": "v"}}, headers={"If-Match": tag})
    assert (changed.status_code, changed.json()["name"], changed.json()["tags"]) == (200, "n", {"k": "v"})
    assert api.request("PATCH", path, json={"name": "m"}, headers={"If-Match": tag}).status_code == 412
    current = changed.headers["etag"]
    assert api.request("PATCH", path, json={"name": "m"}, headers={"If-Match": current}).status_code == 200


def test_delete_dataset_when_a_job_uses_it_then_409_unless_forced(api: Api) -> None:
    reference = api.version()
    path = f"/v1/datasets/{reference.partition('@')[0]}"
    job = api.job(reference)
    refused = api.delete(path, headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["code"]) == (409, "dataset_in_use")
    assert job["id"] in refused.json()["detail"]
    assert api.delete(f"{path}?force=true", headers={"If-Match": "*"}).status_code == 204
    assert api.get(path).status_code == 404
    assert path.rpartition("/")[2] not in [item["id"] for item in api.get("/v1/datasets").json()["items"]]
    assert api.get(f"{path}/versions/1").status_code == 404


def test_delete_dataset_when_only_a_further_input_then_409(api: Api) -> None:
    used, main = api.version(b"a"), api.version(b"b")
    api.job(main, method="evaluate", inputs={"summary": used})
    path = f"/v1/datasets/{used.partition('@')[0]}"
    assert api.delete(path, headers={"If-Match": "*"}).status_code == 409


def test_put_file_when_digest_matches_then_stored_and_readable(api: Api) -> None:
    path = f"/v1/datasets/{api.dataset()['id']}/files/part/one.csv"
    content = b"user,item\n" * 300_000
    put = api.put(path, content=content, headers={"Content-Digest": digest(content)})
    assert put.status_code == 201
    assert put.json() == {"path": "part/one.csv", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    got = api.get(path)
    assert got.content == content
    assert got.headers["repr-digest"] == digest(content)
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''one.csv"


def test_put_file_when_put_again_then_replaced(api: Api) -> None:
    path = f"/v1/datasets/{api.dataset()['id']}/files/a.csv"
    assert [api.put(path, content=c).status_code for c in (b"1", b"22")] == [201, 200]
    assert api.get(path).content == b"22"


def test_put_file_when_digest_differs_then_refused_and_not_stored(api: Api) -> None:
    path = f"/v1/datasets/{api.dataset()['id']}/files/a.csv"
    put = api.put(path, content=b"1", headers={"Content-Digest": digest(b"2")})
    assert (put.status_code, put.json()["code"]) == (422, "checksum_mismatch")
    assert api.get(path).status_code == 404


@pytest.mark.parametrize("field", ["sha-256=abc", "sha-256=:AAAA:", "sha-256=:***:"])
def test_put_file_when_digest_is_malformed_then_400(api: Api, field: str) -> None:
    path = f"/v1/datasets/{api.dataset()['id']}/files/a.csv"
    assert api.put(path, content=b"1", headers={"Content-Digest": field}).status_code == 400


@pytest.mark.parametrize("name", ["..", "a//b", "a b", "a/", "%2e%2e/x", "a%5Cb", "x" * 256, "/".join("abcdefghij")])
def test_put_file_when_path_is_not_plain_then_refused(api: Api, name: str) -> None:
    dataset_id = api.dataset()["id"]
    answer = api.put(f"/v1/datasets/{dataset_id}/files/{name}", content=b"1")
    assert answer.status_code in (404, 405, 422)  # the client itself resolves plain dots
    assert api.get(f"/v1/datasets/{dataset_id}/files").json()["items"] == []


def test_put_file_when_only_case_differs_then_409(api: Api) -> None:
    base = f"/v1/datasets/{api.dataset()['id']}/files"
    api.put(f"{base}/Clicks.csv", content=b"1")
    assert api.put(f"{base}/clicks.csv", content=b"1").json()["code"] == "duplicate_file"


def test_list_files_when_paged_then_all_come_once_in_order(api: Api) -> None:
    base = f"/v1/datasets/{api.dataset()['id']}/files"
    names = ["B.csv", "a.csv", "a/b.csv", "z.csv"]
    for name in reversed(names):
        api.put(f"{base}/{name}", content=name.encode())
    seen, token = [], ""
    while True:
        page = api.get(base, params={"page_size": 3, "page_token": token}).json()
        seen += [item["path"] for item in page["items"]]
        if not (token := page["next_page_token"]):
            break
    assert seen == names


def test_delete_file_when_there_then_gone(api: Api) -> None:
    path = f"/v1/datasets/{api.dataset()['id']}/files/a.csv"
    api.put(path, content=b"1")
    assert [api.delete(path).status_code for _ in range(2)] == [204, 404]


def test_commit_when_files_are_there_then_202_with_job_and_version(api: Api) -> None:
    dataset_id = api.dataset()["id"]
    api.put(f"/v1/datasets/{dataset_id}/files/a.csv", content=b"1")
    answer = api.post(f"/v1/datasets/{dataset_id}/commit")
    made = answer.json()
    assert answer.status_code == 202
    assert (made["dataset"], made["version"], made["reference"]) == (dataset_id, 1, f"{dataset_id}@1")
    assert (made["job"]["task"], made["job"]["state"]) == ("ingest", "queued")
    assert answer.headers["location"] == f"/v1/jobs/{made['job']['id']}"
    version = api.get(f"/v1/datasets/{dataset_id}/versions/1").json()
    assert (version["state"], version["job"]) == ("ingesting", made["job"]["id"])
    assert [source["path"] for source in version["sources"]] == ["a.csv"]
    assert api.get(f"/v1/datasets/{dataset_id}").json()["state"] == "ingesting"
    assert api.get(f"/v1/datasets/{dataset_id}/versions/1/preview").json()["code"] == "dataset_not_ready"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ([], "no_files"),
        ([{"path": "b.csv", "sha256": hashlib.sha256(b"1").hexdigest(), "size": 1}], "unknown_file"),
        ([{"path": "a.csv", "sha256": "0" * 64, "size": 1}], "checksum_mismatch"),
        ([{"path": "a.csv", "sha256": hashlib.sha256(b"1").hexdigest(), "size": 2}], "checksum_mismatch"),
    ],
)
def test_commit_when_files_are_not_as_said_then_refused_and_no_version(api: Api, files: list, code: str) -> None:
    dataset_id = api.dataset()["id"]
    api.put(f"/v1/datasets/{dataset_id}/files/a.csv", content=b"1")
    answer = api.post(f"/v1/datasets/{dataset_id}/commit", json={"files": files})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert api.get(f"/v1/datasets/{dataset_id}/versions").json()["items"] == []


def test_version_when_ready_then_preview_and_statistics_are_served(api: Api) -> None:
    dataset_id, _, number = api.version().partition("@")
    base = f"/v1/datasets/{dataset_id}/versions/{number}"
    assert api.get(base).json()["state"] == "ready"
    assert len(api.get(f"{base}/preview").json()["rows"]) == 20
    assert len(api.get(f"{base}/preview?rows=3").json()["rows"]) == 3
    assert api.get(f"{base}/stats").json()["statistics"] == {"users": 1000, "events": 40_000}
    assert api.get(f"/v1/datasets/{dataset_id}/versions/{2**31}").status_code == 422


def test_versions_when_several_then_newest_first_and_paged(api: Api) -> None:
    dataset_id = api.dataset()["id"]
    for content in (b"1", b"2", b"3"):
        api.put(f"/v1/datasets/{dataset_id}/files/a.csv", content=content)
        api.post(f"/v1/datasets/{dataset_id}/commit")
    page = api.get(f"/v1/datasets/{dataset_id}/versions?page_size=2").json()
    assert [item["number"] for item in page["items"]] == [3, 2]
    rest = api.get(
        f"/v1/datasets/{dataset_id}/versions", params={"page_size": 2, "page_token": page["next_page_token"]}
    )
    assert [item["number"] for item in rest.json()["items"]] == [1]
    assert len({item["sources"][0]["sha256"] for item in page["items"]}) == 2


def test_create_dataset_when_no_worker_announced_the_kind_then_names_those_there_are(api: Api) -> None:
    answer = api.post("/v1/datasets", json={"name": "x", "kind": "interaction"})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["errors"][0]["pointer"]) == (422, "unknown_kind", "/kind")
    assert problem["hint"] == "Did you mean interactions? Kinds of this service: graph, interactions."
    assert api.get("/v1/datasets").json()["items"] == []


def test_create_dataset_when_a_worker_lacks_a_package_for_the_kind_then_it_is_named(api: Api) -> None:
    lacks = {"methods": [], "devices": ["cpu"], "unavailable": {"molecules": "rdkit"}}
    lacking = add_worker(api.engine, capabilities=lacks)
    body = {"name": "x", "kind": "molecules"}
    problem = api.post("/v1/datasets", json=body).json()
    assert "the package rdkit is not installed" in problem["detail"]
    with api.engine.begin() as conn:
        conn.execute(update(worker).where(worker.c.id == lacking).values(stopped_at=func.now()))
    assert "rdkit" not in api.post("/v1/datasets", json=body).text


def test_canonical_files_when_a_version_is_ready_then_listed_and_sent(api: Api) -> None:
    reference = api.version(b"user,item\n1,2\n")
    path = f"/v1/datasets/{reference.replace('@', '/versions/')}/files"
    [listed] = api.get(path).json()["items"]
    assert (listed["path"], listed["size"]) == ("x.parquet", 14)
    sent = api.get(f"{path}/x.parquet")
    assert sent.content == b"user,item\n1,2\n"
    assert sent.headers["etag"] == f'"{listed["sha256"]}"'
    part = api.get(f"{path}/x.parquet", headers={"Range": "bytes=5-8"})
    assert (part.status_code, part.content) == (206, b"item")
    for wrong in ("clicks.csv", "source/clicks.csv", "../source/clicks.csv"):
        assert api.get(f"{path}/{wrong}").status_code == 404
    assert api.get(path.replace("/1/", "/2/")).status_code == 404


def test_canonical_files_when_there_are_many_then_paged(api: Api) -> None:
    dataset_id = api.dataset()["id"]
    api.put(f"/v1/datasets/{dataset_id}/files/a.csv", content=b"1")
    job = api.post(f"/v1/datasets/{dataset_id}/commit").json()["job"]["id"]
    names = ["a.parquet", "b/c.parquet", "b/d.json"]
    api.finish(job, Outcome(canonical=api.stored({name: name.encode() for name in names})))
    path = f"/v1/datasets/{dataset_id}/versions/1/files?page_size=2"
    first = api.get(path).json()
    second = api.get(f"{path}&page_token={first['next_page_token']}").json()
    assert [file["path"] for file in first["items"] + second["items"]] == names
    assert second["next_page_token"] == ""
