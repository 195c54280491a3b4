from __future__ import annotations

import pytest
from swerve.settings import Settings


def test_the_environment_is_read() -> None:
    found = Settings.from_environment(
        {"SWERVE_WINDOW": "7d", "SWERVE_TIME_ZONE": "Asia/Shanghai", "SWERVE_SHARD_COUNT": "8"}
    )
    assert (found.windows.days, found.time_zone, found.shard_count) == (7, "Asia/Shanghai", 8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SWERVE_WINDOW", "2d"),
        ("SWERVE_SHARD_COUNT", "many"),
        ("SWERVE_TIME_ZONE", "Shanghai"),
        ("SWERVE_TIME_ZONE", "Europe"),
    ],
)
def test_a_wrong_value_is_told_by_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name}='{value}'"):
        Settings.from_environment({name: value})
