from __future__ import annotations

import numpy as np
import pytest
from swerve.domain.calibration import Calibration
from swerve.domain.candidate import Head
from swerve.domain.running import Histograms, RunningCalibration
from swerve.domain.window import WindowSpec

from tests.domain.shop import shop
from tests.domain.test_detector import walk

BULK = Calibration.shipped().bulk(WindowSpec(7, "UTC"))
USERS, WEEKS = 4_000, 30
BUCKET = 3


def learnt(log_p, silent):
    """Walk a shop whose calm users have such p-values; `silent` of each thousand did nothing."""
    rng, running = np.random.default_rng(4), RunningCalibration.empty()
    for week in range(WEEKS):
        found = {head: log_p(rng, USERS) for head in Head}
        for head in Head:
            found[head][rng.random(USERS) < silent / 1000] = 0.0
        everybody = dict.fromkeys(Head, np.ones(USERS, np.bool_))
        bucket = dict.fromkeys(Head, np.full(USERS, BUCKET, np.uint8))
        running = running.advance(7 * week, Histograms.of(found, bucket, everybody))
    return running.recalibration(BULK)


def as_in_the_tables(head):
    """P-values with the quantiles of the shop of the tables."""

    def draw(rng, size):
        at = np.concatenate([[0.0], BULK[list(Head).index(head)][3:6]])
        return -np.interp(rng.exponential(1.0, size), -np.log([1, 0.3, 0.06, 0.015]), at) - 1e-6

    return draw


def test_who_gave_no_evidence_is_not_counted():
    log_p = {head: np.array([-1.0, 0.0, -3.0]) for head in Head}
    bucket = dict.fromkeys(Head, np.array([0, 6, 0], np.uint8))
    kept = dict.fromkeys(Head, np.array([True, True, True]))
    counts = Histograms.of(log_p, bucket, kept).counts
    assert counts.sum(axis=(1, 2)).tolist() == [2, 2]
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
    counted = np.zeros((2, 16))
    for _, _, (scores,) in walk(shop(users=60, weeks=16, rate=3.0), WindowSpec(days, "UTC")):
        counted += scores.histograms.counts.sum(axis=2)
    # THEN nobody is counted in a bucket that only heavy users reach
    place = list(Head).index(Head.INTEREST)
    assert counted[place].sum() > 100
    assert counted[place, 5:].sum() == 0
