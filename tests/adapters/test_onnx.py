"""The shipped network: loads, steps, and is refused when it is not what the manifest says."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import pytest
from swerve.adapters import detection
from swerve.adapters.onnx import ModelRefused, load
from swerve.domain.network_input import FEATURES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for name in ("model.onnx", "manifest.json"):
        shutil.copy(str(files("swerve_model") / name), tmp_path / name)
    return tmp_path


def changed(folder: Path, **facts: object) -> Path:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["model"] |= facts
    path.write_text(json.dumps(manifest))
    return folder


def test_the_shipped_network_steps_whatever_the_batch():
    network = load()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2500, len(FEATURES))).astype(np.float32)
    state = np.zeros((2500, network.hidden), np.float32)
    forecast, after = network.step(x, state)
    assert forecast.shape[0] == 2500
    assert after.shape == state.shape
    assert np.isfinite(forecast).all()
    alone, _ = network.step(x[1999:2000], state[1999:2000])
    np.testing.assert_allclose(alone[0], forecast[1999], atol=1e-5)


def test_nobody_is_no_trouble():
    network = load()
    none = np.zeros((0, len(FEATURES)), np.float32)
    forecast, after = network.step(none, np.zeros((0, network.hidden), np.float32))
    assert len(forecast) == len(after) == 0


def test_another_file_than_the_manifest_names_is_refused(copied):
    (copied / "model.onnx").write_bytes((copied / "model.onnx").read_bytes() + b"\0")
    with pytest.raises(ModelRefused, match="sha256"):
        load(copied)


def test_another_order_of_features_is_refused(copied):
    with pytest.raises(ModelRefused, match="features"):
        load(changed(copied, features=list(reversed(FEATURES))))


def test_a_missing_model_is_refused(tmp_path):
    with pytest.raises(ModelRefused, match="no readable model"):
        load(tmp_path)


def test_a_file_that_is_no_model_is_refused(copied):
    from hashlib import sha256

    (copied / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelRefused, match="cannot read"):
        load(changed(copied, sha256=sha256(b"not a model").hexdigest()))


def test_without_a_valid_model_the_detector_is_made_without_a_network(monkeypatch, caplog):
    def refuse():
        raise ModelRefused("for the test")

    monkeypatch.setattr(detection, "load", refuse)
    assert detection.network() is None
    assert "scoring without the network" in caplog.text
