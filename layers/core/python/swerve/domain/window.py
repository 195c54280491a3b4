"""Tumbling windows of event time in the stack's time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DAY_MS = 86_400_000
WEEK_DAYS = 7
# First and last window to ask for: labels sort as text, so only years of four digits.
EVERY_WINDOW = (0, 100 * 366)
_EPOCH = date(1970, 1, 1)
_MONDAY_OFFSET = 4  # 5 January 1970 was a Monday


def is_zone(name: str) -> bool:
    """Whether a time zone of this name exists.

    Examples
    --------
    >>> is_zone("Asia/Shanghai"), is_zone("Mars/Phobos"), is_zone("../etc")
    (True, False, False)
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # none; no name; a folder such as Asia
        return False
    return True


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How event time is cut: whole local days, or weeks that start on Monday.

    A window is named by an int: the days from 1970-01-01 to its first local day. So window + days
    is the next window, and a label is its ISO date.

    Parameters
    ----------
    days : {1, 7}
        Length of a window in local days (23 to 25 hours each across a DST change).
    zone : str
        IANA time zone.

    Examples
    --------
    >>> spec = WindowSpec(7, "America/New_York")
    >>> spec.label(int(spec.window_of(np.array([1_483_300_000_000]))[0]))
    '2016-12-26'
    """

    days: Literal[1, 7] = 7
    zone: str = "UTC"

    def window_of(self, time_ms: NDArray[np.int64]) -> NDArray[np.int32]:
        """Window of each time; shape as given."""
        import numpy as np  # noqa: PLC0415 - notify names windows, and starts without numpy

        if time_ms.size == 0:
            return np.empty(time_ms.shape, np.int32)
        first = int(time_ms.min() // DAY_MS) - 2
        last = int(time_ms.max() // DAY_MS) + 2
        starts = np.array([self._midnight_ms(day) for day in range(first, last + 1)], np.int64)
        if (np.diff(starts) == DAY_MS).all():  # no change of clocks: several times as fast
            day = first + (time_ms - starts[0]) // DAY_MS
        else:
            day = first + np.searchsorted(starts, time_ms, side="right") - 1
        if self.days > 1:
            day -= (day - _MONDAY_OFFSET) % self.days
        window: NDArray[np.int32] = day.astype(np.int32)
        return window

    def start_ms(self, window: int) -> int:
        """First millisecond of the window, UTC."""
        return self._midnight_ms(window)

    def end_ms(self, window: int) -> int:
        """First millisecond after the window, UTC."""
        return self._midnight_ms(window + self.days)

    def label(self, window: int) -> str:
        """ISO date of the window's first local day."""
        return (_EPOCH + timedelta(days=window)).isoformat()

    def parse(self, label: str) -> int:
        """Inverse of `label`."""
        return (date.fromisoformat(label) - _EPOCH).days

    def _midnight_ms(self, day: int) -> int:
        local = datetime.combine(_EPOCH + timedelta(days=day), datetime.min.time())
        moment = local.replace(tzinfo=ZoneInfo(self.zone))
        return int(moment.astimezone(UTC).timestamp()) * 1000
