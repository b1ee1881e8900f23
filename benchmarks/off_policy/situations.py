"""Situations in which an estimate from logs is tempted to claim too much, drawn with random constants.

A situation is a world, two policies and a way of logging; the gain of its target over the logging policy is known
exactly, and is zero unless the situation is there to see a true gain: the target is then a mixture of a better and a
worse policy at the share where both cancel. What the log says of its propensities may be wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.overlap import Overlap, Pairs
from worker.kinds.bandit.policies import Floats, dense
from worker.kinds.bandit.support import support_of

Random = np.random.Generator
FEWEST_ROUNDS, MOST_ROUNDS = 1_000, 20_000
GREEN_ESS = 100.0
BATCHES = 10


@dataclass(frozen=True)
class Situation:
    """A world: `x` (U, d), `q`, `mu` (how actions are chosen), `pi` (U, A), `share` (U,) of contexts, `n` rounds.

    `told` (U, A): the logging policy as the log tells it; `known`: whole, or propensities of logged actions only.
    `right`: `told` is `mu`. `users`: number of users, 0 for none, `effect` their spread; `sizes`: how unequal they are.
    `decimals`, `drift`: how propensities are written and change over the log. `targets`:
    how many policies are judged together. `seen`: there is a true gain, of so many standard errors of an oracle.
    `gamma`: what the job asks. `supported`: the log says which actions were possible. `adaptive`: how much the logging
    policy follows the rewards of the batches before; the target then gains nothing over it in every batch.
    `barred`: it counts for the bars; others are shown beside them.
    """

    name: str
    x: Floats
    q: Floats
    mu: Floats
    pi: Floats
    share: Floats
    n: int
    told: Floats | None = None
    known: bool = True
    right: bool = True
    users: int = 0
    effect: float = 0.0
    sizes: float = 0.0
    decimals: int | None = None
    drift: float = 0.0
    amounts: bool = False
    embeddings: Floats | None = None
    targets: tuple[Floats, ...] = field(default_factory=tuple)
    seen: float = 0.0
    gamma: float | None = None
    supported: bool = False
    adaptive: float = 0.0
    barred: bool = True

    @property
    def gain(self) -> float:
        """What the target earns over the logging policy."""
        return float(self.share @ ((self.pi - self.mu) * self.q).sum(axis=1))

    def log(self, seed: int) -> BanditLog:
        """A log of n rounds, with a declared range of rewards."""
        if self.adaptive:
            return _adapting(self, seed)
        rng = np.random.default_rng(seed)
        context = rng.choice(len(self.share), self.n, p=self.share)
        user = None
        if self.users:
            mass = rng.exponential(size=self.users) ** self.sizes
            user = np.sort(rng.choice(self.users, self.n, p=mass / mass.sum())).astype(np.int32)
            # A user has one context and is in one mood for all rounds, so that rounds of a user are alike.
            context = rng.choice(len(self.share), self.users, p=self.share)[user]
        chance, told = self._choices(context, rng)
        action = np.minimum((chance.cumsum(axis=1) < rng.random((self.n, 1))).sum(axis=1), self.mu.shape[1] - 1)
        rows = np.arange(self.n)
        expected = self.q[context, action]
        if user is not None and self.effect:
            # Half of the users like what the policies disagree on, the other half dislike it as much.
            mood = rng.choice([-1.0, 1.0], self.users)[user] * self.effect
            toward = np.sign(self.pi - self.mu)[context, action]
            expected = expected + mood * toward * np.minimum(expected, 1 - expected)
        reward = (rng.random(self.n) < expected).astype(np.float64)
        if self.amounts:
            reward *= np.minimum(rng.exponential(0.2, self.n), 1.0) / _MEAN_AMOUNT * 0.19
        propensity = told[rows, action]
        if self.decimals is not None:
            propensity = np.maximum(np.round(propensity, self.decimals), 10.0**-self.decimals)
        index = context.astype(np.int32)
        pi = {"target": dense(self.pi, index)} | {
            f"target {k + 2}": dense(other, index) for k, other in enumerate(self.targets)
        }
        whole = self.known and not self.drift
        return BanditLog(
            action.astype(np.int32),
            reward,
            propensity,
            self.mu.shape[1],
            self.x.astype(np.float32),
            index,
            logging=dense(self.mu if self.told is None else self.told, index) if whole else None,
            support=support_of(dense(self.mu, index)) if self.supported else None,
            targets=pi,
            embeddings=None if self.embeddings is None else self.embeddings.astype(np.float32),
            user=user,
            reward_range=(0.0, 1.0),
        )

    def _choices(self, context: np.ndarray, rng: Random) -> tuple[Floats, Floats]:
        """Probabilities (n, A) by which actions are chosen, and those that are written down."""
        chance = self.mu[context]
        told = chance if self.told is None else self.told[context]
        if self.drift:
            # The policy sharpens over time while the average is written down.
            power = np.linspace(1 - self.drift, 1 + self.drift, self.n)[:, None]
            chance = chance**power
            chance = chance / chance.sum(axis=1, keepdims=True)
        return chance, told


_MEAN_AMOUNT = 0.19
Kind = Callable[[Random], Situation]


def _softmax(scores: Floats) -> Floats:
    wide = np.exp(scores - scores.max(axis=1, keepdims=True))
    return wide / wide.sum(axis=1, keepdims=True)


def world(rng: Random, name: str, *, actions: int | None = None, n: int | None = None, level: float = 0.0) -> Situation:
    """A healthy situation: a mild logging policy, a target that gains nothing; `level` shifts the rewards' logits."""
    count = int(rng.integers(4, 20)) if actions is None else actions
    contexts = int(rng.integers(20, 200))
    x = rng.normal(size=(contexts, 4))
    logits = x @ rng.normal(size=(4, count)) * rng.uniform(0.2, 0.8) + rng.normal(size=count) * rng.uniform(0.2, 0.8)
    logits += rng.uniform(0, 0.6) * rng.normal(size=logits.shape) + rng.uniform(-1, 1) + level
    q = 1 / (1 + np.exp(-logits))
    mu = _softmax(rng.uniform(0.3, 1.0) * rng.normal(size=q.shape) + rng.uniform(-1, 1) * (logits - logits.mean()))
    share = np.full(contexts, 1 / contexts)
    made = Situation(name, x, q, mu, mu, share, int(rng.integers(800, 3000)) if n is None else n)
    return null(made, rng)


def null(made: Situation, rng: Random, *, sharp: float | None = None, least: float = 0.0) -> Situation:
    """The target becomes the mixture of a better and a worse policy that gains nothing."""
    sharpness = rng.uniform(1.0, 4.0) if sharp is None else sharp
    logits = np.log(made.q / (1 - made.q))
    good, bad = _softmax(sharpness * logits + least), _softmax(-sharpness * logits - least)
    value = [float(made.share @ (p * made.q).sum(axis=1)) for p in (good, bad, made.mu)]
    part = (value[2] - value[1]) / (value[0] - value[1])
    return replace(made, pi=part * good + (1 - part) * bad)


def _adapting(made: Situation, seed: int) -> BanditLog:
    """Ten batches, before each of which the logging policy turns to the actions that earned more so far.

    Every batch has a target of its own, half the logging policy and half a mixture that earns exactly as much.
    """
    rng = np.random.default_rng(seed)
    count = made.mu.shape[1]
    earned, taken = np.ones(count), np.full(count, 2.0)
    parts: list[BanditLog] = []
    mus: list[Floats] = []
    pis: list[Floats] = []
    for _ in range(BATCHES):
        mean = earned / taken
        mu = made.mu * np.exp(made.adaptive * (mean - mean.mean()) / max(float(mean.std()), 1e-9))
        mu = 0.9 * mu / mu.sum(axis=1, keepdims=True) + 0.1 / count
        drawn = null(replace(made, mu=mu), rng, sharp=2.0)
        pi = (mu + drawn.pi) / 2
        part = replace(drawn, adaptive=0.0, n=made.n // BATCHES, pi=pi).log(int(rng.integers(2**31)))
        earned += np.bincount(part.action, part.reward, count)
        taken += np.bincount(part.action, minlength=count)
        parts.append(part)
        mus.append(mu)
        pis.append(pi)
    index = np.concatenate([k * len(made.mu) + part.rows for k, part in enumerate(parts)]).astype(np.int32)
    return replace(
        parts[0],
        action=np.concatenate([part.action for part in parts]),
        reward=np.concatenate([part.reward for part in parts]),
        propensity=np.concatenate([part.propensity for part in parts]),
        context_index=np.concatenate([part.rows for part in parts]),
        logging=dense(np.concatenate(mus), index) if made.known else None,
        targets={"target": dense(np.concatenate(pis), index)},
    )


def gaining(
    kind: Kind,
    rng: Random,
    least: float = 0.05,
    most: float = 0.6,
    *,
    errors: float = 6.0,
    rounds: tuple[int, int] = (FEWEST_ROUNDS, MOST_ROUNDS),
    green: bool = True,
) -> Situation:
    """A share of a better policy (`least` to `most`) mixed into the logging policy.

    There are as many rounds as make the gain `errors` standard errors of an oracle, which knows every expected reward
    and the variance of what is left. Constants are drawn anew while the rounds are not within `rounds`, or where the
    log is worth fewer than 100 of the target's own (`green`; else as long as it is worth more).
    """
    while True:
        made = kind(rng)
        logits = np.log(made.q / (1 - made.q))
        good = _softmax(rng.uniform(1.0, 3.0) * logits)
        mixed = rng.uniform(least, most)
        pi = (1 - mixed) * made.mu + mixed * good
        gap = ((pi - made.mu) * made.q).sum(axis=1)
        gain = float(made.share @ gap)
        noise = ((pi / made.mu - 1) ** 2 * made.mu * made.q * (1 - made.q)).sum(axis=1)
        n = int(errors**2 * (float(made.share @ (gap**2 + noise)) - gain**2) / gain**2)
        pairs = Pairs.of(dense(pi), dense(made.mu))
        worth = n * Overlap.of(pairs, made.share).policy_ess_share
        if rounds[0] <= n <= rounds[1] and green == (worth >= GREEN_ESS):
            name = made.name if "gain" in made.name else f"{made.name}, a true gain"
            return replace(made, name=name, pi=pi, n=n, seen=errors, barred=green and made.barred)


def _deterministic(rng: Random) -> Situation:
    made = world(rng, "deterministic log, propensities only")
    noisy = np.log(made.q) + rng.normal(size=made.q.shape)
    mu = np.eye(made.q.shape[1])[noisy.argmax(axis=1)]
    return null(replace(made, mu=mu, known=False), rng)


def _deficient(rng: Random, known: bool) -> Situation:
    made = world(rng, f"deficient support, {'policy known' if known else 'propensities only'}")
    mu = made.mu * (rng.random(made.mu.shape) > rng.uniform(0.15, 0.5))
    mu[np.arange(len(mu)), made.mu.argmax(axis=1)] += 1e-3
    return null(replace(made, mu=mu / mu.sum(axis=1, keepdims=True), known=known), rng)


def _wrong(rng: Random, known: bool, error: float = 0.2) -> Situation:
    made = world(rng, f"propensities off with the reward, {'policy known' if known else 'propensities only'}")
    z = (made.q - made.q.mean()) / made.q.std()
    told = made.mu * np.exp(rng.choice([-1.0, 1.0]) * error * np.tanh(z))
    return replace(made, told=told / told.sum(axis=1, keepdims=True), known=known, right=False)


def _hard(rng: Random) -> Situation:
    made = world(rng, "a few hard contexts", n=int(rng.integers(2000, 5000)))
    share = made.share.copy()
    share[0] = rng.uniform(0.002, 0.006)
    share[1:] = (1 - share[0]) / (len(share) - 1)
    mu = made.mu.copy()
    best = int(made.q[0].argmax())
    mu[0] *= 1e-3
    mu[0, (best + 1) % mu.shape[1]] += 1 - mu[0].sum()
    return null(replace(made, share=share, mu=mu), rng)


def _users(rng: Random, known: bool, sizes: float, most: int) -> Situation:
    how = "few and unequal" if sizes else "repeating"
    made = world(rng, f"users {how}, {'policy known' if known else 'propensities only'}")
    count = int(rng.integers(most // 2, most))
    return replace(made, users=count, effect=rng.uniform(0.3, 0.8), sizes=sizes, known=known)


def _misleading(rng: Random) -> Situation:
    made = world(rng, "embeddings that mislead inside clusters", actions=20, n=int(rng.integers(600, 1500)))
    e = np.repeat(rng.normal(size=(4, 3)), 5, axis=0) + 0.01 * rng.normal(size=(20, 3))
    inside = np.tile(np.linspace(-1.5, 1.5, 5), 4)
    q = 1 / (1 + np.exp(-(np.repeat(rng.normal(size=4), 5) * 0.5 + inside + 0.2 * made.x[:, :1])))
    mu = _softmax(np.broadcast_to(rng.uniform(-1.2, 1.2) * inside, q.shape) + 0.3 * rng.normal(size=q.shape))
    return null(replace(made, q=q, mu=mu, embeddings=e), rng)


def _heavy(rng: Random, known: bool) -> Situation:
    made = world(rng, f"heavy weights, {'policy known' if known else 'propensities only'}")
    mu = _softmax(rng.uniform(2.0, 3.5) * rng.normal(size=made.mu.shape))
    return null(replace(made, mu=mu, known=known), rng)


def _near(rng: Random, known: bool) -> Situation:
    made = world(rng, f"near-deterministic target, {'policy known' if known else 'propensities only'}")
    return null(replace(made, known=known), rng, sharp=rng.uniform(15, 40))


def _clipped(rng: Random) -> Situation:
    made = world(rng, "clipped propensities")
    mu = _softmax(1.5 * rng.normal(size=made.mu.shape))
    made = null(replace(made, mu=mu, known=False, right=False), rng)
    return replace(made, told=np.maximum(made.mu, rng.uniform(0.02, 0.06)))


def _rare(rng: Random, known: bool) -> Situation:
    made = world(
        rng, f"rare rewards, {'policy known' if known else 'propensities only'}",
        n=int(rng.integers(8_000, 15_000)), level=rng.uniform(-5.5, -4.5),
    )  # fmt: skip
    return replace(made, known=known)


def _rare_users(rng: Random, known: bool) -> Situation:
    made = _rare(rng, known)
    count = int(rng.integers(100, 400))
    return replace(made, name=made.name.replace(",", " of users,", 1), users=count, effect=rng.uniform(0.3, 0.8))


def _unexplained(rng: Random, known: bool) -> Situation:
    """Wrong propensities that go with what nothing in the context tells of the reward."""
    made = _wrong(rng, known)
    name = made.name.replace("with the reward", "with rewards that no context explains")
    return replace(made, name=name, x=rng.normal(size=made.x.shape), barred=False)


def _family(rng: Random) -> Situation:
    made = world(rng, "eight targets that gain nothing")
    return replace(made, targets=tuple(null(made, rng).pi for _ in range(7)))


def _seldom(rng: Random, name: str) -> Situation:
    """Rewards like clicks, nearer to the least than to the largest: what may be missing then costs little."""
    return replace(world(rng, name, level=rng.uniform(-2.5, -1.5)), known=False)


KINDS: tuple[Kind, ...] = (
    lambda rng: world(rng, "healthy, policy known"),
    lambda rng: replace(world(rng, "healthy, propensities only"), known=False),
    _deterministic,
    lambda rng: _deficient(rng, known=False),
    lambda rng: _deficient(rng, known=True),
    lambda rng: _wrong(rng, known=False),
    lambda rng: _wrong(rng, known=True),
    _hard,
    lambda rng: _users(rng, known=True, sizes=0.0, most=120),
    lambda rng: _users(rng, known=False, sizes=0.0, most=120),
    lambda rng: _users(rng, known=True, sizes=1.5, most=30),
    _misleading,
    lambda rng: _heavy(rng, known=True),
    lambda rng: _heavy(rng, known=False),
    lambda rng: world(rng, "tiny log, policy known", n=int(rng.integers(40, 120))),
    lambda rng: replace(world(rng, "tiny log, propensities only", n=int(rng.integers(40, 120))), known=False),
    lambda rng: _near(rng, known=True),
    lambda rng: _near(rng, known=False),
    lambda rng: replace(world(rng, "rounded propensities"), known=False, right=False, decimals=2),
    _clipped,
    lambda rng: replace(world(rng, "drifting propensities"), right=False, drift=rng.uniform(0.2, 0.5)),
    lambda rng: world(rng, "1,000 actions, policy known", actions=1000, n=3000),
    lambda rng: replace(world(rng, "1,000 actions, propensities only", actions=1000, n=3000), known=False),
    lambda rng: _rare(rng, known=True),
    lambda rng: _rare(rng, known=False),
    _family,
    lambda rng: replace(world(rng, "skewed amounts, policy known"), amounts=True),
    lambda rng: replace(world(rng, "adaptive logging, policy known"), adaptive=rng.uniform(0.5, 1.5)),
    lambda rng: replace(world(rng, "adaptive logging, propensities only"), known=False, adaptive=rng.uniform(0.5, 1.5)),
    lambda rng: _rare_users(rng, known=True),
    lambda rng: _rare_users(rng, known=False),
    lambda rng: _unexplained(rng, known=True),
    lambda rng: _unexplained(rng, known=False),
    lambda rng: gaining(lambda rng: world(rng, "a true gain, policy known"), rng),
    lambda rng: gaining(lambda rng: world(rng, "a true gain, heavy weights, policy known"), rng, green=False),
    lambda rng: gaining(lambda rng: _rare(rng, known=True), rng, 0.3, 1.0, rounds=(FEWEST_ROUNDS, 40_000)),
    lambda rng: gaining(lambda rng: _seldom(rng, "a large true gain, propensities only"), rng, 0.5, 1.0),
    lambda rng: gaining(lambda rng: replace(_seldom(rng, "a true gain, propensities attested"), gamma=1.0), rng),
    lambda rng: gaining(
        lambda rng: replace(
            world(rng, "a true gain, propensities attested and support declared"),
            known=False,
            gamma=1.0,
            supported=True,
        ),
        rng,
    ),
    lambda rng: gaining(
        lambda rng: replace(
            world(rng, "a true gain, propensities attested, rewards of a half"), known=False, gamma=1.0, barred=False
        ),
        rng,
    ),
    lambda rng: replace(
        world(rng, "healthy, propensities attested and support declared"), known=False, gamma=1.0, supported=True
    ),
)


def draw(count: int, seed: int) -> list[Situation]:
    """`count` situations, kind after kind, each with constants of its own."""
    return [numbered(k, seed) for k in range(count)]


def numbered(k: int, seed: int) -> Situation:
    """Situation k of those that a seed draws."""
    return KINDS[k % len(KINDS)](np.random.default_rng([seed, k]))
