from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swerve.domain.matching import BIN_WIDTH
from swerve.domain.peaks import SILENT, SINCE_WEEKS, UNJUDGED, Peaks, calmest

MONDAY = 17_168
BUCKET = 2
ALL = np.ones(1, np.bool_)


def lived(weekly: list[float | None], days: int = 7) -> tuple[Peaks, list[np.ndarray]]:
    """One user's weeks: how much each surprised, 0 without evidence, None where not judged."""
    peaks, told = Peaks.empty(1), []
    for week, surprise in enumerate(weekly):
        for day in range(0, 7, days):
            window = MONDAY + 7 * week + day
            value = np.array([-(surprise or 0.0) if day == 0 or days == 7 else 0.0])
            judged = ALL if surprise is not None else ~ALL
            peaks = peaks.advance(window, days, value, np.array([BUCKET], np.uint8), judged)
            told.append(peaks.passed(window, days))
    return peaks, told


def heights(told: list[np.ndarray]) -> list[int]:
    """Bins in which somebody was counted as a peak."""
    bins = np.sum(told, axis=0)[BUCKET].sum(axis=0)
    return [place for place in np.flatnonzero(bins[:SILENT]).tolist() if place]


@pytest.mark.parametrize("days", [7, 1])
def test_a_peak_is_counted_once_when_it_has_passed(days):
    # GIVEN a user who surprises for three weeks, most in the second
    _, told = lived([0.1] * 10 + [2.0, 5.0, 4.0] + [0.1] * SINCE_WEEKS, days)
    # THEN the largest counts, six weeks later, once
    assert heights(told) == [int(5.0 / BIN_WIDTH)]
    assert heights(told[: -2 * 7 // days]) == []


def test_who_goes_on_to_surprise_is_counted_as_little_calm():
    _, told = lived([0.1] * 10 + [5.0] + [4.9] * SINCE_WEEKS)
    level = np.flatnonzero(told[-1][BUCKET].sum(axis=1))
    assert level > 10
    # AND so is who surprised before, for half a year
    _, told = lived([0.1, 9.0] + [0.1] * 20 + [5.0] + [0.1] * SINCE_WEEKS)
    assert np.flatnonzero(told[-1][BUCKET].sum(axis=1)) > 10
    _, told = lived([0.1, 9.0] + [0.1] * 40 + [5.0] + [0.1] * SINCE_WEEKS)
    assert np.flatnonzero(told[-1][BUCKET].sum(axis=1)) < 5


def test_silence_is_counted_apart_and_who_is_not_judged_not_at_all():
    _, told = lived([None] * 4 + [0.0] * 3 + [1.0] * SINCE_WEEKS)
    every = np.sum(told, axis=0)
    assert every.sum() == 3
    assert every[:, :, SILENT].sum() == 3


def test_a_suspect_is_not_calm_for_half_a_year_and_longer():
    for weeks, calm in ((1, False), (25, False), (40, True)):
        peaks, _ = lived([0.1] * 3 + [3.5] + [0.1] * weeks)
        assert peaks.calm.tolist() == [calm]


@given(st.lists(st.one_of(st.none(), st.floats(0.0, 20.0)), min_size=12, max_size=30))
def test_every_judged_week_is_counted_once(weekly):
    _, told = lived(weekly)
    judged = [surprise is not None for surprise in weekly[:-SINCE_WEEKS]]
    assert np.sum(told, axis=0).sum() == sum(judged)


def test_rows_follow_their_users():
    peaks, _ = lived([0.1, 2.0, 3.0])
    moved = peaks.placed(np.array([2]), 3)
    assert moved.weeks[2].tolist() == peaks.weeks[0].tolist()
    assert np.all(moved.weeks[:2] == UNJUDGED)
    back = Peaks.from_arrays(moved.only(np.array([2])).arrays())
    for name, column in peaks.arrays().items():
        assert np.array_equal(back.arrays()[name], column)


def test_the_calmest_are_chosen_in_each_bucket():
    # GIVEN a bucket of calm users, and one of users ten times as lively
    counted = np.zeros_like(Peaks.empty().passed(MONDAY, 7), np.float64)
    counted[0, 2, 1], counted[0, 5, 9] = 80, 20
    counted[1, 9, 3], counted[1, 11, 30] = 40, 60
    # THEN as large a part of each is looked at
    assert calmest(counted).sum(axis=1)[:2] == pytest.approx([85, 85])
    assert calmest(counted)[0, 9] == pytest.approx(5)
    assert calmest(counted)[1, 30] == pytest.approx(45)


def test_where_half_of_a_shop_changed_they_are_left_out():
    # GIVEN as many users who changed, ten times as lively since
    counted = np.zeros_like(Peaks.empty().passed(MONDAY, 7), np.float64)
    counted[0, 4, 2], counted[0, 13, 40] = 50, 50
    # THEN
    assert calmest(counted)[0, 2] == pytest.approx(50)
    assert calmest(counted)[0, 40] == pytest.approx(0)
