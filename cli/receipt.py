"""`swerve receipt KEY`: what became of an upload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swerve.errors import SwerveError
from swerve.receipt import Receipt

if TYPE_CHECKING:
    from swerve.ports import Data


def newest_receipt(data: Data, key: str) -> Receipt:
    """Return the receipt of a key's version that was answered last.

    Raises SwerveError where there is none yet.
    """
    found = [data.get(name) for name in data.keys(f"receipts/{key}/")]
    receipts = [Receipt.from_json(body) for body in found if body]
    receipts = [told for told in receipts if told.key == key]  # not of keys below it
    if not receipts:
        raise SwerveError(
            f"there is no receipt for {key}: the upload is not read yet, or was ignored"
            " (markers, hidden and empty files); keys start with events/"
        )
    return max(receipts, key=lambda receipt: receipt.answered)
