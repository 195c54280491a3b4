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
    """What the shop's own past says of the shipped p-values: -log p -> scale x -log p + shift."""

    scale: Floats
    shift: Floats

    @classmethod
    def identity(cls) -> Recalibration:
        """Believe the shipped tables."""
        return cls(np.ones((len(HEADS), BUCKETS)), np.zeros((len(HEADS), BUCKETS)))

    def apply(self, head: Head, bucket: NDArray[np.uint8], p: Floats) -> Floats:
        """Recalibrated p-values."""
        place = HEADS.index(head)
        surprise = -np.log(np.maximum(p, 1e-300))
        moved = surprise * self.scale[place, bucket] + self.shift[place, bucket]
        return np.asarray(np.exp(-np.maximum(moved, 0.0)))

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
        return binary.dump("recalibration", {}, {"scale": self.scale, "shift": self.shift})

    @classmethod
    def from_bytes(cls, data: bytes) -> Recalibration:
        """Inverse of `to_bytes`."""
        return cls(**binary.load("recalibration", data)[1])


@dataclass(frozen=True, slots=True)
class RunningCalibration:
    """Histograms of the windows so far."""

    counts: Floats

    @classmethod
    def empty(cls) -> RunningCalibration:
        """Nothing seen yet."""
        return cls(np.zeros((len(HEADS), BUCKETS, BINS)))

    def advance(self, window: int, histograms: Histograms) -> RunningCalibration:
        """Take in one window."""
        return RunningCalibration(self.counts + histograms.counts)

    def recalibration(self) -> Recalibration:
        """What the windows so far say."""
        return Recalibration.identity()

    def to_bytes(self) -> bytes:
        """Pack."""
        return binary.dump("running", {}, {"counts": self.counts})

    @classmethod
    def from_bytes(cls, data: bytes) -> RunningCalibration:
        """Inverse of `to_bytes`."""
        return cls(**binary.load("running", data)[1])
