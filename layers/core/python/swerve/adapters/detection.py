"""The detector as deployed, and the networks of before.

The shipped tables, and the network if its layer has a valid one; those of other generations are
kept in the data bucket.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swerve.adapters.onnx import FILES, ModelRefused, OnnxNetwork, load, made, shipped
from swerve.domain.calibration import Calibration
from swerve.domain.detector import Detector

if TYPE_CHECKING:
    from swerve.domain.network import Network
    from swerve.ports import Data
    from swerve.settings import Settings

logger = logging.getLogger(__name__)


def detector(of: Settings) -> Detector:
    """Make the detector, once a process."""
    found = network()
    generation = found.generation if found else ""
    return Detector(of.windows, Calibration.shipped(), found, of.warmup_weeks, generation)


@dataclass(slots=True)
class StoredModels:
    """The networks, by generation: the deployed one, and those kept in the data bucket."""

    data: Data
    deployed: Detector
    lost: bool = field(init=False)

    def __post_init__(self) -> None:
        self.lost = self.deployed.network is None

    def keep(self) -> None:
        """Have the deployed one also when another is deployed."""
        if self.deployed.network is not None:
            for name, body in shipped().items():
                self.data.put(_key(self.deployed.generation, name), body)

    def network(self, generation: str) -> Network | None:
        """Return it; None, with a warning, where it is not to be had."""
        if generation == self.deployed.generation:
            return self.deployed.network
        if not generation:
            return None
        stored = {name: self.data.get(_key(generation, name)) for name in FILES}
        try:
            return _kept(generation, {n: body for n, body in stored.items() if body is not None})
        except ModelRefused as refused:
            logger.warning("scoring without the network of before: %s", refused)
            self.lost = True
            return None


def _kept(generation: str, stored: dict[str, bytes]) -> OnnxNetwork:
    if len(stored) < len(FILES):
        raise ModelRefused(f"{_key(generation, '')} is missing from the data bucket")
    found = made(stored)
    if found.generation != generation:
        raise ModelRefused(f"{_key(generation, '')} holds {found.generation}")
    return found


def _key(generation: str, name: str) -> str:
    return f"models/{generation}/{name}"


def network() -> OnnxNetwork | None:
    """Return the shipped network, or None, with a warning, where there is no valid one."""
    try:
        return load()
    except ModelRefused as refused:
        logger.warning("scoring without the network: %s", refused)
        return None
