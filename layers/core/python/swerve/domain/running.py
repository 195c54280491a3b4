"""Calibration of a running shop, without labels: its own users against the shipped tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain import binary
from swerve.domain.candidate import Head
from swerve.domain.matching import (
    BIN_WIDTH,
    BINS,
    EDGES,
    Excursions,
    Line,
    calm_line,
    ended_table,
    own_part,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from swerve.domain.candidate import Candidate
    from swerve.domain.matching import Bulk
    from swerve.domain.window import WindowSpec

    Floats = NDArray[np.float64]
    Ended = tuple[Floats, NDArray[np.uint8]]  # log p and bucket

BUCKETS = 16
HEADS = tuple(Head)
# User-weeks that weigh as much as the prior of the slope of a line: of the shop, whose prior are
# the tables, and of a bucket, whose prior is the shop.
_SLOPE_WEEKS, _BUCKET_SLOPE_WEEKS = 400.0, 8000.0
# Parts of a steeper slope that are not believed: tails bend less than the bulk, and of two noisy
# slopes the larger one is too large. Set on simulated shops of unchanged users.
_CAUTION = 0.4
# Silences; and weeks above the usual, of which there are fewer, and which a shop of clockwork
# orders hardly knows. Those that end in a shop's first half year are the short ones, as none of the
# long ones can have ended; until then ratios are read as where the model of counts holds, which
# makes them less rare than households do.
ENDING = {
    Head.ENGAGEMENT: Excursions(
        rates=(0.3, 0.06, 0.015, 0.004, 0.0015),
        from_week=9,
        unlearnt=1.0,
        weeks=1000.0,
        bucket_weeks=16_000.0,
        steepest=4.0,
        caution=0.2,
    ),
    Head.SURGE: Excursions(
        rates=(0.03, 0.01, 0.003, 0.001, 0.0004),
        from_week=26,
        unlearnt=0.72,
        weeks=1000.0,
        bucket_weeks=8000.0,
        steepest=10.0,
        caution=0.1,
    ),
}
# Statistics change as histories grow: forget as fast as the number of users allows.
_MEMORY_WEEKS, _ENDED_MEMORY_WEEKS, _DECAYS = 15_000.0, 60_000.0, (0.85, 0.995)


@dataclass(frozen=True, slots=True)
class Histograms:
    """How many users of a window had which p-value.

    Attributes
    ----------
    calm : int64[heads, BUCKETS, BINS]
        Of who was kept: in a running shop, those calm before.
    ended : int64[2, BUCKETS, BINS]
        By head of `ENDING`: of who acts now, engagement in the window before; of who does no more
        than usual now, the largest surge since it was so before; all others at 0.
    """

    calm: NDArray[np.int64]
    ended: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        log_p: Mapping[Head, Floats],
        bucket: Mapping[Head, NDArray[np.uint8]],
        kept: Mapping[Head, NDArray[np.bool_]],
        ended: Mapping[Head, Ended],
    ) -> Histograms:
        """Count the users that are `kept` and gave evidence, and those of whom something `ended`.

        Whoever did nothing says nothing of interest: how often that is differs from shop to shop,
        and more from window to window of one day.
        """
        calm = []
        for head in HEADS:
            some = kept[head] & (log_p[head] < 0)
            calm.append(_counted(log_p[head][some], bucket[head][some]))
        return cls(np.stack(calm), np.stack([_counted(*ended[head]) for head in ENDING]))

    @staticmethod
    def sum(parts: Iterable[Histograms]) -> Histograms:
        """Sum over shards."""
        every = list(parts)
        calm, ended = (np.sum([getattr(p, n) for p in every], axis=0) for n in ("calm", "ended"))
        return Histograms(calm, ended)

    def times(self, factor: int) -> Histograms:
        """As if there were so many alike."""
        return Histograms(self.calm * factor, self.ended * factor)

    def to_bytes(self) -> bytes:
        """Pack."""
        return binary.dump("histograms/3", {}, {"calm": self.calm, "ended": self.ended})

    @classmethod
    def from_bytes(cls, data: bytes) -> Histograms:
        """Inverse of `to_bytes`."""
        return cls(**binary.load("histograms/3", data)[1])


@dataclass(frozen=True, slots=True)
class Recalibration:
    """What the shop's own past says of the shipped p-values.

    Attributes
    ----------
    surprise : float64[heads, BUCKETS, BINS + 1]
        Recalibrated -log p at the edges of the bins; straight between and beyond them.
    """

    surprise: Floats

    @classmethod
    def identity(cls) -> Recalibration:
        """Believe the shipped tables."""
        return cls(np.tile(EDGES, (len(HEADS), BUCKETS, 1)))

    def apply(self, head: Head, bucket: NDArray[np.uint8], p: Floats) -> Floats:
        """Recalibrated p-values; 1 stays 1."""
        table = self.surprise[HEADS.index(head)]
        at = -np.log(np.maximum(p, 1e-300)) / BIN_WIDTH
        below = np.minimum(at.astype(np.int64), BINS - 1)
        low, high = table[bucket, below], table[bucket, below + 1]
        return np.where(at > 0, np.exp(-(low + (at - below) * (high - low))), 1.0)

    def apply_to(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Give candidates their recalibrated p-value."""
        return [
            replace(
                c, p_value=float(self.apply(c.head, np.array([c.bucket]), np.array([c.p_value]))[0])
            )
            for c in candidates
        ]


@dataclass(frozen=True, slots=True)
class RunningCalibration:
    """Histograms of the windows so far, older ones fading; float64 of the same shapes."""

    calm: Floats
    ended: Floats

    @classmethod
    def empty(cls) -> RunningCalibration:
        """Nothing seen yet."""
        shape = (BUCKETS, BINS)
        return cls(np.zeros((len(HEADS), *shape)), np.zeros((len(ENDING), *shape)))

    def advance(self, histograms: Histograms, spec: WindowSpec) -> RunningCalibration:
        """Take in one window."""
        per_week = 7 // spec.days
        decays = np.array(_DECAYS) ** (1 / per_week)
        new = histograms.calm.sum(axis=(1, 2), keepdims=True) / per_week
        kept = np.clip(1.0 - new / _MEMORY_WEEKS, *decays)
        told = histograms.ended.sum(axis=(1, 2), keepdims=True) / per_week
        ended = np.clip(1.0 - told / _ENDED_MEMORY_WEEKS, *decays)
        return RunningCalibration(
            self.calm * kept + histograms.calm, self.ended * ended + histograms.ended
        )

    def recalibration(self, bulk: Bulk, now: Histograms | None = None) -> Recalibration:
        """Compare the shop with that of the tables, bucket by bucket; `now` is not taken in.

        Of interest, calm users are compared by their bulk (`matching.calm_line`); silences and
        surges when they have ended (`matching.ended_table`).

        In a window in which everybody surprises, each is measured by the others (`own_part`), if
        it is known what `now` is: of the whole shop, as in a shard one user may be everybody.
        """
        tables = np.stack(
            [self._by_ended(h, bulk) if h in ENDING else self._by_calm(h, bulk) for h in HEADS]
        )
        if now is not None:
            for place in range(len(HEADS)):
                part = own_part(now.calm[place].sum(axis=0), self.calm[place].sum(axis=0))
                if part < 1.0:
                    tables[place] = [
                        np.interp(part * EDGES, EDGES, table) for table in tables[place]
                    ]
        return Recalibration(tables)

    def _by_calm(self, head: Head, bulk: Bulk) -> Floats:
        # Histograms of windows of a day hold users seven times.
        counts = self.calm[HEADS.index(head)] / bulk.per_week
        wanted = bulk.calm[head]
        shop = calm_line(counts.sum(axis=0), wanted, Line(), _SLOPE_WEEKS, _CAUTION)
        lines = [calm_line(c, wanted, shop, _BUCKET_SLOPE_WEEKS, _CAUTION) for c in counts]
        return np.stack([line.table() for line in lines])

    def _by_ended(self, head: Head, bulk: Bulk) -> Floats:
        compared, counts = ENDING[head], self.ended[list(ENDING).index(head)]
        told = (bulk.ended[head], compared, bulk.per_week)
        prior = compared.unlearnt * EDGES
        shop = ended_table(counts.sum(axis=0), *told, prior, compared.weeks)
        return np.stack([ended_table(c, *told, shop, compared.bucket_weeks) for c in counts])

    def to_bytes(self) -> bytes:
        """Pack."""
        return binary.dump("running/4", {}, {"calm": self.calm, "ended": self.ended})

    @classmethod
    def from_bytes(cls, data: bytes) -> RunningCalibration:
        """Inverse of `to_bytes`."""
        return cls(**binary.load("running/4", data)[1])


def _counted(log_p: Floats, bucket: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Users by bucket and -log p, int64[BUCKETS, BINS]."""
    bins = np.clip(-log_p / BIN_WIDTH, 0, BINS - 1).astype(np.int64)
    joint = bucket.astype(np.int64) * BINS + bins
    return np.bincount(joint, minlength=BUCKETS * BINS).reshape(BUCKETS, BINS)
