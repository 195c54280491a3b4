"""Splits, the lock of the test split, and the published counts of Panel R."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from training import data, panel_r, panel_s
from training.log import Log
from training.panels import (
    PROMOTION_WEEKS,
    Locked,
    promote,
    real_panel,
    record_opening,
    split_users,
)


@pytest.fixture(scope="module")
def retail(online_retail) -> Log:
    return Log.of(online_retail)


def test_every_user_is_in_one_split_and_activity_is_alike(retail):
    splits = split_users(retail)
    everyone = [user for users in splits.values() for user in users]
    assert sorted(everyone) == sorted(retail.rows)
    means = [np.mean([retail.rows_of(u).size for u in users]) for users in splits.values()]
    assert max(means) < 1.2 * min(means)


def test_the_test_split_stays_shut_without_a_reason(tmp_path):
    with pytest.raises(Locked):
        real_panel("test", "canonical", 0, tmp_path)


def test_every_opening_is_counted(tmp_path):
    told = tmp_path / "openings.json"
    assert record_opening("first", told) == 1
    assert record_opening("second", told) == 2
    assert [opening["why"] for opening in json.loads(told.read_text())] == ["first", "second"]


def test_a_promotion_raises_everybody_in_its_weeks_only(retail):
    promoted = promote(retail, PROMOTION_WEEKS, np.random.default_rng(0))
    before = np.bincount(retail.week_of(retail.time_s), minlength=retail.weeks)
    after = np.bincount(promoted.week_of(promoted.time_s), minlength=retail.weeks)
    quiet = np.setdiff1d(np.arange(retail.weeks), PROMOTION_WEEKS)
    assert (after[quiet] == before[quiet]).all()
    assert (after[list(PROMOTION_WEEKS)] > 1.2 * before[list(PROMOTION_WEEKS)]).all()


def test_panel_r_has_the_published_counts():
    made, told, houses, _ = panel_r.spliced()
    assert len(houses) == 1324
    assert int(made.sum()) == 443_440
    assert Counter(kind for kind, *_ in told) == {
        "none": 472,
        "shift": 78,
        "drop": 41,
        "partial": 27,
        "gradual": 23,
        "surge": 21,
    }


def test_panel_s_is_reproducible_and_changes_the_share_asked_for():
    events, labels, _ = panel_s.simulate(102, 200, 0.3)
    again, _, _ = panel_s.simulate(102, 200, 0.3)
    assert data.fingerprint(events) == data.fingerprint(again)
    changed = [label for label in labels if label.kind != "none"]
    assert 40 <= len(changed) <= 80
    assert all(label.changed for label in changed if label.kind == "shift")
