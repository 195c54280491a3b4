"""A tiny model, trained end to end: it learns, resumes, exports, and ONNX computes the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import nbinom
from swerve.domain.network_input import FEATURES, TARGETS

from training import panel_s
from training.config import DEFAULT, Config
from training.export import PARITY, ParityError, export, parity_of, session, to_onnx
from training.model import CELLS, Recurrent, likelihoods
from training.streams import streams_of
from training.train import forecast_gain, mean_loss, train_cell

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def tiny() -> Config:
    return Config.read(DEFAULT.with_name("tiny.toml"))


@pytest.fixture(scope="module")
def streams():
    events, _, _ = panel_s.simulate(103, 120, 0.2)
    return streams_of(events, 7, "UTC")


@pytest.fixture(scope="module")
def trained(tiny, streams, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return {cell: train_cell(tiny, cell, [streams], folder / f"{cell}.pt") for cell in CELLS}


def test_training_beats_an_untrained_network(tiny, streams, trained):
    for cell, one in trained.items():
        untrained = mean_loss(Recurrent(cell, tiny.state).eval(), [streams])
        assert mean_loss(one.model, [streams]) < untrained - 0.05


def test_training_twice_gives_the_same_weights(tiny, streams, trained, tmp_path):
    again = train_cell(tiny, "lstm", [streams], tmp_path / "lstm.pt")
    for one, other in zip(
        again.model.parameters(), trained["lstm"].model.parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_a_run_that_was_stopped_resumes_to_the_same_end(tiny, streams, trained, tmp_path):
    kept = tmp_path / "lstm.pt"
    train_cell(replace(tiny, epochs=1), "lstm", [streams], kept)
    saved = torch.load(kept, weights_only=True)
    train_cell(tiny, "lstm", [streams], tmp_path / "whole.pt")
    whole = torch.load(tmp_path / "whole.pt", weights_only=True)
    torch.save(saved | {"config": whole["config"]}, kept)
    resumed = train_cell(tiny, "lstm", [streams], kept)
    for name, value in trained["lstm"].model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)


@pytest.mark.parametrize("cell", CELLS)
def test_the_step_in_onnx_is_the_step_in_torch(cell, streams, trained):
    model = trained[cell].model
    told = parity_of(model, to_onnx(model), streams)
    assert told["max_abs_error"] <= PARITY
    assert told["rounded_error"] < 0.05


@pytest.mark.parametrize("cell", CELLS)
def test_window_by_window_is_the_same_as_all_at_once(cell, streams, trained):
    model = trained[cell].model
    x = torch.from_numpy(streams.x)
    with torch.no_grad():
        whole, _ = model.unroll(x, torch.zeros(x.shape[1], model.state_size))
        state = torch.zeros(x.shape[1], model.state_size)
        for t in range(x.shape[0]):
            one, state = model(x[t], state)
            torch.testing.assert_close(one, whole[t], atol=1e-5, rtol=0)


def test_the_manifest_names_the_file_that_it_was_written_with(streams, trained, tmp_path):
    manifest = export(trained, {"config": {}}, [streams], tmp_path)
    told = json.loads((tmp_path / "manifest.json").read_text())
    data = (tmp_path / "model.onnx").read_bytes()
    assert told == json.loads(json.dumps(manifest))
    assert told["model"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert told["model"]["features"] == list(FEATURES)
    state = np.zeros((3, told["model"]["state"]), np.float32)
    forecast, after = session(data).run(
        None, {"x": np.zeros((3, len(FEATURES)), np.float32), "state": state}
    )
    assert forecast.shape == (3, len(TARGETS))
    assert after.shape == state.shape


def test_an_export_that_differs_is_not_written(streams, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("training.export.PARITY", -1.0)
    with pytest.raises(ParityError):
        export(trained, {}, [streams], tmp_path)
    assert not list(tmp_path.iterdir())


def test_gain_of_habit_over_itself_is_nothing(tiny, streams):
    model = Recurrent("gru", tiny.state).eval()
    gain = forecast_gain(model, streams)
    # An untrained head says "as by habit"; the baseline may only be better, by its fitted constant.
    assert gain["total"].sum() <= 0


def test_likelihood_of_the_total_is_the_negative_binomial():
    forecast = torch.tensor([[0.3, 0.0, 0.7, 0.0, 0.0]])
    outcome = torch.tensor([[9.0, 2.0, 1.0, 3.0, 5.0, 2.0, 1.0]])
    r, mean = np.exp(0.7), 5 * np.exp(0.3)
    expected = -nbinom.logpmf(9, r, r / (r + mean))
    assert likelihoods(forecast, outcome)["total"].item() == pytest.approx(expected, rel=1e-5)
