from __future__ import annotations

import pytest
from swerve.domain.file import Refused, Shape
from swerve.domain.recognise import recognise
from swerve.sources import bundled_sources


def test_a_file_with_field_names_is_nearest_to_an_adapter_that_has_them() -> None:
    # GIVEN our own convention, with user and time called otherwise
    fields = ("kunde", "zeit", "behavior", "item_id", "category_id", "value")
    # WHEN / THEN it is not one of those without a header, whose columns we named ourselves
    with pytest.raises(Refused, match="Nearest adapter: canonical; it needs also: user_id"):
        recognise(Shape("none", "csv", ",", fields, [list(fields)]), bundled_sources())
