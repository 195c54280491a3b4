from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def _what_a_container_keeps_goes_with_the_tests() -> Iterator[None]:
    """A function freezes what it keeps; a process that ends must let go of it."""
    yield
    gc.unfreeze()
