from __future__ import annotations

import numpy as np
import pytest
from swerve.domain.event import COLUMN_TYPES, Events


def three() -> Events:
    columns = {name: np.arange(3).astype(kind) for name, kind in COLUMN_TYPES.items()}
    return Events(**{**columns, "value": np.array([1, np.nan, 3], np.float32)})


@pytest.mark.parametrize("rows", [0, 3])
def test_raw_bytes_round_trip_aligned(rows):
    # GIVEN
    events = three().take(slice(0, rows))
    # WHEN
    back = Events.from_bytes(events.to_bytes())
    # THEN
    for name, kind in COLUMN_TYPES.items():
        column = getattr(back, name)
        assert column.dtype == kind
        assert column.flags.aligned
        assert column.tobytes() == getattr(events, name).tobytes()


def test_cut_bytes_are_refused():
    # GIVEN / WHEN / THEN
    with pytest.raises(ValueError, match="whole number"):
        Events.from_bytes(three().to_bytes()[:-1])
