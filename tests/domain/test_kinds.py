from __future__ import annotations

import numpy as np
import pytest
from swerve.domain.candidate import Kind
from swerve.domain.kinds import Mix


def mix(before: list[float], now: list[float], actions: float = 200.0) -> Mix:
    shares = np.array(before), np.array(now)
    return Mix(*shares, gain=shares[1] - shares[0], actions=actions)


STEADY = [0.1] * 9


@pytest.mark.parametrize(
    ("loudest", "moved", "kind"),
    [
        ("up3_6", mix([*STEADY, 0.1, 0.0], [*[0.09] * 9, 0.09, 0.1]), Kind.NEW_INTEREST),
        ("fresh_6", mix([*STEADY, 0.1, 0.0], [*[0.09] * 9, 0.09, 0.1]), Kind.NEW_INTEREST),
        ("fresh_6", mix([*STEADY, 0.1, *[0.0] * 6], [0.04] * 10 + [0.1] * 6), Kind.BREADTH_CHANGE),
        ("narrow_3", mix([0.1] * 10, [0.5, 0.5, *[0.0] * 8]), Kind.BREADTH_CHANGE),
        ("own3down_6", mix([0.5, 0.5, 0.0], [0.1, 0.1, 0.8]), None),
    ],
    ids=["a baby came", "a new hobby", "tries everything", "buys two things only", "moves on"],
)
def test_a_change_is_named_by_how_the_mix_moved(loudest: str, moved: Mix, kind: Kind) -> None:
    # GIVEN what mostly rises, so that the gains outweigh the losses
    louder = Mix(moved.before, moved.now, np.where(moved.gain > 0, 2.0, 1.0) * moved.gain, 200.0)
    # WHEN / THEN
    assert louder.kind(loudest) is kind


def test_many_chance_purchases_are_no_new_interest() -> None:
    # GIVEN six categories never used before, an eighth of the purchases in all, and no more breadth
    told = mix([0.125] * 8 + [0.0] * 6, [0.29, 0.29, 0.29, *[0.0] * 5, *[0.02] * 6])
    # WHEN / THEN
    assert told.kind("fresh_6") is None


def test_growth_of_an_old_interest_is_no_new_one() -> None:
    assert mix([0.5, 0.3, 0.2], [0.2, 0.2, 0.6]).kind("up3_3") is None


def test_who_does_less_is_not_narrower_for_it() -> None:
    # GIVEN 50 categories used alike before, and a dozen actions of the same mix now
    now = np.where(np.arange(50) < 11, 1 / 11, 0.0)
    told = Mix(np.full(50, 0.02), now, now - 0.02, actions=12.0)
    # WHEN / THEN eleven categories are what a dozen actions of it touch
    assert told.breadth_before == pytest.approx(10.8, abs=0.1)
    assert told.kind("narrow_3") is None
