"""A dry run is the run itself with its hands tied: what it reports is what would have been done."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swerve.domain.manifest import Manifest
    from swerve.ports import AlertRow, PartialItem


class HandsTied:
    """An eraser that erases nothing."""

    def replace_partial(
        self, partial: PartialItem, data: bytes, before: Manifest, after: Manifest
    ) -> None:
        """Leave it."""

    def remove_partial(self, partial: PartialItem, shard_count: int) -> None:
        """Leave it."""

    def remove_alert(self, row: AlertRow) -> None:
        """Leave it."""

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Leave it."""

    def remove(self, keys: Sequence[str]) -> None:
        """Leave them."""

    def remove_old_versions(self, prefix: str, endings: Sequence[str] = ("",)) -> None:
        """Leave them."""
