"""Who asks with many connections waits for himself; others get the next free place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.api.places import WHO, Places


class Visits:
    """Visits, each until it is let go."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.inside: list[str] = []
        self._ends: list[tuple[str, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self, *names: str) -> None:
        for name in names:
            self.tasks.append(asyncio.create_task(self._visit(name)))
        await settle()

    async def end(self, name: str) -> None:
        index = next(index for index, (who, _) in enumerate(self._ends) if who == name)
        self._ends.pop(index)[1].set()
        await settle()

    async def _visit(self, name: str) -> None:
        WHO.set(name)
        async with self.places.visit():
            self.inside.append(name)
            end = asyncio.Event()
            self._ends.append((name, end))
            try:
                await end.wait()
            finally:
                self.inside.remove(name)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def share_is_kept() -> None:
    visits = Visits(Places(count=4, share=2))
    await visits.begin("a", "a", "a", "b")
    assert visits.inside == ["a", "a", "b"]
    await visits.end("a")
    assert sorted(visits.inside) == ["a", "a", "b"]


async def free_places_go_round() -> None:
    visits = Visits(Places(count=1, share=1))
    await visits.begin("a", "a", "a", "b", "c")
    order = []
    for _ in range(5):
        [inside] = visits.inside
        order.append(inside)
        await visits.end(inside)
    assert order == ["a", "a", "b", "c", "a"]


async def who_gives_up_takes_no_place() -> None:
    visits = Visits(Places(count=1, share=1))
    await visits.begin("a", "b", "b")
    visits.tasks[1].cancel()
    await settle()
    await visits.end("a")
    assert visits.inside == ["b"]
    visits.tasks[2].cancel()
    await settle()
    assert visits.inside == []
    await visits.begin("c")
    assert visits.inside == ["c"]


@pytest.mark.parametrize("story", [share_is_kept, free_places_go_round, who_gives_up_takes_no_place])
def test_places_when_visited_then_keep_their_rules(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())
