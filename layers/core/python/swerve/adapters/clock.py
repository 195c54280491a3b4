"""The system's clock."""

from __future__ import annotations

import time


class SystemClock:
    """The time of day."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000
