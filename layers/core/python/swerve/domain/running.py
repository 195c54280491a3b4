"""Calibration of a running shop, without labels: its own users against the shipped tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain import binary
from swerve.domain.candidate import Head
from swerve.domain.matching import BIN_WIDTH, BINS, EDGES, Excursions, ended_table, own_part
from swerve.domain.peaks import BUCKETS, Peaks, calmest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from swerve.domain.candidate import Candidate
    from swerve.domain.matching import Reference
    from swerve.domain.window import WindowSpec

    Floats = NDArray[np.float64]
    Ended = tuple[Floats, NDArray[np.uint8]]  # log p and bucket

HEADS = tuple(Head)
# Weeks of a shop from which the excursions of these heads are counted when they end. Surges that
# end in a shop's first half year are the short ones, as none of the long ones can have ended; until
# then ratios are read as where the model of counts holds, which makes them less rare than
# households do.
ENDING = {Head.ENGAGEMENT: 9, Head.SURGE: 26}
# Of surges there are fewer, and a shop of clockwork orders hardly knows them. Peaks of interest are
# seldom seen deep, and what is rare in one shop in ten is not in another: the tail is cut short.
COMPARED = {
    Head.INTEREST: Excursions(
        rates=(0.05, 0.015, 0.005, 0.0015, 0.0005),
        least=10.0,
        unlearnt=1.0,
        weeks=500.0,
        bucket_weeks=1500.0,
        steepest=4.0,
        caution=0.4,
    ),
    Head.ENGAGEMENT: Excursions(
        rates=(0.3, 0.06, 0.015, 0.004, 0.0015),
        least=20.0,
        unlearnt=1.0,
        weeks=1000.0,
        bucket_weeks=16_000.0,
        steepest=4.0,
        caution=0.2,
    ),
    Head.SURGE: Excursions(
        rates=(0.03, 0.01, 0.003, 0.001, 0.0004),
        least=10.0,
        unlearnt=0.72,
        weeks=1000.0,
        bucket_weeks=8000.0,
        steepest=10.0,
        caution=0.1,
    ),
}
# Statistics change as histories grow: forget as fast as the number of users allows.
_MEMORY_WEEKS, _ENDED_MEMORY_WEEKS = 15_000.0, 60_000.0
# Within these a week; interest surprises more as pasts grow, and half a year ago says little.
_DECAYS, _INTEREST_DECAYS = (0.85, 0.995), (0.85, 0.96)


@dataclass(frozen=True, slots=True)
class Histograms:
    """How many users of a window had which p-value.

    Attributes
    ----------
    calm : int64[heads, BINS]
        Now, of users who were calm before.
    passed : int64[BUCKETS, LEVELS, BINS + 1]
        Peaks of interest that passed, by `Peaks.passed`.
    ended : int64[2, BUCKETS, BINS]
        By head of `ENDING`: of who acts now, engagement in the window before; of who does no more
        than usual now, the largest surge since it was so before; all others at 0.
    """

    calm: NDArray[np.int64]
    passed: NDArray[np.int64]
    ended: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        log_p: Mapping[Head, Floats],
        calm: Mapping[Head, NDArray[np.bool_]],
        passed: NDArray[np.int64],
        ended: Mapping[Head, Ended],
    ) -> Histograms:
        """Count users who are `calm` and gave evidence, and those of whom something ended."""
        told = [log_p[head][calm[head] & (log_p[head] < 0)] for head in HEADS]
        now = np.stack([np.bincount(_bins(values), minlength=BINS) for values in told])
        return cls(now, passed, np.stack([_counted(*ended[head]) for head in ENDING]))

    @staticmethod
    def sum(parts: Iterable[Histograms]) -> Histograms:
        """Sum over shards."""
        every = list(parts)
        return Histograms(*(np.sum([getattr(p, n) for p in every], axis=0) for n in _PARTS))

    def times(self, factor: int) -> Histograms:
        """As if there were so many alike."""
        return Histograms(*(getattr(self, n) * factor for n in _PARTS))

    def to_bytes(self) -> bytes:
        """Pack."""
        return binary.dump("histograms/4", {}, {n: getattr(self, n) for n in _PARTS})

    @classmethod
    def from_bytes(cls, data: bytes) -> Histograms:
        """Inverse of `to_bytes`."""
        return cls(**binary.load("histograms/4", data)[1])


_PARTS = ("calm", "passed", "ended")


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
    passed: Floats
    ended: Floats

    @classmethod
    def empty(cls) -> RunningCalibration:
        """Nothing seen yet."""
        return cls(
            np.zeros((len(HEADS), BINS)),
            Peaks.empty().passed(0, 7).astype(np.float64),
            np.zeros((len(ENDING), BUCKETS, BINS)),
        )

    def advance(self, histograms: Histograms, spec: WindowSpec) -> RunningCalibration:
        """Take in one window."""
        per_week = 7 // spec.days

        def faded(
            name: str, memory_weeks: float, decays: tuple[float, float], apart: int
        ) -> Floats:
            before, new = getattr(self, name), getattr(histograms, name)
            told = new.sum(axis=tuple(range(apart, new.ndim)), keepdims=True) / per_week
            kept = np.clip(1.0 - told / memory_weeks, *np.array(decays) ** (1 / per_week))
            return np.asarray(before * kept + new)

        return RunningCalibration(
            faded("calm", _MEMORY_WEEKS, _DECAYS, apart=1),
            faded("passed", _ENDED_MEMORY_WEEKS, _INTEREST_DECAYS, apart=0),
            faded("ended", _ENDED_MEMORY_WEEKS, _DECAYS, apart=1),
        )

    def recalibration(self, reference: Reference, now: Histograms | None = None) -> Recalibration:
        """Compare the shop with that of the tables, bucket by bucket; `now` is not taken in.

        Interest is compared by peaks that passed (`peaks`), silences and surges when they have
        ended: those who truly changed, however many they are, do not teach it that changes are
        usual.

        In a window in which everybody surprises, each is measured by the others (`own_part`), if
        it is known what `now` is: of the whole shop, as in a shard one user may be everybody.
        """
        tables = np.stack([self._table(head, reference) for head in HEADS])
        if now is not None:
            for place in range(len(HEADS)):
                part = own_part(now.calm[place], self.calm[place])
                if part < 1.0:
                    tables[place] = [
                        np.interp(part * EDGES, EDGES, table) for table in tables[place]
                    ]
        return Recalibration(tables)

    def _table(self, head: Head, reference: Reference) -> Floats:
        if head in ENDING:
            counts, per_week = self.ended[list(ENDING).index(head)], reference.per_week
        else:
            counts, per_week = calmest(self.passed), 1
        compared = COMPARED[head]
        told = (reference.ended[head], compared, per_week)
        prior = compared.unlearnt * EDGES
        shop = ended_table(counts.sum(axis=0), *told, prior, compared.weeks)
        return np.stack([ended_table(c, *told, shop, compared.bucket_weeks) for c in counts])

    def to_bytes(self) -> bytes:
        """Pack."""
        return binary.dump("running/5", {}, {n: getattr(self, n) for n in _PARTS})

    @classmethod
    def from_bytes(cls, data: bytes) -> RunningCalibration:
        """Inverse of `to_bytes`."""
        return cls(**binary.load("running/5", data)[1])


def _bins(log_p: Floats) -> NDArray[np.int64]:
    return np.clip(-log_p / BIN_WIDTH, 0, BINS - 1).astype(np.int64)


def _counted(log_p: Floats, bucket: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Users by bucket and -log p, int64[BUCKETS, BINS]."""
    joint = bucket.astype(np.int64) * BINS + _bins(log_p)
    return np.bincount(joint, minlength=BUCKETS * BINS).reshape(BUCKETS, BINS)
