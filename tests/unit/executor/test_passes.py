"""A pass over shards: merged in order, resumed where it was, whatever its partials are made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.executor.maps import Waves, add
from worker.contract.context import Checkpoint, Context
from worker.contract.errors import Cancelled
from worker.contract.keep import Keep
from worker.executor.partials import from_arrays, to_arrays
from worker.executor.passes import map_shards, run_pass


class Attempt(Context):
    """What an attempt leaves behind is there for the next one; it is stopped after `stop_after` shards in all."""

    def __init__(self, folder: Path, points: dict[str, Checkpoint] | None = None, stop_after: int = -1) -> None:
        super().__init__(_points=dict(points or {}))
        self.folder, self.stop_after, self.saved = folder, stop_after, dict(points or {})

    def open_keep(self, path: str) -> Keep:
        return Keep(self.folder / path)

    def save_checkpoint(self, points: Mapping[str, Checkpoint]) -> None:
        self.saved = dict(points)

    def report_progress(self, step: int, total: int, phase: str, metrics: Mapping[str, float], fraction: float) -> None:
        if step == self.stop_after and total > 1:
            self.stop()


def straight(shards: Sequence[int]) -> dict[str, Any]:
    whole = Waves(ready=1)(shards[0])
    for shard in shards[1:]:
        whole = add(whole, Waves(ready=1)(shard))
    return whole


def test_partials_are_merged_from_left_to_right() -> None:
    shards = [5, 3, 9, 1]
    map_ = Waves()
    merged = run_pass(map_, shards, add, Context(), name="waves")
    np.testing.assert_array_equal(merged["sum"], straight(shards)["sum"])
    assert merged["rows"] == 4018
    assert map_.mapped == shards
    assert map_.ready == 1


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_stopped_pass_goes_on_where_it_was(tmp_path: Path, stop_after: int) -> None:
    shards, first, second = [5, 3, 9, 1], Waves(), Waves()
    attempt = Attempt(tmp_path, stop_after=stop_after)
    with pytest.raises(Cancelled):
        run_pass(first, shards, add, attempt, name="waves")
    again = Attempt(tmp_path, attempt.saved)
    merged = run_pass(second, shards, add, again, name="waves")
    np.testing.assert_array_equal(merged["sum"], straight(shards)["sum"])
    assert first.mapped + second.mapped == shards


def test_a_pass_that_was_finished_is_read_back_and_leaves_no_running_merge(tmp_path: Path) -> None:
    first = Attempt(tmp_path)
    merged = run_pass(Waves(), [5, 3], add, first, name="waves")
    assert first.saved["/waves"].arrays == {}
    again = Waves()
    killed_before_the_point_was_written = Checkpoint(1, to_arrays(Waves(ready=1)(5)), {"shards": 2})
    second = Attempt(tmp_path, {"/waves": killed_before_the_point_was_written})
    read = run_pass(again, [5, 3], add, second, name="waves")
    np.testing.assert_array_equal(read["sum"], merged["sum"])
    assert again.mapped == []
    assert second.saved["/waves"].arrays == {}


def test_other_shards_are_another_pass(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, stop_after=1)
    with pytest.raises(Cancelled):
        run_pass(Waves(), [5, 3, 9, 1], add, attempt, name="waves")
    merged = run_pass(Waves(), [5, 3], add, Attempt(tmp_path, attempt.saved), name="waves")
    np.testing.assert_array_equal(merged["sum"], straight([5, 3])["sum"])


@pytest.mark.parametrize("stop_after", [1, 3])
def test_mapped_shards_are_read_back(tmp_path: Path, stop_after: int) -> None:
    shards, first, second = [5, 3, 9, 1], Waves(), Waves()
    seen: list[object] = []

    def take(partial: dict[str, Any]) -> None:
        seen.append(partial["rows"])
        partial["sum"][:] = 0  # the caller's own, which nobody sees again

    with pytest.raises(Cancelled):
        deque(map(take, map_shards(first, shards, Attempt(tmp_path, stop_after=stop_after), name="waves")), maxlen=0)
    again = list(map_shards(second, shards, Attempt(tmp_path), name="waves"))
    assert [one["rows"] for one in again] == [1005, 1003, 1009, 1001]
    assert seen == [1005, 1003, 1009, 1001][:stop_after]
    for one, shard in zip(again, shards, strict=True):
        np.testing.assert_array_equal(one["sum"], Waves(ready=1)(shard)["sum"])
    assert first.mapped + second.mapped == shards


def test_what_is_not_worth_keeping_is_made_again(tmp_path: Path) -> None:
    again = Waves()
    assert len(list(map_shards(Waves(), [5, 3], Attempt(tmp_path), name="waves", keep=False))) == 2
    assert len(list(map_shards(again, [5, 3], Attempt(tmp_path), name="waves", keep=False))) == 2
    assert again.mapped == [5, 3]
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_pass_needs_a_shard() -> None:
    assert list(map_shards(Waves(), [], Context(), name="waves")) == []
    with pytest.raises(ValueError, match="needs a shard"):
        run_pass(Waves(), [], add, Context(), name="waves")


def test_partials_come_back_as_they_were() -> None:
    partial = {
        "sketch": np.arange(6, dtype=np.int64).reshape(2, 3)[:, ::2],
        "pair": (np.float32(0.1), True, None, 2**70, 1e-300, "é", b"\0\xff"),
        "list": [np.zeros(0, np.uint8), {"a": np.array(3, np.int16)}],
    }
    back = from_arrays({name: np.array(array) for name, array in to_arrays(partial).items()})
    np.testing.assert_array_equal(back["sketch"], partial["sketch"])
    assert back["pair"] == partial["pair"]
    assert back["pair"][0].dtype == np.float32
    assert back["list"][0].dtype == np.uint8
    assert back["list"][1]["a"].dtype == np.int16


@pytest.mark.parametrize("partial", [np.array(["a"]), np.array([None]), {1: 2}, {1, 2}, np.zeros(2, complex)])
def test_what_no_partial_may_hold_is_refused(partial: object) -> None:
    with pytest.raises(TypeError, match="partial"):
        to_arrays(partial)
