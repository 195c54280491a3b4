from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from swerve.domain.behaviour import Behaviour
from swerve.domain.counts import BUCKETS, count_window
from swerve.domain.event import Events
from swerve.domain.totals import Cohort, Totals, totals_of
from swerve.domain.window import DAY_MS, WindowSpec

from tests.domain.shop import FIRST_DAY, WEEK_MS, shop

WEEKLY = WindowSpec(7, "UTC")


@pytest.fixture
def week():
    events = shop(users=20, weeks=1, rate=30)
    odd = np.arange(len(events)) % 7 == 0
    behaviour = np.where(odd, Behaviour.REFUND, events.behaviour).astype(np.uint8)
    return Events(**{n: getattr(events, n) for n in Events.__slots__} | {"behaviour": behaviour})


def test_counts_agree_with_a_slow_count(week):
    # WHEN
    counts = count_window(week, WEEKLY, FIRST_DAY)
    # THEN
    total, days = Counter(), defaultdict(set)
    pair_days, pair_items, pair_events, items = defaultdict(set), defaultdict(set), Counter(), set()
    for user, time, behaviour, category, item in zip(
        week.user.tolist(),
        week.time_ms.tolist(),
        week.behaviour.tolist(),
        week.category.tolist(),
        week.item.tolist(),
        strict=True,
    ):
        day = time // DAY_MS
        days[user].add(day)
        if behaviour == Behaviour.REFUND:
            continue
        total[user] += 1
        pair_days[user, category].add(day)
        pair_items[user, category].add((day, item))
        pair_events[user, category] += 1
        items.add((user, day, item))
    users = counts.users.tolist()
    assert users == sorted(days)
    assert counts.total.tolist() == [total[u] for u in users]
    assert counts.days.tolist() == [len(days[u]) for u in users]
    pairs = [
        (users[u], c) for u, c in zip(counts.pair_user, counts.pair_category.tolist(), strict=True)
    ]
    assert pairs == sorted(pair_days)
    assert counts.pair_count.tolist() == [len(pair_days[p]) for p in pairs]
    assert counts.pair_items.tolist() == [len(pair_items[p]) for p in pairs]
    assert counts.pair_events.tolist() == [pair_events[p] for p in pairs]
    assert counts.bucket_count.sum() == len(items)
    assert counts.bucket.max() < BUCKETS
    assert counts.parts.sum() == len(week)


def test_order_of_events_does_not_matter(week):
    shuffled = week.take(np.random.default_rng(3).permutation(len(week)))
    one, other = (count_window(e, WEEKLY, FIRST_DAY) for e in (week, shuffled))
    for field in ("users", "total", "pair_category", "pair_items", "bucket", "bucket_count"):
        assert np.array_equal(getattr(one, field), getattr(other, field))


def test_without_an_item_events_at_different_times_are_told_apart(week):
    # GIVEN a source that names no items, each event of it told twice
    nameless = {n: getattr(week, n) for n in Events.__slots__} | {"item": week.item * np.uint64(0)}
    twice = Events.concatenate([Events(**nameless)] * 2)
    # WHEN
    counts = count_window(twice, WEEKLY, FIRST_DAY)
    # THEN an event counts once, but a day may count more than once
    assert (counts.pair_items * 2 == counts.pair_events).mean() > 0.99
    assert (counts.pair_items > counts.pair_count).any()


def test_an_empty_window_counts_nothing():
    counts = count_window(Events.empty(), WEEKLY, FIRST_DAY)
    assert counts.users.size == counts.pair_user.size == counts.bucket.size == 0


def test_totals_of_shards_sum_to_the_totals_of_all():
    # GIVEN ten weeks, whole and in two shards
    events = shop(users=30, weeks=10)
    week = (events.time_ms - FIRST_DAY * DAY_MS) // WEEK_MS
    left = events.user % np.uint64(2) == 0
    cohorts = {"all": Cohort.empty(7), "left": Cohort.empty(7), "right": Cohort.empty(7)}
    for w in range(10):
        parts = {"all": week == w, "left": left & (week == w), "right": ~left & (week == w)}
        totals = {}
        for name, rows in parts.items():
            counts = count_window(events.take(rows), WEEKLY, FIRST_DAY + 7 * w)
            totals[name], cohorts[name] = totals_of(counts, cohorts[name])
        # WHEN
        summed = Totals.sum([totals["right"], Totals.from_bytes(totals["left"].to_bytes())])
        # THEN
        whole = totals["all"]
        assert (summed.events, summed.known) == (whole.events, whole.known)
        for field in ("cohort", "mass", "bucket_mass", "likeness", "depth", "again", "silence"):
            assert np.array_equal(getattr(summed, field), getattr(whole, field)), field
        assert np.array_equal(summed.categories.keys, whole.categories.keys)
    assert whole.cohort[0] > 0
    assert whole.again[1] > whole.again[0] > 0
