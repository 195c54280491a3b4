from __future__ import annotations

from dataclasses import replace

import pytest
from swerve.deployed import check_deployed
from swerve.errors import LayoutChanged, Resharding
from swerve.ports import LAYOUT
from swerve.settings import Settings

from tests.fakes import World

FIRST = Settings(shard_count=4, window="7d", time_zone="UTC")


def test_while_shards_are_split_even_the_right_settings_wait():
    # GIVEN
    windows = World().windows
    check_deployed(windows, FIRST)
    # WHEN
    layout = windows.state(LAYOUT)
    windows.put_state(LAYOUT, {**layout, "to": 8}, layout)
    # THEN
    for shards in (4, 8):
        with pytest.raises(Resharding, match="from 4 into 8 shards"):
            check_deployed(windows, replace(FIRST, shard_count=shards))


def test_the_first_deployment_is_remembered_and_the_same_again_is_welcome():
    # GIVEN
    windows = World().windows
    # WHEN
    noted = check_deployed(windows, FIRST)
    again = check_deployed(windows, FIRST)
    # THEN
    assert noted == again == {"shards": 4, "window": "7d", "time_zone": "UTC"}
    assert windows.state(LAYOUT) == noted


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"shard_count": 8}, "swerve reshard"),
        ({"window": "1d"}, "second stack"),
        ({"time_zone": "Asia/Shanghai"}, "second stack"),
    ],
)
def test_a_change_is_refused_with_advice(change, advice):
    # GIVEN
    windows = World().windows
    check_deployed(windows, FIRST)
    # WHEN / THEN
    with pytest.raises(LayoutChanged, match=advice):
        check_deployed(windows, replace(FIRST, **change))
