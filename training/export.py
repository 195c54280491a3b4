"""Export the better network to ONNX, check it against torch, and write its manifest."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import torch
from swerve.domain.forecast import remembered
from swerve.domain.network_input import FEATURES, TARGETS
from swerve.errors import SwerveError

from training import data
from training.card import card
from training.streams import streams_of
from training.train import forecast_gain, restored, split_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from training.config import Config
    from training.model import Recurrent
    from training.streams import Streams
    from training.train import Trained

LAYER = Path(__file__).resolve().parents[1] / "layers" / "model" / "python" / "swerve_model"
CARD = Path(__file__).resolve().parents[1] / "docs" / "model_card.md"
OPSET = 17
PARITY = 1e-5
_DRAWS = 2_000


class ParityError(SwerveError):
    """The exported network does not compute what was trained."""


def export(
    trained: Mapping[str, Trained],
    run: Mapping[str, Any],
    validation: Sequence[Streams],
    out: Path = LAYER,
) -> dict[str, Any]:
    """Choose the cell that forecasts validation users best; write model.onnx and manifest.json.

    Returns the manifest. Raises ParityError where torch and ONNX differ by more than 1e-5
    anywhere along whole streams; nothing is written then.
    """
    metrics = {cell: measure(one.model, validation) for cell, one in trained.items()}
    best = max(metrics, key=lambda cell: _total_gain(metrics[cell]))
    model = trained[best].model
    packed = to_onnx(model)
    parity = parity_of(model, packed, validation[0])
    if parity["max_abs_error"] > PARITY:
        raise ParityError(f"torch and ONNX differ by {parity['max_abs_error']:.1e} > {PARITY}")
    manifest = {
        "format": "model-manifest/1.0",
        "model": {
            "file": "model.onnx",
            "sha256": hashlib.sha256(packed).hexdigest(),
            "cell": best,
            "features": list(FEATURES),
            "targets": list(TARGETS),
            "hidden": model.hidden,
            "state": model.state_size,
            "opset": OPSET,
        },
        "parity": parity,
        "metrics": metrics,
        "calibration": "swerve.domain.calibration (tables of the same release)",
        "training": dict(run),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(packed)
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def export_run(config: Config, run: Path, out: Path = LAYER) -> dict[str, Any]:
    """Export the cells of a finished run."""
    told = json.loads((run / "run.json").read_text())
    trained = {cell: restored(config, cell, run / f"{cell}.pt") for cell in config.cells}
    events = split_of(config.source, "validation")
    zone = data.SOURCES[config.source].zone
    validation = [streams_of(events, days, zone) for days in config.window_days]
    manifest = export(trained, told, validation, out)
    if out == LAYER:
        CARD.write_text(card(manifest))
    return manifest


def to_onnx(model: Recurrent) -> bytes:
    """One stateful step: (x[n, F], state[n, S]) -> (forecast[n, 5], state[n, S])."""
    # The legacy exporter yields one clean LSTM node; the new one took 27 to 53 s and 31 nodes.
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(2, len(FEATURES)), torch.zeros(2, model.state_size)),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=["x", "state"],
            output_names=["forecast", "next_state"],
            dynamic_axes={name: {0: "users"} for name in ("x", "state", "forecast", "next_state")},
        )
    return file.getvalue()


def session(packed: bytes) -> onnxruntime.InferenceSession:
    """A session on one thread, as serving uses it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(packed, options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def parity_of(model: Recurrent, packed: bytes, one: Streams) -> dict[str, float]:
    """Largest difference between torch and ONNX along whole streams.

    `rounded_error` is the same with the state rounded between windows, as the checkpoint keeps it.
    """
    run = session(packed).run
    users = one.x.shape[1]
    states = [np.zeros((users, model.state_size), np.float32) for _ in range(2)]
    expected = torch.zeros(users, model.state_size)
    worst = rounded = 0.0
    for x in one.x:
        reference, expected = model(torch.from_numpy(x), expected)
        exact, states[0] = run(None, {"x": x, "state": states[0]})
        near, kept = run(None, {"x": x, "state": states[1]})
        states[1] = remembered(kept).astype(np.float32)
        worst = max(worst, float(np.abs(exact - reference.numpy()).max()))
        rounded = max(rounded, float(np.abs(near - reference.numpy()).max()))
    return {"max_abs_error": worst, "rounded_error": rounded, "windows": float(len(one.x) * users)}


def measure(model: Recurrent, validation: Sequence[Streams]) -> dict[str, Any]:
    """Gain over habit on unseen users, nats a user-window, with intervals over users."""
    rng = np.random.default_rng(0)
    told = {}
    for one in validation:
        gain = forecast_gain(model, one)
        windows = gain.pop("windows")
        draws = rng.multinomial(windows.size, np.full(windows.size, 1 / windows.size), _DRAWS)
        told[f"{one.days}d"] = {
            name: {
                "gain": round(float(value.sum() / windows.sum()), 5),
                "interval": [
                    round(float(edge), 5)
                    for edge in np.quantile((draws @ value) / (draws @ windows), [0.025, 0.975])
                ],
            }
            for name, value in gain.items()
        }
    return told


def _total_gain(measured: Mapping[str, Any]) -> float:
    return float(np.mean([one["total"]["gain"] + one["days"]["gain"] for one in measured.values()]))
