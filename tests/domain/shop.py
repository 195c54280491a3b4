"""A small simulated shop for tests of detection, and the walk through its windows.

Every user has a taste, a rate, and habits.
"""

from __future__ import annotations

import numpy as np
from swerve.domain.behaviour import Behaviour
from swerve.domain.calibration import Calibration
from swerve.domain.counts import count_window, split_windows
from swerve.domain.detector import Detector
from swerve.domain.event import Events
from swerve.domain.population import Context, Population
from swerve.domain.profile import ShardState
from swerve.domain.totals import Totals, totals_of
from swerve.domain.window import DAY_MS, WindowSpec

FIRST_DAY = 17_168  # Monday 2017-01-02
WEEK_MS = 7 * DAY_MS
WEEKLY = WindowSpec(7, "UTC")


def shop(
    *,
    users: int = 60,
    weeks: int = 30,
    seed: int = 1,
    categories: int = 40,
    rate: float = 12.0,
    change=None,
    volume=None,
    fresh_items: bool = False,
) -> Events:
    """Events of a shop in canonical order.

    `change(user, week, taste, others)` may return another taste; `volume(user, week)` a factor.
    With `fresh_items` no item lives longer than a week.
    """
    rng = np.random.default_rng(seed)
    base = rng.dirichlet(np.full(categories, 2.0))
    tastes = [rng.dirichlet(base * 15 + 0.01) for _ in range(users)]
    rates = rng.gamma(4.0, rate / 4.0, users)
    rows: list[tuple[np.ndarray, ...]] = []
    for user in range(users):
        for week in range(weeks):
            taste = tastes[user]
            if change is not None:
                taste = change(user, week, taste, tastes)
            factor = 1.0 if volume is None else volume(user, week)
            count = rng.negative_binomial(4, 4 / (4 + max(rates[user] * factor, 1e-9)))
            category = rng.choice(categories, count, p=taste) + 1
            item = category * 100 + rng.integers(0, 8, count) + fresh_items * 100_000 * week
            time = FIRST_DAY * DAY_MS + week * WEEK_MS + rng.integers(0, WEEK_MS, count)
            rows.append((np.full(count, user + 1), time, category, item))
    user, time, category, item = (np.concatenate(column) for column in zip(*rows, strict=True))
    size = user.size
    return Events(
        user=user.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15),
        key=np.arange(size, dtype=np.uint64),
        time_ms=time.astype(np.int64),
        behaviour=np.full(size, Behaviour.PURCHASE, np.uint8),
        category=category.astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9),
        item=item.astype(np.uint64) * np.uint64(0x94D049BB133111EB),
        campaign=np.zeros(size, np.uint64),
        value=np.full(size, np.nan, np.float32),
    ).canonical()


def name(user: int) -> int:
    """Pseudonym of the shop's n-th user."""
    return ((user + 1) * 0x9E3779B97F4A7C15) % (1 << 64)


def walk(events, spec=WEEKLY, parts=1, reload=False):
    """Score all windows in `parts` shards; yields (contexts, states, scores)."""
    detector = Detector(spec, Calibration.shipped())
    population = Population.empty(spec)
    states = [ShardState.empty(spec) for _ in range(parts)]
    for window, inside in split_windows(events, spec):
        shard = inside.user % np.uint64(parts)
        counts = [count_window(inside.take(shard == p), spec, window) for p in range(parts)]
        totals = [totals_of(c, s.cohort)[0] for c, s in zip(counts, states, strict=True)]
        population, context, _ = population.advance(window, Totals.sum(totals))
        if reload:
            context = Context.from_bytes(context.to_bytes())
            population = Population.from_bytes(population.to_bytes())
            states = [ShardState.from_bytes(s.to_bytes()) for s in states]
        done = [detector.score(s, c, context) for s, c in zip(states, counts, strict=True)]
        states = [state for state, _ in done]
        yield context, states, [scores for _, scores in done]
