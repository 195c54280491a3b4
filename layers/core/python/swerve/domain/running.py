"""Calibration of a running shop, without labels: its own users against the shipped tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain import binary
from swerve.domain.candidate import Head

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from swerve.domain.candidate import Candidate

    Floats = NDArray[np.float64]

BUCKETS = 16
BINS = 64
BIN_WIDTH = 0.25  # of -log p
HEADS = tuple(Head)
# The map is read at these shares of the calm user-weeks; the first two span the bulk.
QUANTILES = np.array([0.3, 0.06, 0.015])
# A user who passes this is suspect, and not calm for half a year. With half of the users of a panel
# truly changed, the quantiles of the calm are those of the unchanged within 5 %.
SUSPECT_P = 0.05
_SUSPECT_BIN = round(-np.log(SUSPECT_P) / BIN_WIDTH)
_POOLED_WEEKS, _BUCKET_WEEKS = 2000.0, 8000.0  # user-weeks that weigh as much as the prior
_TAIL_WEEKS = 60.0
# Parts of a steeper line that are not believed: tails bend less than the bulk, and of two noisy
# slopes the larger one is too large. Set on simulated shops of unchanged users.
_CAUTION, _DOUBT = 0.2, 0.9
_SCALES, _SHIFTS = (0.4, 4.0), (-6.0, 1.5)
_PARTS = 4
_UNMOVED = np.array([0.0, 1.0, 0.0, 0.0])
# Statistics change as histories grow: forget as fast as the number of users allows.
_MEMORY_WEEKS, _DECAYS = 15_000.0, (0.85, 0.995)


@dataclass(frozen=True, slots=True)
class Histograms:
    """How many users of a window had which p-value: int64[heads, BUCKETS, BINS]."""

    counts: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        log_p: Mapping[Head, Floats],
        bucket: Mapping[Head, NDArray[np.uint8]],
        kept: Mapping[Head, NDArray[np.bool_]],
    ) -> Histograms:
        """Count the users that are `kept` and gave evidence.

        Whoever did nothing says nothing of interest: how often that is differs from shop to shop,
        and more from window to window of one day.
        """
        counts = np.zeros((len(HEADS), BUCKETS, BINS), np.int64)
        for place, head in enumerate(HEADS):
            some = kept[head] & (log_p[head] < 0)
            bins = np.clip(-log_p[head][some] / BIN_WIDTH, 0, BINS - 1).astype(np.int64)
            joint = bucket[head][some].astype(np.int64) * BINS + bins
            counts[place] = np.bincount(joint, minlength=BUCKETS * BINS).reshape(BUCKETS, BINS)
        return cls(counts)

    @staticmethod
    def sum(parts: Iterable[Histograms]) -> Histograms:
        """Sum over shards."""
        return Histograms(np.sum([part.counts for part in parts], axis=0))

    def to_bytes(self) -> bytes:
        """Pack."""
        return binary.dump("histograms", {}, {"counts": self.counts})

    @classmethod
    def from_bytes(cls, data: bytes) -> Histograms:
        """Inverse of `to_bytes`."""
        return cls(**binary.load("histograms", data)[1])


@dataclass(frozen=True, slots=True)
class Recalibration:
    """What the shop's own past says of the shipped p-values: a convex line in -log p.

    -log p -> shift + scale x -log p, and steeper by `bend` beyond `knot`.

    Attributes
    ----------
    shift, scale, knot, bend : float64[heads, BUCKETS]
    """

    shift: Floats
    scale: Floats
    knot: Floats
    bend: Floats

    @classmethod
    def identity(cls) -> Recalibration:
        """Believe the shipped tables."""
        shape = (len(HEADS), BUCKETS)
        return cls(np.zeros(shape), np.ones(shape), np.zeros(shape), np.zeros(shape))

    def apply(self, head: Head, bucket: NDArray[np.uint8], p: Floats) -> Floats:
        """Recalibrated p-values; 1 stays 1."""
        place = HEADS.index(head)
        surprise = -np.log(np.maximum(p, 1e-300))
        moved = surprise * self.scale[place, bucket] + self.shift[place, bucket]
        moved += self.bend[place, bucket] * np.maximum(surprise - self.knot[place, bucket], 0.0)
        return np.where(surprise > 0, np.exp(-np.maximum(moved, 0.0)), 1.0)

    def apply_to(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Give candidates their recalibrated p-value."""
        return [
            replace(
                c, p_value=float(self.apply(c.head, np.array([c.bucket]), np.array([c.p_value]))[0])
            )
            for c in candidates
        ]

    def to_bytes(self) -> bytes:
        """Pack."""
        return binary.dump("recalibration", {}, {n: getattr(self, n) for n in self.__slots__})

    @classmethod
    def from_bytes(cls, data: bytes) -> Recalibration:
        """Inverse of `to_bytes`."""
        return cls(**binary.load("recalibration", data)[1])


@dataclass(frozen=True, slots=True)
class RunningCalibration:
    """Histograms of the windows so far, older ones fading; float64[heads, BUCKETS, BINS]."""

    counts: Floats

    @classmethod
    def empty(cls) -> RunningCalibration:
        """Nothing seen yet."""
        return cls(np.zeros((len(HEADS), BUCKETS, BINS)))

    def advance(self, window: int, histograms: Histograms) -> RunningCalibration:
        """Take in one window."""
        new = histograms.counts.sum(axis=(1, 2), keepdims=True)
        kept = np.clip(1.0 - new / _MEMORY_WEEKS, *_DECAYS)
        return RunningCalibration(self.counts * kept + histograms.counts)

    def recalibration(self, bulk: Floats) -> Recalibration:
        """Compare the shop's calm user-weeks with those of the unchanged users of the tables.

        Quantiles of -log p in the bulk are matched by a line, which is extended into the tail,
        because log likelihood ratios have exponential tails. The tail itself may only make the line
        steeper: truly changed users make tails heavier, and a calibration that learnt that would
        silence them; a lighter tail than the line says is the shop's own. Buckets are shrunk to
        the head, and the head to the shipped tables, while data is scarce.

        Parameters
        ----------
        bulk : float64[heads, 7]
            Of the shop of the tables, by `bulk_of`.
        """
        lines = np.empty((len(HEADS), BUCKETS, _PARTS))
        for place, wanted in enumerate(bulk):
            pooled = _shrunk(self.counts[place].sum(axis=0), wanted, _UNMOVED, _POOLED_WEEKS)
            for bucket in range(BUCKETS):
                counts = self.counts[place, bucket]
                lines[place, bucket] = _shrunk(counts, wanted, pooled, _BUCKET_WEEKS)
        return Recalibration(*np.moveaxis(lines, -1, 0))

    def to_bytes(self) -> bytes:
        """Pack."""
        return binary.dump("running", {}, {"counts": self.counts})

    @classmethod
    def from_bytes(cls, data: bytes) -> RunningCalibration:
        """Inverse of `to_bytes`."""
        return cls(**binary.load("running", data)[1])


def bulk_of(calm: Floats, every: Floats) -> Floats:
    """What to compare a shop with, float64[7].

    -log p at `QUANTILES` of the user-weeks that stay calm; the same of all user-weeks; and the
    share of the calm that turn suspect.

    Parameters
    ----------
    calm, every : float64[BINS]
        Histograms of the users calm before a window, and of all.
    """
    return np.concatenate([_quantiles(calm[:_SUSPECT_BIN]), _quantiles(every), [_turning(calm)]])


def _turning(counts: Floats) -> float:
    return float(counts[_SUSPECT_BIN:].sum() / max(counts.sum(), 1.0))


def _quantiles(counts: Floats) -> Floats:
    """-log p at `QUANTILES`; 0 where fewer users gave evidence at all."""
    above = np.append(np.cumsum(counts[::-1])[::-1][1:], 0.0)  # beyond the upper edge of each bin
    surprise = -np.log(np.maximum(above, 0.5) / max(counts.sum(), 1.0))
    edges = BIN_WIDTH * np.arange(counts.size + 1)
    # Surprise never falls along the bins.
    return np.asarray(np.interp(-np.log(QUANTILES), np.append(0.0, surprise), edges))


def _shrunk(counts: Floats, wanted: Floats, prior: Floats, weeks: float) -> Floats:
    """Shift, scale, knot and bend from one histogram, shrunk to those of the prior.

    Where as many turn suspect as on the shop of the tables, or more, only those who stay calm are
    compared. A shop whose p-values are too large has no suspects: there all are.
    """
    total = float(counts.sum())
    if total <= 0:
        return prior
    suspect = min(_turning(counts) / wanted[-1], 1.0)
    line = suspect * _line(counts[:_SUSPECT_BIN], wanted[:3])
    line += (1.0 - suspect) * _line(counts, wanted[3:6])
    return np.asarray(prior + total / (total + weeks) * (line - prior))


def _line(counts: Floats, wanted: Floats) -> Floats:
    at = _quantiles(counts)
    slopes = np.diff(wanted) / np.maximum(np.diff(at), 1e-6)
    steeper = max(
        slopes[0] - 1.0, 0.0
    )  # where tails are lighter, they still bend less than the bulk
    scale = float(np.clip(slopes[0] - _CAUTION * steeper, *_SCALES))
    shift = float(np.clip(wanted[1] - scale * at[1], *_SHIFTS))
    found = float(counts.sum()) * QUANTILES[2]  # user-weeks beyond the bulk
    bend = max(float(np.clip(slopes[1] * _DOUBT, *_SCALES)) - scale, 0.0)
    return np.array([shift, scale, at[1], bend * found / (found + _TAIL_WEEKS)])
