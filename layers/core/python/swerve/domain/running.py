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
# The map is read where truly changed users are few among the many: between these shares of the
# user-weeks, and carried on beyond in -log p.
_QUANTILES = np.array([0.3, 0.04, 0.01, 0.0025])  # the first two span the bulk
# Of the user-weeks of the households that the tables were measured on, how many give evidence at
# all: interest is silent where a user is. A shop in which more are silent has fewer alarms.
_SPEAKING = np.array([0.76, 1.0])
_POOLED_WEEKS, _BUCKET_WEEKS = 2000.0, 8000.0  # user-weeks that weigh as much as the prior
_TAIL_WEEKS = 60.0
_DOUBT = 0.85  # of a steeper tail: of two noisy slopes the larger one is too large
_SCALES, _SHIFTS = (0.4, 4.0), (-6.0, 1.5)
_PARTS = 6
_UNMOVED = np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
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
        """Count the users that are `kept`."""
        counts = np.zeros((len(HEADS), BUCKETS, BINS), np.int64)
        for place, head in enumerate(HEADS):
            some = kept[head]
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

    -log p -> shift + scale x -log p, and steeper by `bend` beyond each `knot`.

    Attributes
    ----------
    shift, scale : float64[heads, BUCKETS]
    knot, bend : float64[heads, BUCKETS, 2]
    """

    shift: Floats
    scale: Floats
    knot: Floats
    bend: Floats

    @classmethod
    def identity(cls) -> Recalibration:
        """Believe the shipped tables."""
        shape = (len(HEADS), BUCKETS)
        return cls(np.zeros(shape), np.ones(shape), np.zeros((*shape, 2)), np.zeros((*shape, 2)))

    def apply(self, head: Head, bucket: NDArray[np.uint8], p: Floats) -> Floats:
        """Recalibrated p-values; 1 stays 1."""
        place = HEADS.index(head)
        surprise = -np.log(np.maximum(p, 1e-300))
        moved = surprise * self.scale[place, bucket] + self.shift[place, bucket]
        for k in range(self.knot.shape[-1]):
            beyond = np.maximum(surprise - self.knot[place, bucket, k], 0.0)
            moved += self.bend[place, bucket, k] * beyond
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

    def recalibration(self) -> Recalibration:
        """Compare the shop's own user-weeks with what the shipped tables say of unchanged ones.

        A share S(s) of the user-weeks has -log p above s; on the shop of the tables it is exp(-s).
        -log S is read at two quantiles of the bulk and extended as a line, because log likelihood
        ratios have exponential tails. The tail itself may only make the line steeper: truly changed
        users make tails heavier, and a calibration that learnt that would silence them; a lighter
        tail than the line says is the shop's own. Buckets are shrunk to the head, and the head to
        the shipped tables, while data is scarce.
        """
        lines = np.empty((len(HEADS), BUCKETS, _PARTS))
        for place, speaking in enumerate(_SPEAKING):
            pooled = _line(self.counts[place].sum(axis=0), speaking, _UNMOVED, _POOLED_WEEKS)
            for bucket in range(BUCKETS):
                counts = self.counts[place, bucket]
                lines[place, bucket] = _line(counts, speaking, pooled, _BUCKET_WEEKS)
        return Recalibration(lines[..., 0], lines[..., 1], lines[..., 2:4], lines[..., 4:])

    def to_bytes(self) -> bytes:
        """Pack."""
        return binary.dump("running", {}, {"counts": self.counts})

    @classmethod
    def from_bytes(cls, data: bytes) -> RunningCalibration:
        """Inverse of `to_bytes`."""
        return cls(**binary.load("running", data)[1])


def _line(counts: Floats, speaking: float, prior: Floats, weeks: float) -> Floats:
    """Shift, scale, two knots and two bends from one histogram, shrunk to those of the prior."""
    total = float(counts.sum())
    above = np.cumsum(counts[::-1])[::-1][1:]  # beyond the upper edge of each bin but the last
    if total <= 0 or above[0] <= _QUANTILES[0] * speaking * total:
        return prior
    surprise = -np.log(np.maximum(above, 0.5) / (total * speaking))
    wanted = -np.log(_QUANTILES)
    at = np.interp(wanted, surprise, BIN_WIDTH * np.arange(1, BINS))  # surprise never falls
    slopes = np.diff(wanted) / np.maximum(np.diff(at), 1e-6)
    scale = float(np.clip(slopes[0], *_SCALES))
    shift = float(np.clip(wanted[1] - scale * at[1], *_SHIFTS))
    steepest = np.maximum.accumulate(np.clip(np.append(scale, slopes[1:] * _DOUBT), *_SCALES))
    found = total * speaking * _QUANTILES[2:]  # user-weeks beyond the lower end of each part
    bends = np.diff(steepest) * found / (found + _TAIL_WEEKS)
    line = np.array([shift, scale, *at[1:3], *bends])
    return prior + total / (total + weeks) * (line - prior)
