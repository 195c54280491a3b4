"""What is said to stand behind a share is what the user did."""

from __future__ import annotations

import numpy as np
import pytest
from swerve.domain.calibration import Calibration, Recalibration
from swerve.domain.candidate import Head, Kind
from swerve.domain.detector import Detector
from swerve.domain.window import DAY_MS, WindowSpec

from tests.domain.shop import FIRST_DAY, name, shop, walk

WEEKS = 24
RETURN = 20  # of user 0, who is away for the three weeks before


def change(user, week, taste, others):
    return others[user + 20] if user < 20 and week >= RETURN else taste


def volume(user, week):
    return 0.0 if user == 0 and RETURN - 3 <= week < RETURN else 1.0


@pytest.fixture(scope="module", params=[7, 1])
def told(request):
    """Everybody's explanation at the end, and the events of the shop."""
    events = shop(users=40, weeks=WEEKS, rate=30, change=change, volume=volume)
    spec = WindowSpec(request.param, "UTC")
    detector, everyone = Detector(spec, Calibration.shipped()), dict.fromkeys(Head, 1.0)
    *_, (context, (state,), (scores,)) = walk(events, spec)
    made = detector.candidates(state, scores, context, Recalibration.identity(), everyone)
    return events, spec.days, made


def of_user(events, subject, since):
    """Days, categories and items of a user since a day."""
    mine = events.user == np.uint64(int(subject[2:], 16))
    day = events.time_ms[mine] // DAY_MS
    late = day >= since
    return day[late], events.category[mine][late], events.item[mine][late]


def test_units_are_what_the_user_did_since_the_change(told):
    events, days, made = told
    named = 0
    for candidate in made:
        if candidate.head is not Head.INTEREST:
            continue
        since = candidate.change_window
        day, category, item = of_user(events, candidate.subject, since)
        for share in candidate.falling + candidate.rising:
            # GIVEN the days and items of the category
            mine = category == np.uint64(share.category)
            each = np.unique(np.stack([day[mine], item[mine].astype(np.int64)]), axis=1)[0]
            most = np.bincount((day - since) // days, minlength=1).size
            by_window = np.bincount((each - since) // days, minlength=most)
            on = np.unique(day[mine])
            bound = 4 * np.bincount((on - since) // days, minlength=most)
            # THEN
            units = share.units
            assert units.items == np.minimum(by_window, bound).sum()
            assert units.days == on.size
            assert units.of_days == np.unique(day).size
            assert units.weeks == np.unique((on - since) // 7).size
            assert units.of_weeks == (FIRST_DAY + 7 * WEEKS - since) // 7
            assert units.best_week <= units.items <= units.of_items
            assert share.now == pytest.approx(units.items / units.of_items)
            assert share.before == pytest.approx(units.usual_items / units.of_items)
            named += 1
    assert named > 20


def test_what_is_usual_of_days_is_what_it_was(told):
    # GIVEN categories that fell, THEN their days before are those the user had, but for the decay
    events, _, made = told
    for candidate in made:
        if candidate.head is Head.INTEREST and candidate.kind is Kind.SWITCH:
            day, category, _ = of_user(events, candidate.subject, 0)
            past = day < candidate.change_window
            for share in candidate.falling:
                on = np.unique(day[past & (category == np.uint64(share.category))]).size
                usual = on / np.unique(day[past]).size * share.units.of_days
                assert share.units.usual_days == pytest.approx(usual, rel=0.3, abs=0.5)
                assert 0.6 * on - 1 <= share.units.days_before <= 1.1 * on + 1


def test_who_came_back_is_said_to_have_been_away(told):
    _, _, made = told
    returned = {c.subject: c.facts for c in made if "away_days" in c.facts}
    # THEN of one user, to the week
    assert set(returned) == {f"u-{name(0):016x}"}
    facts = returned[f"u-{name(0):016x}"]
    assert facts["away_days"] == pytest.approx(21, abs=4)
    assert facts["back_days"] == pytest.approx(7 * (WEEKS - RETURN), abs=4)
