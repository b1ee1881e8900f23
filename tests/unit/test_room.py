"""What is open at once: each has a share, and whoever comes later still finds room."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from app.api.places import WHO
from app.api.problems import Problem
from app.api.room import Room, too_many_streams


def fill(stack: ExitStack, room: Room, who: str, tries: int = 100) -> tuple[int, set[str]]:
    """How many of so many tries find room, and the codes of the refusals."""
    WHO.set(who)
    taken, codes = 0, set()
    for _ in range(tries):
        expected = room.has_room()
        try:
            stack.enter_context(room.entered())
            taken += 1
        except Problem as refused:
            codes.add(refused.code)
            assert not expected
        else:
            assert expected
    return taken, codes


def test_room_when_one_takes_all_it_can_then_its_share_and_a_cure() -> None:
    room = Room(100, 20, too_many_streams)
    with ExitStack() as stack:
        assert fill(stack, room, "a") == (20, {"too_many_open"})
        assert "GET /v1/events" in too_many_streams(20).hint
        assert fill(stack, room, "b", 5) == (5, set())
    with ExitStack() as stack:
        assert fill(stack, room, "a") == (20, {"too_many_open"}), "what was left is free again"


def test_room_when_many_take_all_they_can_then_the_next_still_finds_some() -> None:
    room = Room(100, 60, too_many_streams)
    with ExitStack() as stack:
        found = [fill(stack, room, f"tenant {number}") for number in range(5)]
    assert [taken for taken, _ in found] == [50, 25, 13, 6, 3]
    assert all(codes == {"busy"} for _, codes in found)


def test_room_when_full_then_busy() -> None:
    room = Room(0, 5, too_many_streams)
    with pytest.raises(Problem) as refused, room.entered():
        pass
    assert refused.value.code == "busy"
    assert refused.value.status_code == 503
