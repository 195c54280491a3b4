from __future__ import annotations

import pytest
from swerve.errors import SwerveError
from swerve.receipt import lines_of

from cli.receipt import newest_receipt
from tests.ingesting import FIXTURES, new_world, upload

BODY = (FIXTURES / "sources/canonical.csv").read_bytes()


def test_the_newest_version_of_a_key_is_told() -> None:
    # GIVEN a key that was uploaded twice
    world = new_world()
    upload(world, BODY, "events/day.csv")
    world.clock.advance(60)
    upload(world, BODY + BODY.splitlines()[1] + b"\n", "events/day.csv")
    # WHEN
    receipt = newest_receipt(world.data, "events/day.csv")
    # THEN
    assert receipt.version == "v2"
    assert receipt.duplicates == 2


def test_a_key_that_is_also_a_folder_has_its_own_receipt() -> None:
    # GIVEN a key, and another below it that was answered later
    world = new_world()
    upload(world, BODY, "events/day")
    world.clock.advance(60)
    upload(world, b"x,y\n1,2\n", "events/day/2")
    # WHEN / THEN
    assert newest_receipt(world.data, "events/day").key == "events/day"


def test_a_key_without_receipt_says_why() -> None:
    with pytest.raises(SwerveError, match=r"events/nothing.*not read yet, or was ignored"):
        newest_receipt(new_world().data, "events/nothing")


def test_a_duplicate_names_the_file_that_was_read() -> None:
    world = new_world()
    upload(world, BODY, "events/a")
    told = "\n".join(lines_of(upload(world, BODY, "events/b")))
    assert "same content as events/a; nothing was counted again" in told
