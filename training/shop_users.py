"""Who shops in a simulated shop (`training.panel_shops`), and what becomes of them.

A user has a pace and a taste over a few of the shop's categories. Moods, pauses, seasons, fads and
promotions move what unchanged users do, as they do in real shops.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from training.shops import Shop

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_SPRING, _AUTUMN = 14, 39  # weeks of the year
_GRADUAL_WEEKS = 5
_ONBOARDING_WEEKS = 2
_MEMORY = 0.6  # of moods and activity, from week to week
_FAD = 4
_MOVED = 0.015  # a category whose share moves by this is a changed one


@dataclass(frozen=True, slots=True)
class Calendar:
    """What all users share, whatever the seed.

    Attributes
    ----------
    popularity : float[C]
    mix : float[W, C]
        Seasons and fads: factors of every taste and of the popularity.
    volume, pull : float[W]
        Factor of the visits, and share of the lines that a promotion takes, for a user of
        average keenness.
    promoted : float[W, C]
        Where those lines go.
    """

    popularity: Floats
    mix: Floats
    volume: Floats
    pull: Floats
    promoted: Floats


@dataclass(frozen=True, slots=True)
class Users:
    """What each user is up to in each week, by expectation, and what was changed.

    Attributes
    ----------
    joined, change : int[n]
        First week, and the week in which the change begins.
    kind : str[n]
        "none", or of `KINDS`.
    visits, lines : float[n, W]
        Visits a week, lines a visit.
    pull : float[n, W]
        Share of the lines that a promotion takes.
    category : int[n, 2k]
        The `breadth` categories of the user's taste, then as many that he never buys unless a
        change makes him.
    taste : float32[n, W, 2k]
        Their weights.
    moved : bool[n, 2k]
        The categories whose share truly changes.
    """

    joined: Ints
    change: Ints
    kind: NDArray[np.str_]
    visits: Floats
    lines: Floats
    pull: Floats
    category: Ints
    taste: NDArray[np.float32]
    moved: NDArray[np.bool_]


def calendar(shop: Shop) -> Calendar:
    """Draw the shared calendar from its own seed."""
    rng = np.random.default_rng(list(shop.name.encode()))
    popularity = rng.permutation((1.0 + np.arange(shop.categories)) ** -shop.zipf)
    week = np.arange(shop.weeks)
    of_year = pd.Timestamp(shop.first).day_of_year / 7 + week
    peak = rng.choice([_SPRING, _AUTUMN], shop.categories) + rng.normal(0, 3, shop.categories)
    mix = np.exp(shop.season * np.cos(2 * np.pi * (of_year[:, None] - peak) / 52))
    for _ in range(shop.fads):
        start = rng.integers(shop.weeks)
        mix[start : start + rng.integers(2, 5), rng.integers(shop.categories)] *= _FAD
    volume, pull = np.ones(shop.weeks), np.zeros(shop.weeks)
    promoted = np.ones((shop.weeks, shop.categories))
    for promotion in shop.promotions:
        volume[promotion.week], pull[promotion.week] = promotion.volume, promotion.pull
        chosen = rng.choice(shop.categories, promotion.categories, replace=False)
        promoted[promotion.week] = 0
        promoted[promotion.week, chosen] = rng.gamma(1.5, size=chosen.size)
    for slump, left in shop.slumps:
        volume[slump] = left
    return Calendar(popularity / popularity.sum(), mix, volume, pull, promoted)


def draw(shop: Shop, shared: Calendar, count: int, changed: float, rng: Generator) -> Users:
    """Draw users of a shop, of whom a share changes."""
    joined = np.zeros(count, np.int64)
    if shop.growing:
        joined = rng.integers(0, shop.weeks, count)
    keenness = 2 * rng.beta(1.2, 1.2, (count, 1))
    visits = _visits(shop, shared, joined, keenness, rng)
    lines = shop.lines * rng.lognormal(0, shop.basket / 2, (count, 1))
    # Drawn without replacement, with the chance of a category's popularity (Gumbel's trick).
    liking = shop.mainstream * np.log(shared.popularity)
    ranked = np.argsort(-liking - rng.gumbel(size=(count, shop.categories)), axis=1)
    category = ranked[:, : 2 * shop.breadth]
    own = _tastes(shop, count, rng)
    kind, change = _changing(shop, joined, visits, changed, rng)
    after, volume = own.copy(), np.ones((count, 1))
    for user in np.flatnonzero(kind != "none"):
        after[user], volume[user] = KINDS[kind[user]](own[user], rng)
    since = np.arange(shop.weeks) - change[:, None] + 1
    factor = np.where(since > 0, volume, 1)
    part = np.clip(since / np.where(kind == "gradual", _GRADUAL_WEEKS, 1)[:, None], 0, 1)
    taste = _moving(shop, own, after, part, rng)
    return Users(
        joined,
        change,
        kind,
        visits * factor**shop.in_visits,
        lines * factor ** (1 - shop.in_visits),
        shared.pull * keenness,
        category,
        taste * shared.mix.astype(np.float32).T[category].transpose(0, 2, 1),
        np.abs(after - own) * (1 - shop.background) >= _MOVED,
    )


def _visits(shop: Shop, shared: Calendar, joined: Ints, keenness: Floats, rng: Generator) -> Floats:
    shape = (joined.size, shop.weeks)
    pace = shop.visits * rng.lognormal(0, shop.spread, (joined.size, 1))
    visits = pace * np.exp(_moods(shop.activity, (*shape, 1), rng)[:, :, 0])
    if shop.growing:
        age = np.arange(shop.weeks) - joined[:, None]
        visits *= np.where(age >= 0, 1 + 0.8 * np.exp(-np.maximum(age, 0) / _ONBOARDING_WEEKS), 0)
    for user in np.repeat(np.arange(joined.size), rng.poisson(shop.pauses, joined.size)):
        start = rng.integers(shop.weeks)
        visits[user, start : start + rng.geometric(1 / shop.away)] = 0
    promoted = 1 + np.maximum(shared.volume - 1, 0) * keenness
    return visits * promoted * np.minimum(shared.volume, 1)


def _tastes(shop: Shop, count: int, rng: Generator) -> Floats:
    """Weights of the own categories, favourites first, and of as many others: none."""
    evenness = shop.evenness * rng.lognormal(0, 0.4, (count, 1))
    weight = rng.gamma(np.broadcast_to(evenness, (count, shop.breadth))) + 1e-6
    own = -np.sort(-weight / weight.sum(axis=1, keepdims=True), axis=1)
    return np.concatenate([own, np.zeros_like(own)], axis=1)


def _moving(
    shop: Shop, own: Floats, after: Floats, part: Floats, rng: Generator
) -> NDArray[np.float32]:
    """Tastes week by week: `part` [user, week] of the way to the new one, and moods."""
    way = part.astype(np.float32)[:, :, None]
    taste = (1 - way) * own[:, None].astype(np.float32) + way * after[:, None].astype(np.float32)
    taste *= np.exp(_moods(shop.mood, taste.shape, rng))
    if shop.drift:
        steps = shop.drift * rng.standard_normal(taste.shape, np.float32)
        taste *= np.exp(np.cumsum(steps, axis=1))
    return taste


def _changing(
    shop: Shop, joined: Ints, visits: Floats, changed: float, rng: Generator
) -> tuple[NDArray[np.str_], Ints]:
    """Kind and week of change; where nothing is to be found with fairness, nothing is changed."""
    seen = shop.weeks - joined
    change = joined + (seen * rng.uniform(0.40, 0.75, joined.size)).astype(np.int64)
    before = np.where(np.arange(shop.weeks) < change[:, None], visits, 0).sum(axis=1)
    enough = (before >= 5) & (change - joined >= 8) & (shop.weeks - change >= 6)
    chosen = rng.permutation(np.flatnonzero(enough))[: round(changed * joined.size)]
    kind = np.full(joined.size, "none", "<U12")
    kind[chosen] = np.resize(list(KINDS), chosen.size)
    return kind, change


def _moods(deviation: float, shape: tuple[int, int, int], rng: Generator) -> NDArray[np.float32]:
    """Stationary noise [user, week, ...] that fades in weeks; some users have more of it."""
    noise = rng.standard_normal(shape, np.float32)
    for week in range(1, shape[1]):
        fresh = np.float32(np.sqrt(1 - _MEMORY**2)) * noise[:, week]
        noise[:, week] = np.float32(_MEMORY) * noise[:, week - 1] + fresh
    own = deviation * rng.lognormal(0, 0.4, (shape[0], 1, 1))
    return own.astype(np.float32) * noise


def _shift(own: Floats, _: Generator) -> tuple[Floats, float]:
    return np.roll(own, own.size // 2), 1.0


def _partial(own: Floats, rng: Generator) -> tuple[Floats, float]:
    after, breadth = own.copy(), own.size // 2
    pairs = list(combinations(range(min(5, breadth)), 2))
    heavy = [pair for pair in pairs if own[list(pair)].sum() >= 0.2] or pairs[:1]
    left = rng.choice(heavy)
    after[left], after[breadth : breadth + 2] = 0, own[left]
    return after, 1.0


def _new_category(own: Floats, rng: Generator) -> tuple[Floats, float]:
    share = rng.uniform(0.25, 0.5)
    after = (1 - share) * own
    after[own.size // 2] = share
    return after, 1 / (1 - share)


def _narrowing(own: Floats, rng: Generator) -> tuple[Floats, float]:
    """Whoever buys little else already has nothing to narrow: what is kept was at most 60 %."""
    favourites = range(min(4, own.size // 2))
    sets = [list(some) for size in (1, 2) for some in combinations(favourites, size)]
    sets = [some for some in sets if own[some].sum() <= 0.6]
    kept = sets[rng.integers(len(sets))]
    after = 0.08 * own
    after[kept] += 0.92 * (own[kept] + 0.05) / (own[kept] + 0.05).sum()
    return after, 1.0


def _times(factor: float) -> Callable[[Floats, Generator], tuple[Floats, float]]:
    return lambda own, _: (own, factor)


KINDS: dict[str, Callable[[Floats, Generator], tuple[Floats, float]]] = {
    "shift": _shift,
    "partial": _partial,
    "gradual": _shift,
    "new_category": _new_category,
    "narrowing": _narrowing,
    "stop": _times(0.0),
    "drop": _times(0.3),
    "surge": _times(3.0),
}
