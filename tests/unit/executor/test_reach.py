"""Whether another machine sees the same files, and what an actor answers when it does not."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.executor.maps import refuse
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.executor.choice import open_executor
from worker.executor.local import Local
from worker.executor.mapper import outcome_of, to_bytes
from worker.executor.passes import map_shards
from worker.executor.ray import Actor, Ray, versions
from worker.executor.reach import check, files_of


@dataclass(frozen=True)
class Part:
    path: Path
    first: int


@pytest.fixture
def shards(tmp_path: Path) -> list[Part]:
    for number in range(3):
        (tmp_path / str(number)).write_text("x" * number)
    return [Part(tmp_path / str(number), number) for number in range(3)]


def test_files_are_found_wherever_a_shard_names_them(shards: list[Part], tmp_path: Path) -> None:
    nested = {"parts": (shards[1], [shards[2].path]), "again": shards[1], "folder": tmp_path, "out": tmp_path / "new"}
    assert files_of(nested) == {str(tmp_path / "1"): 1, str(tmp_path / "2"): 2, str(tmp_path): -1}
    assert files_of(("name", 1.5, None, b"a", Path)) == {}
    check(files_of(nested))


@pytest.mark.parametrize("change", ["removed", "changed", "folder"])
def test_a_file_that_is_not_the_same_is_refused(shards: list[Part], change: str) -> None:
    files = files_of(shards)
    shards[2].path.unlink()
    if change == "changed":
        shards[2].path.write_text("another")
    elif change == "folder":
        shards[2].path.mkdir()
    with pytest.raises(JobError, match="is missing" if change == "removed" else "is another one") as caught:
        check(files)
    assert caught.value.code == "executor_unavailable"
    assert "DISTILLERY_BLOB_DIR" in caught.value.hint


def test_an_actor_refuses_a_shard_it_cannot_see_and_goes_on(shards: list[Part]) -> None:
    actor = Actor()
    assert outcome_of(actor.take_up(to_bytes(first_of), {}, versions())).value() is None
    files = files_of(shards[0])
    shards[0].path.unlink()
    with pytest.raises(JobError, match="cannot see the data"):
        outcome_of(actor.map(to_bytes(shards[0]), files)).value()
    assert outcome_of(actor.map(to_bytes(shards[1]), files_of(shards[1]))).value() == 1


def first_of(part: Part) -> int:
    return part.first


def test_an_actor_of_another_installation_is_refused() -> None:
    other = {**versions(), "numpy": "1.0"}
    with pytest.raises(JobError, match=r"another installation.* numpy .*, not 1\.0"):
        outcome_of(Actor().take_up(to_bytes(refuse), {}, other)).value()


def test_without_ray_a_pass_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(JobError, match="not installed") as caught:
        list(map_shards(refuse, range(2), Context(executor=Ray(2)), name="pass"))
    assert (caught.value.code, "distillery-service[ray]" in caught.value.hint) == ("executor_unavailable", True)


def test_an_operator_chooses_by_name() -> None:
    assert isinstance(open_executor("local", 3, threads=3), Local)
    assert isinstance(open_executor("ray", 3), Ray)
    with pytest.raises(ValueError, match="local or ray"):
        open_executor("dask", 3)
