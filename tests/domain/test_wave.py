"""What takes everybody tells of nobody; who goes alone is told of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from swerve.domain.candidate import Head
from swerve.domain.detector import evidence_of
from swerve.domain.wave import wave_of

from tests.domain.shop import name, shop, walk

LAUNCH, AFTER = 20, 26
LATE = slice(LAUNCH, None)


def launched(part, alone=None):
    """Everybody buys so large a part from the last category from a week on; one moves elsewhere."""

    def change(user, week, taste, others):
        if week < LAUNCH:
            return taste
        if user == alone:
            return others[user + 7]
        new = np.zeros(taste.size)
        new[-1] = 1.0
        return (1.0 - part) * taste + part * new

    return list(walk(shop(users=150, weeks=AFTER, rate=16, change=change)))


def unlikely(walked):
    """Part of the user-weeks since the launch with a p-value of interest below .001."""
    p = np.stack([scores.p[Head.INTEREST] for _, _, (scores,) in walked[LATE]])
    return float((p < 0.001).mean())


def test_a_launch_that_takes_everybody_tells_of_nobody(monkeypatch):
    # GIVEN / WHEN
    told = unlikely(launched(0.35))
    # THEN hardly anybody is unlikely
    assert told < 0.005
    # AND many would be, were the wave not known
    monkeypatch.setattr("swerve.domain.population.wave_of", lambda recent, _: 0.0 * recent)
    assert unlikely(launched(0.35)) > 10 * max(told, 0.001)


def test_who_changes_in_a_wave_is_still_unlikely():
    walked = launched(0.35, alone=0)
    row = [state.users.tolist().index(name(0)) for _, (state,), _ in walked[LATE]]
    p = [scores.p[Head.INTEREST][r] for (_, _, (scores,)), r in zip(walked[LATE], row, strict=True)]
    assert min(p) < 0.001


def test_where_most_of_the_mix_is_new_nobody_is_judged():
    *_, (context, (state,), _) = launched(0.35)
    judged = dict.fromkeys(Head, np.ones(state.users.size, np.bool_))
    assert np.isfinite(evidence_of(state, context, judged)["person3"]).sum() > 50
    # WHEN categories get new names
    wave = np.zeros_like(context.categories.wave)
    wave[:, 0] = 0.6
    renamed = replace(context, categories=replace(context.categories, wave=wave))
    # THEN
    assert np.isnan(evidence_of(state, renamed, judged)["person3"]).all()


@pytest.mark.parametrize(
    ("past", "recent", "wave"),
    [
        pytest.param([900.0, 100.0], [450.0, 50.0], [0.0, 0.0], id="as before"),
        pytest.param([9_000.0, 1_000.0], [4_400.0, 600.0], [0.0, 0.0], id="a fifth more"),
        pytest.param([10_000.0, 0.0], [3_500.0, 1_500.0], [0.0, 0.3], id="a launch"),
        pytest.param([9_000.0, 1_000.0], [9.0, 5.0], [0.0, 0.0], id="few"),
        pytest.param([90.0, 0.0], [3_500.0, 1_500.0], [0.0, 0.0], id="hardly any past"),
        pytest.param([0.0, 0.0], [0.0, 0.0], [0.0, 0.0], id="nothing"),
    ],
)
def test_a_wave_is_what_past_and_chance_do_not_account_for(past, recent, wave):
    assert wave_of(np.array(recent), np.array(past)) == pytest.approx(wave, abs=1e-3)
