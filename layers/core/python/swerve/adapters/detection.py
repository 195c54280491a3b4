"""The detector as deployed: the shipped tables, and the network if its layer has a valid one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from swerve.adapters.onnx import ModelRefused, OnnxNetwork, load
from swerve.domain.calibration import Calibration
from swerve.domain.detector import Detector

if TYPE_CHECKING:
    from swerve.settings import Settings

logger = logging.getLogger(__name__)


def detector(of: Settings) -> Detector:
    """Make the detector, once a process."""
    found = network()
    model = found.identity if found else {}
    return Detector(of.windows, Calibration.shipped(), found, of.warmup_weeks, model)


def network() -> OnnxNetwork | None:
    """Return the shipped network, or None, with a warning, where there is no valid one."""
    try:
        return load()
    except ModelRefused as refused:
        logger.warning("scoring without the network: %s", refused)
        return None
