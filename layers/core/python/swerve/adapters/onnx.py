"""The shipped network on onnxruntime; refuses a file that is not what its manifest says."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from swerve.domain.network_input import FEATURES
from swerve.errors import SwerveError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

    from numpy.typing import NDArray

PACKAGE = "swerve_model"
FILES = ("manifest.json", "model.onnx")
_BATCH = 1024  # measured best between 64 and 1024 on one thread


class ModelRefused(SwerveError):
    """The model does not match its manifest or this release: score without it."""


class OnnxNetwork:
    """One stateful step a window, on one thread."""

    def __init__(self, model: bytes, state: int, generation: str) -> None:
        self.generation = generation
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._state = state
        self._targets = int(self._session.get_outputs()[0].shape[1])

    @property
    def hidden(self) -> int:
        """Numbers carried a user."""
        return self._state

    def step(
        self, inputs: NDArray[np.float32], state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the forecast of the next window, float32[n, targets], and the state after."""
        if not len(inputs):
            # onnxruntime 1.32 crashes the process on an LSTM over nobody.
            return np.empty((0, self._targets), np.float32), state
        parts = [
            self._session.run(
                None, {"x": inputs[at : at + _BATCH], "state": state[at : at + _BATCH]}
            )
            for at in range(0, len(inputs), _BATCH)
        ]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def load(folder: Traversable | None = None) -> OnnxNetwork:
    """Read `model.onnx` and `manifest.json` of a folder (the model layer by default).

    Raises
    ------
    ModelRefused
        No model, another hash, another feature order, or a file that onnxruntime cannot read.
    """
    try:
        return made(shipped(folder))
    except (OSError, ModuleNotFoundError) as missing:
        raise ModelRefused(f"no readable model: {missing}; install the model layer") from missing


def shipped(folder: Traversable | None = None) -> dict[str, bytes]:
    """`FILES` of a folder (the model layer by default)."""
    place = files(PACKAGE) if folder is None else folder
    return {name: place.joinpath(name).read_bytes() for name in FILES}


def made(of: Mapping[str, bytes]) -> OnnxNetwork:
    """Make a network of the bytes of `FILES`; raise as `load` does."""
    model = of["model.onnx"]
    try:
        told: dict[str, Any] = json.loads(of["manifest.json"]).get("model", {})
    except ValueError as broken:
        raise ModelRefused(f"manifest.json cannot be read: {broken}") from broken
    found = hashlib.sha256(model).hexdigest()
    if found != told.get("sha256"):
        raise ModelRefused(f"model.onnx has sha256 {found}, its manifest says {told.get('sha256')}")
    if told.get("features") != list(FEATURES):
        raise ModelRefused("the model's features are not those of this release: train it again")
    try:
        return OnnxNetwork(model, int(told["state"]), f"{told['cell']}-{found}")
    except Exception as broken:  # onnxruntime raises several unrelated types
        raise ModelRefused(f"onnxruntime cannot read model.onnx: {broken}") from broken
