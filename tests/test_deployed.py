from __future__ import annotations

from dataclasses import replace

import pytest
from swerve.deployed import check_deployed
from swerve.errors import LayoutChanged
from swerve.settings import Settings

from tests.fakes import World

FIRST = Settings(shard_count=4, window="7d", time_zone="UTC")


def test_the_first_deployment_is_remembered_and_the_same_again_is_welcome():
    # GIVEN
    windows = World().windows
    # WHEN
    check_deployed(windows, FIRST)
    check_deployed(windows, FIRST)
    # THEN
    assert windows.state("shards") == {"shards": 4, "window": "7d", "time_zone": "UTC"}


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
