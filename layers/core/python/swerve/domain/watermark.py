"""Up to which event time data is believed complete, and which windows that closes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.window import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swerve.domain.window import WindowSpec


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the stack's sources have come.

    Attributes
    ----------
    watermark_ms : int
        The stack's watermark.
    newest_ms : int
        The greatest watermark of any source: data reaches so far.
    seen_ms : int
        When a batch was last uploaded, by the clock.
    """

    watermark_ms: int
    newest_ms: int
    seen_ms: int

    @classmethod
    def of(
        cls, sources: Mapping[str, tuple[int, int]], now_ms: int, source_idle_s: int
    ) -> Progress | None:
        """Combine sources (name -> watermark_ms, seen_ms); None where there is none.

        The stack's watermark is the least over sources active within `source_idle_s`: one that
        went silent holds nobody back. Where all are silent, the one that came furthest counts.
        """
        if not sources:
            return None
        newest_ms = max(watermark for watermark, _ in sources.values())
        active = [w for w, seen in sources.values() if now_ms - seen <= source_idle_s * 1000]
        seen_ms = max(seen for _, seen in sources.values())
        return cls(min(active, default=newest_ms), newest_ms, seen_ms)

    def newest_complete(self, spec: WindowSpec, now_ms: int, lateness_s: int, settle_s: int) -> int:
        """Return the newest window that may be closed.

        A window is complete when the watermark passed its end by the lateness. When uploads pause
        for as long as the lateness, waiting has already been done: then the window that holds the
        newest data is complete as soon as the clock passed its end, and none after it.
        """
        complete = self._window(spec, self.watermark_ms - lateness_s * 1000) - spec.days
        if now_ms - self.seen_ms >= max(lateness_s, settle_s) * 1000:
            last = self._window(spec, self.newest_ms)
            if spec.end_ms(last) <= now_ms:
                return max(complete, last)
        return complete

    def settled(self, now_ms: int, settle_s: int) -> bool:
        """Whether no batch came for `settle_s`."""
        return now_ms - self.seen_ms >= settle_s * 1000

    def horizon_ms(self, horizon_days: int) -> int:
        """Event time behind which data comes too late; from the watermark, never the clock."""
        return self.watermark_ms - horizon_days * DAY_MS

    @staticmethod
    def _window(spec: WindowSpec, time_ms: int) -> int:
        return int(spec.window_of(np.array([time_ms], np.int64))[0])
