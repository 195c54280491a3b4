"""Networks of other generations are kept in the data bucket, and refused as a shipped one is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from swerve.adapters.detection import StoredModels, detector
from swerve.domain.network_input import FEATURES
from swerve.settings import Settings

from tests.fakes import FakeData

SHIPPED = detector(Settings())


@pytest.fixture
def later() -> StoredModels:
    """Another model is deployed; the shipped one was kept."""
    data = FakeData()
    StoredModels(data, SHIPPED).keep()
    return StoredModels(data, replace(SHIPPED, generation="lstm-other"))


def test_a_generation_is_named_by_cell_and_hash():
    cell, _, digest = SHIPPED.generation.partition("-")
    assert cell == "lstm"
    assert len(digest) == 64


def test_the_deployed_one_is_not_read_from_the_bucket():
    models = StoredModels(FakeData(), SHIPPED)
    assert models.network(SHIPPED.generation) is SHIPPED.network
    assert not models.lost


def test_one_of_before_says_the_same_as_it_did(later):
    # GIVEN
    x = np.random.default_rng(0).normal(size=(5, len(FEATURES))).astype(np.float32)
    # WHEN
    kept = later.network(SHIPPED.generation)
    # THEN
    assert kept is not None
    assert kept is not SHIPPED.network
    state = np.zeros((5, kept.hidden), np.float32)
    for told, once in zip(kept.step(x, state), SHIPPED.network.step(x, state), strict=True):
        np.testing.assert_array_equal(told, once)
    assert not later.lost


def test_a_window_without_a_model_asks_for_none(later):
    assert later.network("") is None
    assert not later.lost


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_one_that_is_gone_is_lost(later, caplog, name):
    # GIVEN
    later.data.remove(f"models/{SHIPPED.generation}/{name}")
    # WHEN / THEN
    assert later.network(SHIPPED.generation) is None
    assert later.lost
    assert "is missing from the data bucket" in caplog.text


def test_one_that_is_damaged_is_lost(later, caplog):
    # GIVEN
    key = f"models/{SHIPPED.generation}/model.onnx"
    later.data.put(key, later.data.get(key) + b"\0")
    # WHEN / THEN
    assert later.network(SHIPPED.generation) is None
    assert later.lost
    assert "sha256" in caplog.text


def test_one_whose_manifest_is_no_json_is_lost(later):
    # GIVEN
    later.data.put(f"models/{SHIPPED.generation}/manifest.json", b"{")
    # WHEN / THEN
    assert later.network(SHIPPED.generation) is None
    assert later.lost


def test_one_under_the_name_of_another_is_lost(later, caplog):
    # GIVEN
    for name in ("model.onnx", "manifest.json"):
        body = later.data.get(f"models/{SHIPPED.generation}/{name}")
        later.data.put(f"models/gru-x/{name}", body)
    # WHEN / THEN
    assert later.network("gru-x") is None
    assert later.lost
    assert f"holds {SHIPPED.generation}" in caplog.text


def test_without_a_valid_model_nothing_is_kept_and_it_is_lost():
    # GIVEN
    data = FakeData()
    models = StoredModels(data, replace(SHIPPED, network=None, generation=""))
    # WHEN
    models.keep()
    # THEN
    assert not data.files
    assert models.lost
    assert models.network("") is None
