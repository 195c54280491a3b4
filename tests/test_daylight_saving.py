"""Windows are whole local days or weeks across a change of clocks, however times are written."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from swerve.domain.packing import unpack
from swerve.settings import Settings

from tests.ingesting import new_world, upload

HEADER = "user_id,timestamp,behavior,item_id,category_id,value\n"
# The days of both changes, and the hours of that day.
CHANGES = [
    ("Europe/Berlin", date(2026, 3, 29), 23),
    ("Europe/Berlin", date(2026, 10, 25), 25),
    ("America/New_York", date(2026, 3, 8), 23),
    ("America/New_York", date(2026, 11, 1), 25),
]
DAYS = 9  # before and after the change


def instants(zone: str, day: date) -> list[datetime]:
    """Every quarter of an hour around a day, in local time with its offset."""
    first = datetime.combine(day - timedelta(DAYS), datetime.min.time(), ZoneInfo(zone))
    last = first + timedelta(2 * DAYS)
    at, found = first.astimezone(UTC), []
    while at < last.astimezone(UTC):
        found.append(at.astimezone(ZoneInfo(zone)))
        at += timedelta(minutes=15)
    return found


def windows_of(times: list[str], zone: str, window: str) -> tuple[Counter[str], list[int]]:
    """Upload one event at each time; return events by window, and their times."""
    settings = Settings(window=window, time_zone=zone, shard_count=4, horizon_days=400)
    body = HEADER + "".join(f"u{n % 7},{time},view,i{n},c,\n" for n, time in enumerate(times))
    world = new_world()
    receipt = upload(world, body.encode(), settings=settings)
    assert receipt.packed == len(times)
    found: Counter[str] = Counter()
    moments: list[int] = []
    for item in world.windows.stored.values():
        events, _ = unpack(item.data)
        label = settings.windows.label(item.window)
        found[label] += len(events)
        moments += events.time_ms.tolist()
        # Readers of windows agree with what was put in them.
        assert settings.windows.start_ms(item.window) <= events.time_ms.min()
        assert events.time_ms.max() < settings.windows.end_ms(item.window)
    return found, sorted(moments)


def local_window(moment: datetime, window: str) -> str:
    """The oracle: the date on the wall, or the Monday before it."""
    day = moment.date()
    return (day - timedelta(day.weekday() if window == "7d" else 0)).isoformat()


@pytest.mark.parametrize("window", ["1d", "7d"])
@pytest.mark.parametrize(("zone", "day", "hours"), CHANGES)
def test_times_with_an_offset(zone: str, day: date, hours: int, window: str) -> None:
    # GIVEN an event every quarter of an hour, times written in local time and in UTC by turns
    moments = instants(zone, day)
    times = [
        moment.isoformat() if n % 2 else moment.astimezone(UTC).isoformat()
        for n, moment in enumerate(moments)
    ]
    # WHEN
    found, stored = windows_of(times, zone, window)
    # THEN each is in the window of its date on the wall, and none was moved
    assert found == Counter(local_window(moment, window) for moment in moments)
    assert stored == [round(moment.timestamp() * 1000) for moment in moments]
    if window == "1d":
        assert found[day.isoformat()] == 4 * hours
    else:
        assert sum(found.values()) == 4 * (24 * (2 * DAYS - 1) + hours)


@pytest.mark.parametrize("spelling", ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"])
@pytest.mark.parametrize("window", ["1d", "7d"])
@pytest.mark.parametrize(("zone", "day", "hours"), CHANGES)
def test_times_without_an_offset(
    zone: str, day: date, hours: int, window: str, spelling: str
) -> None:
    # GIVEN what a clock on the wall showed: in autumn one hour twice
    moments = instants(zone, day)
    times = [moment.strftime(spelling) for moment in moments]
    # WHEN
    found, stored = windows_of(times, zone, window)
    # THEN windows are right, and both passes of the hour are read as the first
    assert found == Counter(local_window(moment, window) for moment in moments)
    assert stored == sorted(round(m.replace(fold=0).timestamp() * 1000) for m in moments)
    repeated = len(stored) - len(set(stored))
    assert repeated == (4 if hours == 25 else 0)


@pytest.mark.parametrize("window", ["1d", "7d"])
@pytest.mark.parametrize(
    ("zone", "day"), [(zone, day) for zone, day, hours in CHANGES if hours == 23]
)
def test_an_hour_that_no_clock_showed(zone: str, day: date, window: str) -> None:
    # GIVEN times in the hour that was left out, by a clock that was not set yet
    times = [f"{day}T02:{minute:02d}:00" for minute in range(60)]
    # WHEN
    found, stored = windows_of(times, zone, window)
    # THEN none is lost: they count on from before the change, as RFC 5545 and Python do
    assert found == Counter({local_window(datetime.combine(day, datetime.min.time()), window): 60})
    before = datetime.combine(day, datetime.min.time(), ZoneInfo(zone)) + timedelta(hours=1)
    first_ms = round(before.timestamp() * 1000) + 3_600_000
    assert stored == [first_ms + minute * 60_000 for minute in range(60)]
