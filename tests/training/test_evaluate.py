"""The rules of scoring, on outcomes worked out by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from training.evaluate import in_weeks, outcomes_of, summarise

CHANGE_AT = "2024-05-20T00:00:00Z"  # start of week 20
FIRST = in_weeks(pd.Series(["2024-01-01"]))[0]


def panel(alarms):
    """Users a (unchanged) and b (splice in week 20, cat is new), scored in weeks 12 to 51."""
    truth = pd.DataFrame(
        {
            "user_id": ["a", "b", "c", "d"],
            "kind": ["none", "splice", "none", "none"],
            "change_week": 20,
            "change_at": CHANGE_AT,
            "source_user": ["1", "2", "3", "4"],
            "activity": [1.0, 2.0, 3.0, 4.0],
            "changed_categories": [None, "cat|dog", None, None],
        }
    )
    scored = pd.DataFrame(
        [(user, FIRST + week + 1) for user in "abcd" for week in range(12, 52)],
        columns=["user_id", "end"],
    )
    alerts = pd.DataFrame(
        [(user, FIRST + week + 1, "interest", named) for user, week, named in alarms],
        columns=["user_id", "end", "head", "named"],
    )
    return outcomes_of(truth, scored, alerts, 7)


def test_an_alarm_in_the_first_changed_week_has_delay_one():
    report = summarise(panel([("b", 20, ["cat", "cow"])]), 1.0)
    assert report.delays == {"splice": [1]}
    assert report.recall8["splice"].value == 1
    assert report.named.value == 1
    assert report.false_per_1000.value == 0


def test_an_alarm_before_the_change_is_false_and_does_not_hide_the_hit():
    report = summarise(panel([("b", 19, []), ("b", 27, ["cow"])]), 1.0)
    assert report.delays == {"splice": [8]}
    assert report.recall4["splice"].value == 0
    assert report.named.value == 0
    # three unchanged users of 40 weeks, and weeks 12 to 19 of the changed one
    assert report.false_per_1000.n == 3 * 40 + 8
    assert report.false_per_1000.value == pytest.approx(1000 / 128)


def test_a_late_alarm_is_neither_hit_nor_false():
    report = summarise(panel([("b", 28, ["cat"])]), 1.0)
    assert report.recall8["splice"].value == 0
    assert report.false_per_1000.value == 0


def test_ratio_is_realised_over_stated_and_slices_add_up():
    report = summarise(panel([("a", 30, []), ("c", 30, [])]), 20.0)
    assert report.ratio.value == pytest.approx(1000 * 2 / 128 / 20)
    assert sum(rate.n for rate in report.slices.values()) == 128
    assert report.ratio.low <= report.ratio.value <= report.ratio.high
