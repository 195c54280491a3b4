from __future__ import annotations

import numpy as np
import pytest
from swerve.domain.calibration import Calibration
from swerve.domain.candidate import Head
from swerve.domain.detector import NOBODY
from swerve.domain.matching import BIN_WIDTH, BINS, Line, calm_line, ended_table, own_part
from swerve.domain.running import (
    EDGES,
    ENDING,
    Histograms,
    Recalibration,
    RunningCalibration,
)
from swerve.domain.window import WindowSpec

from tests.domain.shop import WEEKLY, shop, walk

BULK = Calibration.shipped().bulk(WEEKLY)
USERS, WEEKS = 4_000, 30
QUIET = Histograms(
    np.zeros((len(Head), 16, BINS), np.int64), np.zeros((len(ENDING), 16, BINS), np.int64)
)
SILENCES = ENDING[Head.ENGAGEMENT]
BUCKET = 3


def learnt(log_p, silent):
    """Walk a shop whose calm users have such p-values; `silent` of each thousand did nothing."""
    rng, running = np.random.default_rng(4), RunningCalibration.empty()
    for _ in range(WEEKS):
        found = {head: log_p(rng, USERS) for head in Head}
        for head in Head:
            found[head][rng.random(USERS) < silent / 1000] = 0.0
        everybody = dict.fromkeys(Head, np.ones(USERS, np.bool_))
        bucket = dict.fromkeys(Head, np.full(USERS, BUCKET, np.uint8))
        running = running.advance(Histograms.of(found, bucket, everybody, NOBODY), WEEKLY)
    return running.recalibration(BULK, QUIET)


def as_in_the_tables(head):
    """P-values with the quantiles of the shop of the tables."""

    def draw(rng, size):
        at = np.concatenate([[0.0], BULK.calm[head][3:6]])
        return -np.interp(rng.exponential(1.0, size), -np.log([1, 0.3, 0.06, 0.015]), at) - 1e-6

    return draw


def test_who_gave_no_evidence_is_not_counted():
    log_p = {head: np.array([-1.0, 0.0, -3.0]) for head in Head}
    bucket = dict.fromkeys(Head, np.array([0, 6, 0], np.uint8))
    kept = dict.fromkeys(Head, np.array([True, True, True]))
    counts = Histograms.of(log_p, bucket, kept, NOBODY).calm
    assert counts.sum(axis=(1, 2)).tolist() == [2] * len(Head)
    assert not counts[:, 6].any()


@pytest.mark.parametrize("silent", [0, 300, 900])
def test_silence_says_nothing_of_how_to_read_evidence(silent):
    # GIVEN a shop like that of the tables, with more silent users
    found = learnt(as_in_the_tables(Head.INTEREST), silent)
    # THEN p-values mean what they meant
    p = np.array([0.3, 0.01, 1e-4])
    moved = found.apply(Head.INTEREST, np.full(3, BUCKET, np.uint8), p)
    assert np.log(moved) == pytest.approx(np.log(p), rel=0.25)


@pytest.mark.parametrize("days", [7, 1])
def test_the_most_active_are_not_taken_for_the_silent(days):
    # GIVEN unchanged users, who do nothing in many windows of one day
    counted = np.zeros((len(Head), 16))
    for _, _, (scores,) in walk(shop(users=80, weeks=16, rate=3.0), WindowSpec(days, "UTC")):
        counted += scores.histograms.calm.sum(axis=2)
    # THEN nobody is counted in a bucket that only heavy users reach
    place = list(Head).index(Head.INTEREST)
    assert counted[place].sum() > 100
    assert counted[place, 5:].sum() == 0


def test_without_data_p_values_mean_what_they_meant():
    found = RunningCalibration.empty().recalibration(BULK, QUIET)
    p = np.array([1.0, 0.3, 1e-4, 1e-12])
    for head in Head:
        part = ENDING[head].unlearnt if head in ENDING else 1.0
        assert found.apply(head, np.zeros(4, np.uint8), p) == pytest.approx(p**part)


def test_a_map_goes_on_straight_beyond_its_edges():
    doubled = Recalibration(np.tile(2.0 * EDGES, (len(Head), 16, 1)))
    p = np.array([0.9, 1e-3, 1e-20])
    assert doubled.apply(Head.INTEREST, np.zeros(3, np.uint8), p) == pytest.approx(p**2)


def histogram(size, scale=1.0, shift=0.0):
    """Calm users whose -log p is that of the tables, divided by `scale` after `shift` was added."""
    at = np.concatenate([[0.0], BULK.calm[Head.INTEREST][3:6]])
    surprise = np.interp(
        -np.log((np.arange(size) + 0.5) / size), -np.log([1, 0.3, 0.06, 0.015]), at
    )
    bins = np.clip((surprise + shift) / scale / BIN_WIDTH, 0, BINS - 1).astype(int)
    return np.bincount(bins, minlength=BINS).astype(float)


def test_the_level_of_a_bucket_is_learnt_before_its_slope():
    # GIVEN a few hundred user-weeks that are more surprised than the tables say
    line = calm_line(histogram(300, shift=0.8), BULK.calm[Head.INTEREST], Line(), 8000.0, 0.4)
    # THEN they are read as less surprising at once, by much the same slope
    assert -0.9 < line.shift < -0.4
    assert line.scale == pytest.approx(1.0, abs=0.05)


def test_a_slope_is_believed_with_data_and_never_wholly():
    few, many = (
        calm_line(histogram(n, scale=2.0), BULK.calm[Head.INTEREST], Line(), 400.0, 0.4).scale
        for n in (100, 100_000)
    )
    assert 1.0 < few < 1.3
    assert 1.4 < many < 1.8


def ended(head, size, stretch, left=0):
    """User-weeks of which some end an excursion: as in the tables, but `stretch` times as deep."""
    compared, told = ENDING[head].rates, BULK.ended[head]
    rates = np.array([1, *compared, 1e-6])
    at = np.array([0.0, *told, told[-1] + np.log(compared[-1] / 1e-6)])
    surprise = np.interp(-np.log((np.arange(size) + 0.5) / size), -np.log(rates), at)
    bins = np.clip(stretch * surprise / BIN_WIDTH, 0, BINS - 1).astype(int)
    counts = np.bincount(bins, minlength=BINS).astype(float)
    counts[0] += left  # silent for good: nothing unusual was seen to end
    return counts


def table_of(head, counts):
    return ended_table(counts, BULK.ended[head], ENDING[head], BULK.per_week, EDGES, 400.0)


@pytest.mark.parametrize("left", [0, 2_000])
def test_where_silences_are_short_a_shorter_one_is_news(left):
    # GIVEN a shop whose silences go half as deep, with or without users who left
    table = table_of(Head.ENGAGEMENT, ended(Head.ENGAGEMENT, 30_000, 0.5, left))
    # THEN half as deep a silence means what a whole one means in the tables
    for deep in BULK.ended[Head.ENGAGEMENT][1:4]:
        assert np.interp(deep / 2, EDGES, table) == pytest.approx(deep, rel=0.12)
    # AND the tail goes on, a little less steep than it was seen
    beyond = np.diff(table)[-1] / BIN_WIDTH
    assert 1.4 < beyond < 2.0


def test_few_silences_say_little():
    assert np.array_equal(table_of(Head.ENGAGEMENT, ended(Head.ENGAGEMENT, 90, 0.5)), EDGES)


def test_where_people_shop_like_clockwork_a_small_surge_is_news():
    # GIVEN a shop whose users hardly ever do more than usual
    table = table_of(Head.SURGE, ended(Head.SURGE, 60_000, 0.2))
    # THEN a fifth of a surge is news there, and twice that far more so
    deep = BULK.ended[Head.SURGE][3]
    assert np.interp(deep / 5, EDGES, table) == pytest.approx(deep, rel=0.15)
    assert np.interp(2 * deep / 5, EDGES, table) > 1.5 * deep
    # AND where they do so all the time, it is none
    table = table_of(Head.SURGE, ended(Head.SURGE, 60_000, 3.0))
    assert np.interp(3 * deep, EDGES, table) == pytest.approx(deep, rel=0.15)


def test_in_a_holiday_each_is_measured_by_the_others():
    # GIVEN a window in which everybody surprises twice as much as usual, and an ordinary one
    usual, holiday, ordinary = histogram(20_000), histogram(900, scale=0.5), histogram(900)
    # THEN
    assert own_part(holiday, usual) == pytest.approx(0.5, abs=0.1)
    assert own_part(ordinary, usual) == 1.0
    # AND a handful of users proves nothing
    for users in (1, 3, 19):
        assert own_part(histogram(users, scale=0.1), usual) == 1.0
    # AND nobody is silenced for good
    assert own_part(histogram(900, scale=0.01), usual) == 0.2
    assert own_part(np.zeros(BINS), usual) == own_part(usual, np.zeros(BINS)) == 1.0


def test_a_holiday_is_no_reason_to_tell_of_anybody():
    # GIVEN a shop that was calm for half a year
    running = RunningCalibration.empty()
    calm, none = np.zeros_like(QUIET.calm), QUIET.ended
    calm[:, BUCKET] = histogram(2_000)
    for _ in range(26):
        running = running.advance(Histograms(calm, none), WEEKLY)
    # WHEN everybody's mix moves
    holiday = np.zeros_like(calm)
    holiday[:, BUCKET] = histogram(2_000, scale=0.5)
    found = running.recalibration(BULK, Histograms(holiday, none))
    # THEN what is rare by the tables is not
    rare = np.exp(-np.array([6.0, 9.0]))
    bucket = np.full(2, BUCKET, np.uint8)
    for head in Head:
        p = found.apply(head, bucket, rare)
        assert np.all(p > 10 * rare)
        # AND a shard that cannot know of the holiday explains all who might be told
        assert np.all(running.recalibration(BULK).apply(head, bucket, rare) < p)
