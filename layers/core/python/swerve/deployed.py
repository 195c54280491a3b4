"""Parameters that stored data depends on may not change after the first deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swerve.errors import LayoutChanged

if TYPE_CHECKING:
    from swerve.ports import Windows
    from swerve.settings import Settings

_ADVICE = {
    "shards": "run `swerve reshard`, which splits the stored shards and then changes ShardCount",
    "window": "deploy a second stack for another window length and replay the uploads into it",
    "time_zone": "deploy a second stack for another time zone and replay the uploads into it",
}


def check_deployed(windows: Windows, settings: Settings) -> None:
    """Note the layout at the first call; raise `LayoutChanged` where it differs ever after."""
    wanted: dict[str, str | int] = {
        "shards": settings.shard_count,
        "window": settings.window,
        "time_zone": settings.time_zone,
    }
    if windows.state("shards") is None:
        windows.put_state("shards", wanted, None)  # lost to another function: compared below
    deployed = windows.state("shards") or {}
    for name, value in wanted.items():
        if deployed.get(name) != value:
            raise LayoutChanged(
                f"this stack was first deployed with {name}={deployed.get(name)!r}, now it is set "
                f"to {value!r}: set it back, or {_ADVICE[name]}"
            )
