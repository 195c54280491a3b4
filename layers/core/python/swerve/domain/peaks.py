"""Peaks of a user's surprise of interest that passed: what a shop's p-values are compared by.

Whoever truly changed goes on to surprise for months, and so does whoever changed before. So what a
user was surprised by six weeks ago is counted, of those who were calm in the half year before and
are calm again. It is counted where it was a peak, as an alarm is told once.

How much is calm differs from shop to shop by a factor of ten, so users are counted by how little
calm they were, and the calmest are chosen when the shop is compared (`calmest`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.matching import BIN_WIDTH, BINS, SUSPECT_P

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.uint8]

BUCKETS = 16
SINCE_WEEKS, BEFORE_WEEKS = 6, 26
_PER_BIN = 4
_SCALE = _PER_BIN / BIN_WIDTH  # codes of one nat of -log p
UNJUDGED = 255
_TOP = UNJUDGED - 1
_SUSPECT = round(-np.log(SUSPECT_P) * _SCALE)
# Codes of how little calm a user was; shops of rare visits lie at the low end.
_LEVELS = np.array([2, 3, 4, 5, 7, 9, 12, 16, 22, 29, 39, 53, 71, 95, 128], np.uint8)
_LOG_BOUNDS = np.log(np.concatenate([[1.0], _LEVELS, [float(_TOP)]]))
SILENT = BINS  # place in a histogram of who gave no evidence
# Of each bucket these are looked at: most, and nobody far less calm than a calm user is. Of
# unchanged users 85 % are as near; where half of a shop changed, the second leaves them out.
_CALMEST, _CALM, _FAR = 0.85, 0.3, 3.0
_SILENCE = 4.0  # silent user-weeks that are believed beside one that gave evidence
_MONDAY = 4  # 1970-01-05


@dataclass(frozen=True, slots=True)
class Peaks:
    """What is remembered of each user.

    Attributes
    ----------
    weeks, buckets : uint8[U, 7]
        Largest -log p of interest of each week as a code, and its bucket, newest first; `UNJUDGED`.
    before : uint8[U, 2]
        Largest code of the half year before those weeks, and for how many weeks more it counts.
    """

    weeks: Codes
    buckets: Codes
    before: Codes

    @classmethod
    def empty(cls, users: int = 0) -> Peaks:
        """Nobody judged yet."""
        shape = (users, SINCE_WEEKS + 1)
        return cls(
            np.full(shape, UNJUDGED, np.uint8),
            np.zeros(shape, np.uint8),
            np.zeros((users, 2), "u1"),
        )

    def placed(self, at: NDArray[np.integer], size: int) -> Peaks:
        """Move users to `at` of `size`; nobody has judged the new ones."""
        moved = Peaks.empty(size)
        for name, column in self.arrays().items():
            getattr(moved, name)[at] = column
        return moved

    def only(self, rows: NDArray[np.intp]) -> Peaks:
        """Some users, in this order."""
        return Peaks(*(column[rows] for column in self.arrays().values()))

    def arrays(self) -> dict[str, Codes]:
        """Columns for the checkpoint."""
        return {name: getattr(self, name) for name in _COLUMNS}

    @classmethod
    def from_arrays(cls, stored: Mapping[str, Codes]) -> Peaks:
        """Inverse of `arrays`."""
        return cls(*(stored[name] for name in _COLUMNS))

    @property
    def calm(self) -> NDArray[np.bool_]:
        """Who was no suspect lately, bool[U]."""
        most = np.maximum(self.before[:, 0], _known(self.weeks).max(axis=1))
        return np.asarray(most < _SUSPECT)

    def advance(
        self,
        window: int,
        days: int,
        log_p: Floats,
        bucket: Codes,
        judged: NDArray[np.bool_],
    ) -> Peaks:
        """Take in one window; the first of a week pushes the oldest week out."""
        begun = self._begun() if _week(window) != _week(window - days) else self
        weeks, buckets = begun.weeks.copy(), begun.buckets.copy()
        code = np.where(judged, np.minimum(np.ceil(-_SCALE * log_p), _TOP), UNJUDGED).astype("u1")
        larger = judged & ((weeks[:, 0] == UNJUDGED) | (code > weeks[:, 0]))
        weeks[larger, 0], buckets[larger, 0] = code[larger], bucket[larger]
        return Peaks(weeks, buckets, begun.before)

    def _begun(self) -> Peaks:
        leaving, before = _known(self.weeks[:, -1]), self.before.copy()
        left = before[:, 1] - np.minimum(before[:, 1], 1)
        newer = (leaving >= before[:, 0]) | (left == 0)
        before[:, 0] = np.where(newer, leaving, before[:, 0])
        before[:, 1] = np.where(newer, BEFORE_WEEKS, left)
        weeks, buckets = np.empty_like(self.weeks), np.empty_like(self.buckets)
        weeks[:, 1:], weeks[:, 0] = self.weeks[:, :-1], UNJUDGED
        buckets[:, 1:], buckets[:, 0] = self.buckets[:, :-1], 0
        return Peaks(weeks, buckets, before)

    def passed(self, window: int, days: int) -> NDArray[np.int64]:
        """Count peaks of six weeks ago, in the last window of a week.

        Returns
        -------
        int64[BUCKETS, LEVELS, BINS + 1]
            By bucket, by how little calm users were before and are since, and by -log p: 0 of
            who was no peak; in the last place those who gave no evidence at all.
        """
        counted = np.zeros((BUCKETS, _LEVELS.size + 1, BINS + 1), np.int64)
        if _week(window) == _week(window + days):
            return counted
        judged = np.flatnonzero(self.weeks[:, -1] != UNJUDGED)
        weeks, before = _known(self.weeks[judged]), self.before[judged, 0]
        then, since = weeks[:, -1], weeks[:, :-1]
        newest = np.argmax(since > 0, axis=1)
        now = np.take_along_axis(since, newest[:, None], axis=1)[:, 0]
        level = np.searchsorted(_LEVELS, np.maximum(before, now))
        peak = then >= np.maximum(before, since.max(axis=1))
        place = np.where(then > 0, np.minimum(then // _PER_BIN, BINS - 1) * peak, SILENT)
        np.add.at(counted, (self.buckets[judged, -1], level, place), 1)
        return counted


_COLUMNS = ("weeks", "buckets", "before")


def calmest(counted: Floats) -> Floats:
    """Peaks of the calmest users of each bucket, float64[BUCKETS, BINS]; 0 of all other user-weeks.

    Of silent ones each bucket has as large a part as the shop: they make alarms rarer, and say
    nothing of evidence. When few could give any yet, they are not believed.

    Parameters
    ----------
    counted : float64[BUCKETS, LEVELS, BINS + 1]
        Sum of `Peaks.passed`.
    """
    told = counted[:, :, :SILENT]
    by_level = told.sum(axis=2)
    whole = by_level.sum(axis=1, keepdims=True)
    looked_at = np.array([_near(levels) for levels in by_level])[:, None]
    below = np.cumsum(by_level, axis=1) - by_level
    part = np.clip((looked_at * whole - below) / np.maximum(by_level, 1e-9), 0.0, 1.0)
    peaks = (told * part[:, :, None]).sum(axis=1)
    silent = counted[:, :, SILENT].sum() / max(whole.sum(), 1e-9)
    peaks[:, 0] += peaks.sum(axis=1) * min(silent, _SILENCE)
    return np.asarray(peaks)


def _near(levels: Floats) -> float:
    """Part of a bucket that is looked at."""
    below = np.append(0.0, np.cumsum(levels)) / max(levels.sum(), 1e-9)
    calm = np.interp(_CALM, below, _LOG_BOUNDS)
    return min(_CALMEST, float(np.interp(calm + np.log(_FAR), _LOG_BOUNDS, below)))


def _known(codes: Codes) -> Codes:
    return np.where(codes == UNJUDGED, np.uint8(0), codes)


def _week(window: int) -> int:
    return (window - _MONDAY) // 7
