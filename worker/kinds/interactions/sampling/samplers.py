"""The samplers by name, for comparisons and advice: 16 published ones (arXiv:2201.04768), and two for items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from worker.contract.context import Context
from worker.kinds.interactions.sampling import events as single
from worker.kinds.interactions.sampling import nodes, svp, walks
from worker.kinds.interactions.sampling.order import Order, TrainEvents

Draw = Callable[[TrainEvents, np.random.Generator], Order]


@dataclass(frozen=True)
class Sampler:
    """A way to keep events. `method` and `params`: the job that does it; `draw`: None where a proxy must be trained."""

    name: str
    label: str
    method: str
    params: dict[str, str]
    draw: Draw | None = None
    walk: bool = False
    needs_time: bool = False


def _plain(name: str, label: str, draw: Draw, *, walk: bool = False, needs_time: bool = False) -> Sampler:
    return Sampler(name, label, name, {}, draw, walk, needs_time)


def _svp() -> Iterable[Sampler]:
    for method, label in (("svp-cf", "SVP-CF"), ("svp-cf-prop", "SVP-CF-Prop")):
        for proxy, short in (("mf", "MF"), ("bias_only", "bias")):
            for unit in ("interaction", "user"):
                name = f"{method}-{short.lower()}-{unit}"
                yield Sampler(name, f"{label} ({short}, {unit}s)", method, {"proxy": proxy, "unit": unit})


SAMPLERS: dict[str, Sampler] = {
    one.name: one
    for one in (
        _plain("random-interactions", "random events", single.uniform),
        _plain("stratified", "stratified by user", single.stratified),
        _plain("temporal", "latest of each user", single.temporal, needs_time=True),
        _plain("random-users", "random users", nodes.random_users),
        _plain("head-users", "head users", nodes.head_users),
        _plain("random-items", "random items", nodes.random_items),
        _plain("head-items", "head items", nodes.head_items),
        _plain("pagerank", "PageRank", nodes.pagerank),
        _plain("random-walk", "random walk", walks.random_walk, walk=True),
        _plain("forest-fire", "forest fire", walks.forest_fire, walk=True),
        *_svp(),
    )
}


def available(events: TrainEvents) -> list[str]:
    """Samplers that these events allow: those that go by time need timestamps."""
    return [name for name, one in SAMPLERS.items() if events.timestamp is not None or not one.needs_time]


def orders(
    events: TrainEvents, names: Sequence[str], ctx: Context, *, most: int, epochs: int = 50
) -> Iterable[tuple[str, Order]]:
    """The order of every sampler named, each a part of the work; `most`: events of the largest sample asked for.

    A proxy is trained once for all that need it.
    """
    for number, name in enumerate(names):
        one = SAMPLERS[name]
        if one.draw is not None:
            with ctx.part(name, number, len(names), label=f"sample: {one.label}") as part:
                draw = partial(one.draw, most=most, tick=_tick(part)) if one.walk else one.draw
                yield name, draw(events, part.rng)
    for proxy, latent in (("mf", 10), ("bias_only", 0)):
        wanted = [name for name in names if SAMPLERS[name].params.get("proxy") == proxy]
        if wanted:
            with ctx.part(f"proxy {proxy}", len(names) - 1, len(names), label=f"sample: train proxy {proxy}") as part:
                importance = svp.importance(events, svp.Proxy(latent, epochs), part)
            for name in wanted:
                one = SAMPLERS[name]
                unit: svp.Unit = "user" if one.params["unit"] == "user" else "interaction"
                with ctx.part(name, len(names) - 1, len(names), label=f"sample: {one.label}") as part:
                    yield name, svp.ranked(events, importance, unit=unit, prop="prop" in one.method, rng=part.rng)


def _tick(ctx: Context) -> Callable[[float], None]:
    return lambda done: ctx.progress(round(1000 * done), 1000)
