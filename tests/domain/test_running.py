from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from swerve.domain.calibration import Calibration
from swerve.domain.candidate import Head
from swerve.domain.detector import NOBODY
from swerve.domain.matching import BIN_WIDTH, BINS, EDGES, ended_table, own_part
from swerve.domain.peaks import BUCKETS, SILENT
from swerve.domain.running import COMPARED, Histograms, Recalibration, RunningCalibration
from swerve.domain.window import WindowSpec

from tests.domain.shop import WEEKLY, shop, walk

REFERENCE = Calibration.shipped().reference(WEEKLY)
NONE = RunningCalibration.empty()
QUIET = Histograms(*(x.astype(np.int64) for x in (NONE.calm, NONE.passed, NONE.ended)))
BUCKET = 3


def test_who_gave_no_evidence_is_not_counted():
    log_p = {head: np.array([-1.0, 0.0, -3.0, -2.0]) for head in Head}
    calm = dict.fromkeys(Head, np.array([True, True, True, False]))
    counts = Histograms.of(log_p, calm, QUIET.passed, NOBODY).calm
    assert counts.sum(axis=1).tolist() == [2] * len(Head)


def passed(size, stretch, silent=0, level=0):
    """Peaks of interest that passed: as in the tables, but `stretch` times as high."""
    found = np.zeros_like(QUIET.passed)
    found[BUCKET, level, :SILENT] = ended(Head.INTEREST, size, stretch)
    found[BUCKET, 0, SILENT] = silent
    return found


def of_interest(counts):
    running = NONE.advance(Histograms(QUIET.calm, counts, QUIET.ended), WEEKLY)
    return running.recalibration(REFERENCE, QUIET).surprise[list(Head).index(Head.INTEREST), BUCKET]


def test_interest_is_compared_by_the_calmest_users():
    # GIVEN a shop that surprises half as much, and a tenth of its users who changed for good
    alone, mixed = (
        of_interest(passed(30_000, 0.5) + passed(3_000 * some, 9.0, level=14)) for some in (0, 1)
    )
    # THEN half as much means what the whole means in the tables, whoever else changed
    for deep in REFERENCE.ended[Head.INTEREST][1:]:
        assert np.interp(deep / 2, EDGES, alone) == pytest.approx(deep, rel=0.12)
        assert np.interp(deep / 2, EDGES, mixed) == pytest.approx(deep, rel=0.25)


def test_where_users_are_mostly_silent_a_peak_is_rarer():
    none, half, most = (of_interest(passed(30_000, 1.0, silent)) for silent in (0, 30_000, 10**7))
    assert np.all(half[8:16] > none[8:16] + 0.3)
    # AND a shop in which hardly anybody can be compared yet is not believed
    assert np.array_equal(most, of_interest(passed(30_000, 1.0, 120_000)))


@pytest.mark.parametrize("days", [7, 1])
def test_the_most_active_are_not_taken_for_the_silent(days):
    # GIVEN unchanged users, who do nothing in many windows of one day
    counted = np.zeros(BUCKETS)
    for _, _, (scores,) in walk(shop(users=80, weeks=22, rate=3.0), WindowSpec(days, "UTC")):
        counted += scores.histograms.passed[:, :, :SILENT].sum(axis=(1, 2))
    # THEN nobody is counted in a bucket that only heavy users reach
    assert counted.sum() > 100
    assert counted[5:].sum() == 0


def test_without_data_p_values_mean_what_they_meant():
    found = NONE.recalibration(REFERENCE, QUIET)
    p = np.array([1.0, 0.3, 1e-4, 1e-12])
    for head, compared in COMPARED.items():
        assert found.apply(head, np.zeros(4, np.uint8), p) == pytest.approx(p**compared.unlearnt)


def test_a_map_goes_on_straight_beyond_its_edges():
    doubled = Recalibration(np.tile(2.0 * EDGES, (len(Head), 16, 1)))
    p = np.array([0.9, 1e-3, 1e-20])
    assert doubled.apply(Head.INTEREST, np.zeros(3, np.uint8), p) == pytest.approx(p**2)


def histogram(size, scale=1.0):
    """Users whose -log p is exponential, divided by `scale`."""
    surprise = -np.log((np.arange(size) + 0.5) / size) / scale
    return np.bincount(
        np.clip(surprise / BIN_WIDTH, 0, BINS - 1).astype(int), minlength=BINS
    ).astype(float)


def ended(head, size, stretch, left=0):
    """User-weeks of which some end an excursion: as in the tables, but `stretch` times as deep."""
    compared, told = COMPARED[head].rates, REFERENCE.ended[head]
    rates = np.array([1, *compared, 1e-6])
    at = np.array([0.0, *told, told[-1] + np.log(compared[-1] / 1e-6)])
    surprise = np.interp(-np.log((np.arange(size) + 0.5) / size), -np.log(rates), at)
    bins = np.clip(stretch * surprise / BIN_WIDTH, 0, BINS - 1).astype(int)
    counts = np.bincount(bins, minlength=BINS).astype(float)
    counts[0] += left  # silent for good: nothing unusual was seen to end
    return counts


def table_of(head, counts):
    told = (REFERENCE.ended[head], COMPARED[head], REFERENCE.per_week)
    return ended_table(counts, *told, EDGES, 400.0)


@pytest.mark.parametrize("left", [0, 2_000])
def test_where_silences_are_short_a_shorter_one_is_news(left):
    # GIVEN a shop whose silences go half as deep, with or without users who left
    table = table_of(Head.ENGAGEMENT, ended(Head.ENGAGEMENT, 30_000, 0.5, left))
    # THEN half as deep a silence means what a whole one means in the tables
    for deep in REFERENCE.ended[Head.ENGAGEMENT][1:4]:
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
    deep = REFERENCE.ended[Head.SURGE][3]
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
    usual, holiday = (
        replace(QUIET, calm=np.tile(histogram(2_000, scale).astype(np.int64), (len(Head), 1)))
        for scale in (1.0, 0.5)
    )
    running = NONE
    for _ in range(26):
        running = running.advance(usual, WEEKLY)
    # WHEN everybody's mix moves
    found = running.recalibration(REFERENCE, holiday)
    # THEN what is rare by the tables is not
    rare = np.exp(-np.array([6.0, 9.0]))
    bucket = np.full(2, BUCKET, np.uint8)
    for head in Head:
        p = found.apply(head, bucket, rare)
        assert np.all(p > 10 * rare)
        # AND a shard that cannot know of the holiday explains all who might be told
        assert np.all(running.recalibration(REFERENCE).apply(head, bucket, rare) < p)
