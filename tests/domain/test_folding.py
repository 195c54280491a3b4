from __future__ import annotations

from dataclasses import replace

import pytest
from swerve.domain.candidate import Kind, Level, Share, Units
from swerve.domain.folding import fold

from tests.domain.candidates import candidate


def test_many_users_with_one_move_become_one_category_alert() -> None:
    # GIVEN 20 users from 11 to 22, and 19 users from 11 to 33
    together = [candidate(f"u-{user:016x}") for user in range(20)]
    too_few = [candidate(f"u-{user:016x}", rising=33) for user in range(100, 119)]
    # WHEN
    told, folded = fold(together + too_few, 20)
    # THEN
    assert [member for member, _ in folded] == together
    assert {into for _, into in folded} == {"c-0000000000000016#switch"}
    (group,) = [made for made in told if made.level is Level.CATEGORY]
    assert len(told) == 1 + 19
    assert group.facts["users"] == 20
    assert group.rising == (Share(22, pytest.approx(0.1), pytest.approx(0.5)),)


def test_units_of_a_group_are_all_items_of_its_members() -> None:
    # GIVEN 20 users, with units and, from before there were any, without
    units = Units(3.0, 30.0, 1.5, 2.0, 9.0, 1.0, 2.0, 4.0, 2.0, 5.0)
    made = [candidate(f"u-{user:016x}") for user in range(20)]
    counted = [replace(m, rising=(replace(m.rising[0], units=units),)) for m in made]
    # WHEN
    (group,), _ = fold(counted, 20)
    (mixed,), _ = fold([*counted[:19], made[19]], 20)
    # THEN days and weeks, which are those of no single shopper, are left out
    assert group.rising[0].units == Units(60.0, 600.0, 30.0)
    assert mixed.rising[0].units is None


def test_a_category_that_alarms_by_itself_speaks_for_its_users() -> None:
    # GIVEN
    together = [candidate(f"u-{user:016x}") for user in range(20)]
    own = candidate("c-0000000000000016", level=Level.CATEGORY)
    # WHEN
    told, folded = fold([*together, own], 20)
    # THEN it is told in its own words, and the users are folded into it
    assert told == [own]
    assert {into for _, into in folded} == {"c-0000000000000016#switch"}


def test_folding_can_be_turned_off() -> None:
    together = [candidate(f"u-{user:016x}") for user in range(25)]
    assert fold(together, 0) == (together, [])


def test_churn_is_never_folded() -> None:
    together = [
        candidate(f"u-{user:016x}", Kind.CHURN_RISK, falling=0, rising=0) for user in range(25)
    ]
    assert fold(together, 20) == (together, [])
