"""The rules of scoring, on outcomes worked out by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from training.evaluate import (
    difference_of_recalls,
    false_discoveries,
    in_weeks,
    outcomes_of,
    ratio_of_recalls,
    summarise,
)

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


def test_gain_over_another_detector_is_paired():
    ours, theirs = panel([("b", 20, [])]), panel([])
    gain = difference_of_recalls(ours, theirs, "splice")
    assert (gain.value, gain.n) == (1.0, 1)
    assert difference_of_recalls(theirs, ours, "splice").value == -1.0
    assert ratio_of_recalls(ours, ours, "splice").value == pytest.approx(1.0)


def test_discoveries_before_the_change_are_false(tmp_path):
    # GIVEN one window before and one behind the change of b, and an unchanged a
    truth = panel([])[["user_id", "kind", "change_at", "source_user"]]
    truth.to_csv(tmp_path / "truth.csv", index=False)
    weeks = ["2024-05-13", "2024-05-20"]
    rows = [(user, week, "interest", 0.9) for user in "acd" for week in weeks]
    rows += [("b", weeks[0], "interest", 1e-4), ("b", weeks[1], "interest", 1e-4)]
    scores = pd.DataFrame(rows, columns=["subject", "window_start", "head", "p_value"])
    scores.to_csv(tmp_path / "scores.csv.gz", index=False)
    # WHEN Benjamini-Hochberg at 5 % selects in each window
    rate, count = false_discoveries([(tmp_path, tmp_path)], 0.05)
    # THEN both windows find b, and the early one is false
    assert (count, rate.value) == (2, 0.5)
