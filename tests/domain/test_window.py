from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swerve.domain.window import WindowSpec

# Beirut and Havana change their clocks at midnight, Lord Howe by half an hour, Apia lost a day.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Shanghai",
    "Asia/Kolkata",
    "Asia/Beirut",
    "America/Havana",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]
MOMENT = st.datetimes(datetime(2005, 1, 1), datetime(2035, 12, 31))  # noqa: DTZ001 - made UTC below


@given(st.sampled_from(ZONES), st.lists(MOMENT, min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_a_window_is_the_date_on_the_wall(zone: str, drawn: list[datetime]) -> None:
    # GIVEN moments of thirty years
    moments = [m.replace(microsecond=m.microsecond // 1000 * 1000, tzinfo=UTC) for m in drawn]
    time_ms = np.array([round(moment.timestamp() * 1000) for moment in moments], np.int64)
    # WHEN / THEN
    for days in (1, 7):
        spec = WindowSpec(days, zone)
        found = [spec.label(int(window)) for window in spec.window_of(time_ms)]
        local = [moment.astimezone(ZoneInfo(zone)).date() for moment in moments]
        back = [timedelta(day.weekday() if days == 7 else 0) for day in local]
        assert found == [(d - b).isoformat() for d, b in zip(local, back, strict=True)]


@pytest.mark.parametrize("zone", ZONES)
def test_windows_leave_no_gap_and_do_not_overlap(zone: str) -> None:
    for days in (1, 7):
        spec = WindowSpec(days, zone)
        first = spec.parse("2025-12-29")
        for window in range(first, first + 371, days):
            start, end = spec.start_ms(window), spec.end_ms(window)
            edges = np.array([start - 1, start, end - 1, end], np.int64)
            assert spec.window_of(edges).tolist() == [
                window - days,
                window,
                window,
                window + days,
            ]


@pytest.mark.parametrize(
    ("zone", "label", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("UTC", "2026-03-29", 24),
    ],
)
def test_a_day_has_the_hours_that_its_clocks_show(zone: str, label: str, hours: int) -> None:
    spec = WindowSpec(1, zone)
    window = spec.parse(label)
    assert spec.end_ms(window) - spec.start_ms(window) == hours * 3_600_000
