from __future__ import annotations

from dataclasses import dataclass

from worker.runtime.watchdog import Watchdog


@dataclass
class World:
    """A clock, a worker and a queue that a test turns as it likes."""

    now: float = 0.0
    busy: bool = False
    unheard: int = 0

    def watchdog(self) -> Watchdog:
        return Watchdog(100.0, is_busy=lambda: self.busy, unheard=lambda: self.unheard, clock=lambda: self.now)


def test_consumer_when_probes_stay_unheard_for_too_long_then_is_dead_at_the_second_look() -> None:
    world = World()
    watchdog = world.watchdog()
    world.now, world.unheard = 101, 4
    assert [watchdog.is_dead(), watchdog.is_dead()] == [False, True]


def test_consumer_when_it_hears_the_probe_between_two_looks_then_lives() -> None:
    world = World()
    watchdog = world.watchdog()
    world.now, world.unheard = 101, 4
    assert not watchdog.is_dead()
    watchdog.hear()
    assert not watchdog.is_dead()
    world.now = 200
    assert not watchdog.is_dead()


def test_consumer_when_nobody_sends_probes_then_lives() -> None:
    world = World()
    watchdog = world.watchdog()
    world.now = 10_000
    assert not any(watchdog.is_dead() for _ in range(3))


def test_consumer_when_a_job_runs_then_lives_and_its_time_begins_with_the_end_of_the_job() -> None:
    world = World(busy=True, unheard=4)
    watchdog = world.watchdog()
    world.now = 10_000
    assert not any(watchdog.is_dead() for _ in range(3))
    world.busy = False
    world.now += 99
    assert not any(watchdog.is_dead() for _ in range(3))
    world.now += 2
    assert [watchdog.is_dead(), watchdog.is_dead()] == [False, True]
