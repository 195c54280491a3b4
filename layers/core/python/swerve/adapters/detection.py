"""The detector as deployed: the shipped tables, and the network if its layer has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swerve.domain.calibration import Calibration
from swerve.domain.detector import Detector

if TYPE_CHECKING:
    from swerve.settings import Settings


def detector(of: Settings) -> Detector:
    """Make the detector, once a process."""
    return Detector(of.windows, Calibration.shipped(), None, of.warmup_weeks)
