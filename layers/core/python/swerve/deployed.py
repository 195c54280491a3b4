"""Parameters that stored data depends on may not change after the first deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swerve.errors import LayoutChanged, Resharding
from swerve.ports import LAYOUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swerve.ports import Windows
    from swerve.settings import Settings

_ADVICE = {
    "shards": "run `swerve reshard`, which splits the stored shards and changes ShardCount",
    "window": "deploy a second stack for another window length and replay the uploads into it",
    "time_zone": "deploy a second stack for another time zone and replay the uploads into it",
}


def check_deployed(windows: Windows, settings: Settings) -> Mapping[str, str | int]:
    """Note the layout at the first call, and return it.

    Raises
    ------
    Resharding
        While `swerve reshard` is at it.
    LayoutChanged
        Where the settings are not those of the layout.
    """
    wanted = settings.layout
    deployed = windows.state(LAYOUT)
    if deployed is None:
        windows.put_state(LAYOUT, wanted, None)  # lost to another function: compared below
        deployed = windows.state(LAYOUT) or {}
    if "to" in deployed:
        raise Resharding(
            f"this stack is being split from {deployed['shards']} into {deployed['to']} shards: it"
            " is tried again later; where `swerve reshard` was interrupted, run it again"
        )
    for name, value in wanted.items():
        if deployed.get(name) != value:
            raise LayoutChanged(
                f"this stack was first deployed with {name}={deployed.get(name)!r}, now it is set "
                f"to {value!r}: set it back, or {_ADVICE[name]}"
            )
    return deployed


def check_at_rest(windows: Windows, settings: Settings) -> None:
    """Look whether all that is stored lies as these settings say, and nothing beside it.

    Raises
    ------
    Resharding
        Where a split is under way or was interrupted: some or all users lie in two layouts.
    LayoutChanged
        Where the settings are not those of the layout: a split came since they were read.
    """
    found = windows.state(LAYOUT) or settings.layout
    if is_split(found):
        raise Resharding(
            "the shards of this stack are being split, and the same users lie in two layouts: let"
            " `swerve reshard` end, or run it again where it was interrupted; then run the same"
            " command again"
        )
    if found != settings.layout:
        raise LayoutChanged(
            f"stored data is laid out by {dict(found)}, and the parameters when this command began"
            f" said {settings.layout}: if shards were split just now, run the same command again;"
            " else set the parameters back"
        )


def is_split(layout: Mapping[str, str | int]) -> bool:
    """Whether `swerve reshard` has begun, and not ended."""
    return not layout.keys().isdisjoint({"to", "from"})
