"""What a plan hands to the workflow."""

from __future__ import annotations

import json

from swerve import plan

from tests.closing import (
    SETTINGS,
    WEEKS,
    Closer,
    alerts_of,
    at_once,
    before_last_week,
    history,
    state_of,
    upload,
)


def test_a_distributed_map_finds_every_shard_in_the_folder_of_the_run():
    # GIVEN
    closer = before_last_week()
    closer.world.clock.advance(SETTINGS.settle_s)
    # WHEN
    answer = plan.plan(closer.deps, "execution")
    # THEN
    items = json.loads(closer.world.data.files[f"runs/{answer['run']}/shards.json"])
    assert items == [{"shard": shard} for shard in range(answer["shards"])]
    assert len(items) == SETTINGS.shard_count


def test_many_shards_have_a_history_closed_in_more_runs(monkeypatch):
    # GIVEN five windows of two shards at a time
    closer = Closer()
    upload(closer.world, history())
    # WHEN
    with monkeypatch.context() as patched:
        patched.setattr(plan, "MOST_SCORED", 5 * SETTINGS.shard_count)
        runs = closer.close()
    # THEN
    assert runs == -(-WEEKS // 5)
    assert state_of(closer.world) == state_of(at_once().world)
    assert sorted(alerts_of(closer.world)) == sorted(alerts_of(at_once().world))
