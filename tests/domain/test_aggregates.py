"""Categories, products and the platform: what moves together is told once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from swerve.domain import binary
from swerve.domain.aggregates import Watch
from swerve.domain.candidate import Kind, Level
from swerve.domain.counts import Tally
from swerve.domain.totals import SIZES, Totals

CATEGORIES, PRODUCTS, WEEKS = 12, 30, 30


def week(rng, *, volume=1.0, favoured=None, factor=1.0, extra=None):
    """Totals of one window of a shop with 1,000 users, 12 categories and 30 products."""
    rate = np.full(CATEGORIES, 120.0) * volume
    if favoured is not None:
        rate[favoured] *= factor
    users = rng.poisson(rate)
    keys = np.arange(1, CATEGORIES + 1, dtype=np.uint64)
    if extra:
        keys, users = np.append(keys, np.uint64(extra[0])), np.append(users, extra[1])
    sold = rng.poisson(np.full(PRODUCTS, 40.0) * volume)
    none = np.empty(0, np.int64)
    return Totals(
        window=0,
        events=int(users.sum()),
        active_days=int(1500 * volume**0.5),
        known=1000,
        timed=1000,
        cohort=np.zeros(4, np.int64),
        categories=Tally(keys, users * 2, users),
        mass=users,
        bucket_mass=none,
        likeness=np.zeros(2, np.int64),
        depth=np.zeros(2, np.int64),
        again=np.zeros(2, np.int64),
        silence=np.zeros(1 + SIZES.size, np.int64),
        products=Tally(np.arange(101, 101 + PRODUCTS, dtype=np.uint64), sold * 2, sold),
        campaigns=Tally(np.empty(0, np.uint64), none, none),
    )


def walked(last, *, weeks=WEEKS, seed=1):
    """Candidates of a last window after quiet ones."""
    rng = np.random.default_rng(seed)
    watch = Watch.empty(7)
    for number in range(weeks):
        watch, _ = watch.advance(7 * number, week(rng), gap=False)
    return watch.advance(7 * weeks, last(rng), gap=False)


def told(candidates, limit=1e-3):
    return {(c.level, c.kind, c.subject) for c in candidates if c.p_value <= limit}


def test_a_quiet_shop_says_nothing():
    # GIVEN ten shops; WHEN one more week is like the others
    found = [told(walked(week, seed=seed)[1]) for seed in range(10)]
    # THEN at most a stray subject of 43 x 10 alarms at one in a thousand
    assert sum(map(len, found)) <= 1


@pytest.mark.parametrize("volume", [2.6, 0.35])
def test_a_change_of_everything_is_one_alert_of_the_platform(volume):
    _, candidates = walked(lambda rng: week(rng, volume=volume))
    kind = Kind.SURGE if volume > 1 else Kind.DROP
    assert told(candidates) == {(Level.PLATFORM, kind, "platform")}


@pytest.mark.parametrize(("factor", "kind"), [(3.0, Kind.SURGE), (0.2, Kind.DROP)])
def test_a_change_of_one_category_is_named(factor, kind):
    _, candidates = walked(lambda rng: week(rng, favoured=4, factor=factor))
    assert (Level.CATEGORY, kind, f"c-{5:016x}") in told(candidates)
    assert not [c for c in candidates if c.level is Level.PRODUCT and c.p_value < 1e-3]


def test_a_launch_is_a_new_interest():
    _, candidates = walked(lambda rng: week(rng, extra=(999, 400)))
    assert (Level.CATEGORY, Kind.NEW_INTEREST, f"c-{999:016x}") in told(candidates)


def test_a_young_shop_and_a_gap_stay_silent():
    _, young = walked(lambda rng: week(rng, volume=5.0), weeks=5)
    assert young == ()
    watch, _ = walked(week)
    after, candidates = watch.advance(0, week(np.random.default_rng(3), volume=0.01), gap=True)
    assert candidates == ()
    assert after == replace(watch, age=watch.age + 1)


def test_an_alarm_does_not_teach_the_series_that_alarms_are_usual():
    watch, _ = walked(lambda rng: week(rng, volume=2.6))
    _, again = watch.advance(7, week(np.random.default_rng(5), volume=2.6), gap=False)
    assert (Level.PLATFORM, Kind.SURGE, "platform") in told(again)


def test_few_users_are_nobodys_business():
    _, candidates = walked(lambda rng: week(rng, extra=(999, 19)))
    assert not [c for c in candidates if c.subject.endswith(f"{999:x}")]


def test_the_checkpoint_gives_back_the_same_series():
    watch, _ = walked(week)
    stored = binary.dump("watch", {}, watch.arrays())
    back = Watch.from_arrays(7, binary.load("watch", stored)[1])
    rng = np.random.default_rng(9)
    last = week(rng, favoured=2, factor=3.0)
    assert back.advance(7, last, gap=False)[1] == watch.advance(7, last, gap=False)[1]
