from __future__ import annotations

import pytest
from swerve.errors import TransientFault, UploadGone
from swerve.ports import AlertRow, UploadedObject

from tests.fakes import World
from tests.faults import Crash


def row(revision: int = 0) -> AlertRow:
    return AlertRow(1, "u-1#drop", "a", "selected", "open", "info", "{}", revision)


def test_crash_happens_before_the_kth_call_and_leaves_the_earlier_ones():
    # GIVEN
    world = World()
    world.break_with(crash_at=2)
    # WHEN
    world.windows.put_names({1: "shoes"})
    with pytest.raises(Crash):
        world.data.put("b", b"2")
    # THEN
    assert world.windows.vocabulary == {1: "shoes"}
    assert world.data.files == {}


def test_throttling_strikes_before_and_after_the_effect():
    # GIVEN
    world = World()
    world.break_with(throttle=0.5, seed=1)
    failed_with_effect = failed_without = 0
    # WHEN
    for n in range(200):
        try:
            world.data.put(str(n), b"")
        except TransientFault:
            took_effect = str(n) in world.data.files
            failed_with_effect += took_effect
            failed_without += not took_effect
    # THEN
    assert failed_with_effect > 20
    assert failed_without > 20


def test_a_port_that_retries_does_again_what_took_effect_before():
    # GIVEN
    world = World()
    world.break_with(throttle=0.5, seed=3, retries=20)
    # WHEN
    for _ in range(50):
        world.score_queue.send(["a"])
    # THEN
    assert len(world.score_queue.bodies) > 50


def test_compare_and_set_like_dynamodb():
    # GIVEN
    world = World()
    # WHEN / THEN
    assert world.alerts.put(row(), None)
    assert not world.alerts.put(row(), None)
    assert world.alerts.put(row(1), 0)
    assert not world.alerts.put(row(2), 0)
    assert world.windows.put_state("shards", {"count": 4}, None)
    assert not world.windows.put_state("shards", {"count": 8}, None)
    assert world.windows.put_state("shards", {"count": 8}, {"count": 4})


def test_lease_is_free_own_or_expired():
    # GIVEN
    windows = World().windows
    # WHEN / THEN
    assert windows.acquire_lease("close", "a", 0, 10)
    assert windows.acquire_lease("close", "a", 1, 11)
    assert not windows.acquire_lease("close", "b", 10, 20)
    assert windows.acquire_lease("close", "b", 11, 21)
    windows.release_lease("close", "a")
    assert not windows.acquire_lease("close", "a", 12, 22)
    windows.release_lease("close", "b")
    assert windows.acquire_lease("close", "a", 12, 22)


def test_counters_and_watermarks_never_go_back():
    # GIVEN
    windows = World().windows
    windows.raise_dirty([7, 14, 7])
    # WHEN
    windows.set_closed({7: 2})
    windows.set_closed({7: 1})
    windows.put_watermark("web", 100, 5)
    windows.put_watermark("web", 50, 6)
    # THEN
    assert [(c.window, c.dirty, c.closed) for c in windows.control()] == [(7, 2, 2), (14, 1, 0)]
    assert windows.watermarks() == {"web": (100, 6)}


def test_a_deleted_upload_is_gone(tmp_path):
    # GIVEN
    uploads = World().uploads
    first = uploads.add("events/a.csv", b"1")
    second = uploads.add("events/a.csv", b"22")
    # WHEN
    uploads.download(first, tmp_path / "a")
    # THEN
    assert (tmp_path / "a").read_bytes() == b"1"
    assert uploads.head(second).size_bytes == 2
    with pytest.raises(UploadGone):
        uploads.head(UploadedObject("uploads", "events/a.csv", "v3"))
