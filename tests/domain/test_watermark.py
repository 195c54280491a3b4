from __future__ import annotations

import pytest
from swerve.domain.watermark import Progress
from swerve.domain.window import DAY_MS, WindowSpec

WEEKS = WindowSpec(7, "UTC")
MONDAY = 17_168  # 2017-01-02
DAY_S = 86_400


def at(days: float) -> int:
    """Milliseconds of a moment so many days after Monday 2017-01-02."""
    return round((MONDAY + days) * DAY_MS)


def progress(watermark: float, *, newest: float | None = None, seen: float = 400) -> Progress:
    return Progress(at(watermark), at(watermark if newest is None else newest), at(seen))


def test_the_slowest_active_source_counts():
    # GIVEN the slow source was last seen two days ago
    sources = {"web": (at(20), at(21)), "till": (at(9), at(19))}
    # WHEN
    both = Progress.of(sources, at(21), source_idle_s=3 * DAY_S)
    idle = Progress.of(sources, at(21), source_idle_s=DAY_S)
    # THEN
    assert both == Progress(at(9), at(20), at(21))
    assert idle == Progress(at(20), at(20), at(21))


def test_when_all_are_idle_the_furthest_counts():
    # GIVEN / WHEN
    found = Progress.of({"web": (at(1), at(1)), "till": (at(2), at(2))}, at(90), DAY_S)
    # THEN
    assert found is not None
    assert found.watermark_ms == at(2)


def test_no_source_no_progress():
    # GIVEN / WHEN / THEN
    assert Progress.of({}, 0, 1) is None


@pytest.mark.parametrize(
    ("watermark", "newest"), [(7.99, MONDAY - 7), (8.0, MONDAY), (14.9, MONDAY), (15, MONDAY + 7)]
)
def test_a_window_is_complete_a_lateness_after_its_end(watermark, newest):
    # GIVEN uploads go on
    now = at(400) + 1
    # WHEN
    found = progress(watermark).newest_complete(WEEKS, now, lateness_s=DAY_S, settle_s=300)
    # THEN
    assert found == newest


def test_a_pause_completes_the_window_that_holds_the_newest_data_and_no_later_one():
    # GIVEN
    stopped = progress(10, seen=30)
    # WHEN
    before = stopped.newest_complete(WEEKS, at(31) - 1, lateness_s=DAY_S, settle_s=300)
    after = stopped.newest_complete(WEEKS, at(31), lateness_s=DAY_S, settle_s=300)
    much_later = stopped.newest_complete(WEEKS, at(3000), lateness_s=DAY_S, settle_s=300)
    # THEN
    assert (before, after, much_later) == (MONDAY, MONDAY + 7, MONDAY + 7)


def test_a_pause_does_not_complete_a_window_that_still_runs():
    # GIVEN data of Wednesday, uploaded on Wednesday
    stopped = progress(9, seen=9)
    # WHEN
    found = stopped.newest_complete(WEEKS, at(12), lateness_s=DAY_S, settle_s=300)
    # THEN
    assert found == MONDAY


def test_settled_after_silence():
    # GIVEN
    busy = progress(1, seen=10)
    # WHEN / THEN
    assert not busy.settled(at(10) + 299_999, 300)
    assert busy.settled(at(10) + 300_000, 300)


def test_the_horizon_counts_from_the_watermark():
    # GIVEN / WHEN / THEN
    assert progress(35, newest=90).horizon_ms(35) == at(0)
