from __future__ import annotations

import numpy as np
from swerve.domain.circumstances import absence, fading, units_of
from swerve.domain.evidence_engagement import Trailing

RING = 8


def rhythm(days_a_week: float, factor: float = 1.0) -> Trailing:
    level = np.full((RING, 1), days_a_week)
    return Trailing(np.zeros((RING, 1)), np.full(RING, factor), level, level)


def away(events: list[int], days_a_week: float = 2.0, known: int = 99, **kw: float) -> dict:
    per_week = len(events) // RING
    return absence(np.array(events), known, rhythm(days_a_week, **kw), 0, per_week)


def test_who_was_away_and_came_back_is_told_how_long() -> None:
    assert away([5, 9, 0, 0, 0, 0, 7, 8]) == {"away_days": 28.0, "back_days": 14.0}


def test_of_a_silence_older_than_the_ring_the_least_is_told() -> None:
    assert away([5, 9, 4, 0, 0, 0, 0, 0]) == {"away_days_at_least": 35.0, "back_days": 21.0}


def test_windows_of_a_day_count_days() -> None:
    # GIVEN 10 active days, 23 silent ones, and activity before
    assert away([3] * 10 + [0] * 23 + [2] * 23) == {"away_days": 23.0, "back_days": 10.0}


def test_a_rhythm_of_silences_is_no_absence() -> None:
    # GIVEN a shopper who comes every third week, and one who was never away for long
    assert away([5, 0, 0, 0, 7, 0, 0, 0], days_a_week=0.3) == {}
    assert away([5, 0, 0, 7, 7, 0, 8, 6]) == {}


def test_a_shop_that_was_closed_is_no_absence() -> None:
    assert away([5, 9, 0, 0, 0, 0, 7, 8], factor=0.05) == {}


def test_a_newcomer_was_not_away() -> None:
    # GIVEN a user who is known for three windows
    assert away([5, 9, 4, 0, 0, 0, 0, 0], known=3) == {}


def test_who_left_slowly_did_less_for_weeks_before() -> None:
    assert fading(decline_weeks=8, idle_weeks=2.0) == {"fading_days": 56.0}
    assert fading(decline_weeks=4, idle_weeks=2.0) == {}


def test_units_of_days_are_by_week_too() -> None:
    # GIVEN two weeks of days; the category on three days of one week
    counts = np.zeros((14, 1, 2), np.uint8)
    counts[[8, 9, 12], 0] = [[1, 2], [1, 1], [1, 4]]
    active = np.ones(14, np.uint8)
    # WHEN
    (units,) = units_of(counts, active, ([0.0], 0.0), [0.0], 30.0, 7)
    # THEN
    assert (units.items, units.of_items, units.usual_items) == (7, 30, 0)
    assert (units.days, units.of_days, units.usual_days) == (3, 14, 0)
    assert (units.weeks, units.of_weeks, units.best_week) == (1, 2, 7)
