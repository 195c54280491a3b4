"""What detection needs of a recurrent model; `swerve.adapters.onnx` answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Network(Protocol):
    """A recurrent model: one stateful step a window."""

    @property
    def hidden(self) -> int:
        """Numbers carried a user, S."""
        ...

    def step(
        self, inputs: NDArray[np.float32], state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(float32[n, F], float32[n, S]) -> (forecast float32[n, >= 2], state float32[n, S])."""
        ...
