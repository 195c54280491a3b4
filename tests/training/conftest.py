"""Without torch its tests are not collected; `make test-training` installs it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from training import data

if TYPE_CHECKING:
    import pandas as pd

collect_ignore = [] if find_spec("torch") else ["test_train.py"]


@pytest.fixture(scope="session")
def online_retail() -> pd.DataFrame:
    """A log that is in no package: without the file beside the checkout its tests are skipped."""
    try:
        return data._online_retail(data.CACHE)
    except data.DataMissing as missing:
        pytest.skip(str(missing))
