"""The published checksums of the splice recipe, and laws of the other kinds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from training import data
from training.log import WEEK_S, Log
from training.splice import CHANGES, VOLUME_ONLY, splice

FIRST_S = 1_700_438_400  # a Monday


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def shop() -> Log:
    """Thirty users with tastes of their own over 30 weeks and 40 categories."""
    rng = np.random.default_rng(1)
    taste = rng.dirichlet(np.full(40, 0.2), 30)
    rows = [
        (FIRST_S + week * WEEK_S + int(second), f"user{user:02d}", f"category {code}")
        for user in range(30)
        for week in range(30)
        for second, code in zip(
            rng.integers(0, WEEK_S, 20), rng.choice(40, 20, p=taste[user]), strict=True
        )
    ]
    rows.sort()
    stamps = pd.to_datetime([row[0] for row in rows], unit="s").strftime(data.TIME_FORMAT)
    return Log.of(
        pd.DataFrame(
            {
                "user_id": [row[1] for row in rows],
                "timestamp": stamps,
                "behavior": "purchase",
                "item_id": [f"item of {row[2]}" for row in rows],
                "category_id": [row[2] for row in rows],
                "value": 1.0,
            }
        )
    )


@pytest.mark.usefixtures("online_retail")
def test_online_retail_recipe_is_reproduced_byte_for_byte(cache):
    log = Log.of(data.load("online_retail", cache))

    events, labels = splice(log, log.dense_users(12), seed=7)

    assert Counter(label.kind for label in labels) == {
        "none": 114,
        "splice": 45,
        "category_swap": 22,
        "thin": 22,
        "stop": 22,
    }
    assert data.fingerprint(events) == (
        "d220da08901d0baaf54844fb626abca2027e863b3980a68df52154a2a016219b"
    )


def test_complete_journey_recipe_is_reproduced_byte_for_byte(cache):
    log = Log.of(data.load("completejourney", cache))

    events, _ = splice(log, log.dense_users(40), seed=7)

    assert len(events) == 824_833
    assert data.fingerprint(events) == (
        "d7ee94eb56aa4e7ba1201c983ca84f5171640e131bb09f415fa227b7feb150c3"
    )


@pytest.mark.training
def test_ta_feng_recipe_is_reproduced_byte_for_byte(cache):
    log = Log.of(data.load("tafeng", cache))

    events, _ = splice(log, log.dense_users(12), seed=7)

    assert data.fingerprint(events) == (
        "d8ce4dd0c8bd2d7bc859b430afffb590451b601e973884edfbea7ee91356d15c"
    )


@pytest.mark.parametrize("kind", sorted(CHANGES))
def test_nothing_changes_before_the_change(shop, kind):
    # GIVEN a shop in which half of the users change in one way
    events, labels = splice(shop, shop.dense_users(1), seed=3, fractions={"none": 0.5, kind: 0.5})
    for label in labels:
        # WHEN a user's own events before the change are compared with the log's
        made = events[(events["user_id"] == label.user_id)]
        made = made[made["timestamp"] < label.change_at]
        rows = shop.rows_of(label.source_user)
        own = shop.frame(rows, label.user_id)
        own = own[own["timestamp"] < label.change_at]
        # THEN they are the same
        assert sorted(map(tuple, made.to_numpy())) == sorted(map(tuple, own.to_numpy()))


@pytest.mark.parametrize("kind", sorted(set(CHANGES) - {"none"}))
def test_the_change_is_real(shop, kind):
    _, labels = splice(shop, shop.dense_users(1), seed=3, fractions={kind: 1.0})
    events, _ = splice(shop, shop.dense_users(1), seed=3, fractions={kind: 1.0})
    for label in labels:
        late = events[
            (events["user_id"] == label.user_id) & (events["timestamp"] >= label.change_at)
        ]
        own = shop.frame(shop.rows_of(label.source_user), label.user_id)
        own = own[own["timestamp"] >= label.change_at]
        if kind in VOLUME_ONLY:
            assert len(late) > 1.5 * len(own) or len(late) < 0.7 * len(own)
            assert label.changed == []
        else:
            assert label.changed


def test_a_category_swap_keeps_volume_and_items(shop):
    events, labels = splice(shop, shop.dense_users(1), seed=5, fractions={"swap_5": 1.0})
    for label in labels:
        made = events[events["user_id"] == label.user_id]
        own = shop.frame(shop.rows_of(label.source_user), label.user_id)
        assert sorted(made["item_id"]) == sorted(own["item_id"])
        assert len(label.changed) >= 5
