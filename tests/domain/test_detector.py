from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gammaln
from swerve.domain import evidence_interest
from swerve.domain.calibration import Calibration, Recalibration
from swerve.domain.candidate import Head, Kind
from swerve.domain.counts import HOUR_MS
from swerve.domain.detector import Detector
from swerve.domain.event import Events
from swerve.domain.evidence_interest import (
    CATEGORY_PRIOR,
    ITEM_COUNT_PRIOR,
    interest_evidence,
    item_views,
    switches,
)
from swerve.domain.population import AGES_WEEKS
from swerve.domain.running import Histograms
from swerve.domain.window import DAY_MS, WindowSpec

from tests.domain.shop import FIRST_DAY, WEEKLY, name, shop, walk


@pytest.fixture(scope="module")
def changed_shop():
    """A shop of 120 in which users 0-3 change their taste, and 4-7 leave, in week 20."""

    def change(user, week, taste, others):
        return others[user + 40] if user < 4 and week >= 20 else taste

    def volume(user, week):
        return 0.0 if 4 <= user < 8 and week >= 20 else 1.0

    return shop(users=120, weeks=30, rate=30, change=change, volume=volume)


@pytest.mark.parametrize("days", [7, 1])
def test_any_number_of_shards_and_any_replay_gives_the_same_bytes(days):
    # GIVEN one history, walked whole, in two shards, and reloaded from bytes before each window
    spec = WindowSpec(days, "UTC")
    events = shop(users=12, weeks=14 if days == 7 else 9)
    whole = list(walk(events, spec))
    for other in (walk(events, spec, parts=2), walk(events, spec, reload=True)):
        # WHEN
        for (_, _, (one,)), (_, _, parts) in zip(whole, other, strict=True):
            # THEN
            users = np.concatenate([s.users for s in parts])
            order = np.argsort(users)
            assert np.array_equal(users[order], one.users)
            for head in Head:
                p = np.concatenate([s.p[head] for s in parts])[order]
                assert p.tobytes() == one.p[head].tobytes()
            counted = Histograms.sum(s.histograms for s in parts)
            assert counted.to_bytes() == one.histograms.to_bytes()


@pytest.mark.parametrize("pairs", [1, 700])
def test_evidence_is_the_same_however_users_are_cut_into_blocks(pairs, monkeypatch):
    # GIVEN
    *_, (context, (state,), _) = walk(shop(users=30, weeks=20))
    judged = np.arange(state.users.size) % 7 != 3
    whole = interest_evidence(state, context, judged)
    # WHEN
    monkeypatch.setattr(evidence_interest, "_BLOCK_PAIRS", pairs)
    cut = interest_evidence(state, context, judged)
    # THEN
    assert np.isfinite(whole["person3"]).sum() > 10
    assert {name: v.tobytes() for name, v in cut.items()} == {
        name: v.tobytes() for name, v in whole.items()
    }


@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_switch_agrees_with_the_formula(kept):
    # GIVEN the state after 25 weeks
    *_, (context, (state,), _) = walk(shop(users=12, weeks=25))
    flat = replace(
        context.categories,
        mass=np.tile(context.categories.usual * 1e9, (len(AGES_WEEKS), 1)),
        season=np.ones_like(context.categories.usual),
    )
    ring = replace(state.categories.ring, season=np.ones_like(state.categories.ring.season))
    table = replace(state.categories, ring=ring)
    # WHEN
    gains, _ = switches(table, flat, CATEGORY_PRIOR, state.decay, (kept,))
    # THEN
    share = dict(zip(flat.keys.tolist(), flat.usual.tolist(), strict=True))
    for weeks in AGES_WEEKS:
        for user in range(12):
            mine = np.flatnonzero(table.user == user)
            m = np.array([share[k] for k in table.keys[table.key[mine]].tolist()])
            place = {row: i for i, row in enumerate(mine.tolist())}
            x, past = np.zeros(mine.size), table.past(0)[mine].astype(float)
            past *= state.decay ** (len(ring) - weeks)
            for age, slot in enumerate(ring):
                for row, count in zip(slot.rows.tolist(), slot.count[:, 0].tolist(), strict=True):
                    if row in place and age < weeks:
                        x[place[row]] += count
                    elif row in place:
                        past[place[row]] += count * state.decay ** (age - weeks)
            prior = CATEGORY_PRIOR
            same, weight = prior.own * past + prior.pull * m, prior.own * past.sum() + prior.pull
            other = prior.new * ((1 - kept) * m + kept * same / weight)
            expected = _log_dm(x, other, prior.new) - _log_dm(x, same, weight)
            assert gains[weeks][0][user] == pytest.approx(expected, rel=1e-3, abs=1e-3)


def _log_dm(x, alpha, total):
    n = x.sum()
    terms = gammaln(alpha + x) - gammaln(alpha)
    return gammaln(total) - gammaln(total + n) + terms[x > 0].sum()


def test_changes_are_found_named_and_explained(changed_shop):
    # WHEN
    detector = Detector(WEEKLY, Calibration.shipped())
    limits = detector.calibration.p_threshold(5.0, WEEKLY)
    found = {}
    for context, (state,), (scores,) in walk(changed_shop):
        for c in detector.candidates(state, scores, context, Recalibration.identity(), limits):
            found.setdefault((c.subject, c.head), c)
    # THEN
    for user in range(4):
        candidate = found[f"u-{name(user):016x}", Head.INTEREST]
        assert candidate.kind in {Kind.SWITCH, Kind.DRIFT, Kind.NEW_INTEREST, Kind.BREADTH_CHANGE}
        # What is not clear is not named, but something is.
        assert candidate.falling or candidate.rising
        assert all(share.now > share.before for share in candidate.rising)
        assert all(share.now < share.before for share in candidate.falling)
        assert any(e.vote for e in candidate.evidence)
    for user in range(4, 8):
        candidate = found[f"u-{name(user):016x}", Head.ENGAGEMENT]
        assert candidate.kind in {Kind.CHURN_RISK, Kind.DROP}
        assert candidate.facts["ratio"] < 0.5


def test_told_are_the_week_of_the_change_and_the_mix_since_then(changed_shop):
    # WHEN: all old interests went in week 20; asked when most of the eight weeks were before it
    detector = Detector(WEEKLY, Calibration.shipped())
    everyone = dict.fromkeys(Head, 1.0)
    steps = list(walk(changed_shop))[23:25]
    told = [
        c
        for context, (state,), (scores,) in steps
        for c in detector.candidates(state, scores, context, Recalibration.identity(), everyone)
        if c.head is Head.INTEREST and c.subject in {f"u-{name(user):016x}" for user in range(4)}
    ]
    # THEN
    weeks = [(c.change_window - FIRST_DAY) // 7 for c in told]
    assert sum(19 <= week <= 21 for week in weeks) >= 6
    assert all(c.falling[0].now < 0.5 * c.falling[0].before for c in told)


def test_a_promotion_for_everybody_is_nobodys_change():
    # GIVEN a shop in which weeks 18 and 24 sell 2.6 times as much
    calm, promoted = (
        sum(
            int(sum((s.p[h] <= 0.02).sum() for h in Head for s in scores))
            for context, _, scores in walk(shop(users=150, weeks=26, seed=9, volume=volume))
            if context.age in {18, 19, 24, 25}
        )
        for volume in (None, lambda _, week: 2.6 if week in {18, 24} else 1.0)
    )
    # THEN
    assert promoted <= 1.5 * calm + 12


def test_a_window_without_data_is_a_gap_and_not_churn():
    events = shop(users=80, weeks=22, volume=lambda _, week: 0.0 if week == 17 else 1.0)
    for context, _, (scores,) in walk(events):
        assert context.gap == (context.age == 17)
        if context.age in {17, 18, 19}:
            assert np.mean(scores.p[Head.ENGAGEMENT] <= 0.01) < 0.05
            assert context.age != 17 or np.all(scores.p[Head.ENGAGEMENT] == 1.0)


def test_history_is_required():
    for context, (state,), (scores,) in walk(shop(users=10, weeks=14)):
        late = (context.window - state.first) // 7 >= 6
        assert np.array_equal(scores.ready, late & (context.age >= 12))
        assert all(np.all(scores.p[h][~scores.ready] == 1.0) for h in Head)


def test_users_without_categories_are_scored_and_not_told_of():
    # GIVEN users 0 to 19 whose items have no category, and change
    def change(user, week, taste, others):
        return others[(user + 40) % 100] if user < 20 and week > 18 else taste

    events = shop(users=100, weeks=26, rate=25, change=change)
    bare = np.isin(events.user, [np.uint64(name(user)) for user in range(20)])
    events = replace(events, category=np.where(bare, np.uint64(0), events.category))
    detector = Detector(WEEKLY, Calibration.shipped())
    everyone = dict.fromkeys(Head, 1.0)
    # WHEN
    told = [
        c
        for context, (state,), (scores,) in walk(events)
        for c in detector.candidates(state, scores, context, Recalibration.identity(), everyone)
    ]
    # THEN
    assert any(c.head is Head.ENGAGEMENT and c.subject == f"u-{name(3):016x}" for c in told)
    bare_users = {f"u-{name(user):016x}" for user in range(20)}
    assert not any(c.head is Head.INTEREST and c.subject in bare_users for c in told)
    # AND what is told of the others is clear
    assert all(
        c.falling or c.rising or c.kind is Kind.BREADTH_CHANGE
        for c in told
        if c.head is Head.INTEREST
    )


def test_a_stock_up_is_not_named_as_a_new_interest():
    # GIVEN two users who buy ten of what they never bought: one in a week, one week by week
    events = shop(users=20, weeks=24, rate=20)
    new = np.uint64(424_242)
    extra = {n: [] for n in Events.__slots__}
    for user in (0, 1):
        mine = np.flatnonzero(events.user == np.uint64(name(user)))
        late = mine[events.time_ms[mine] >= (FIRST_DAY + 7 * 19) * DAY_MS][:10]
        for place in range(10):
            week = 20 if user == 0 else 19 + place % 5
            when = (FIRST_DAY + 7 * week + place % 2) * DAY_MS + place * HOUR_MS
            for column, values in extra.items():
                values.append(getattr(events, column)[late[place]])
            extra["time_ms"][-1], extra["category"][-1] = when, new
            extra["item"][-1] = np.uint64(place + 1)
            extra["key"][-1] = np.uint64(10**9 + len(extra["key"]))
    added = Events(**{n: np.array(v, getattr(events, n).dtype) for n, v in extra.items()})
    events = Events.concatenate([events, added]).canonical()
    # WHEN everybody is explained
    detector, everyone = Detector(WEEKLY, Calibration.shipped()), dict.fromkeys(Head, 1.0)
    *_, (context, (state,), (scores,)) = walk(events)
    told = detector.candidates(state, scores, context, Recalibration.identity(), everyone)
    rising = {
        c.subject: {share.category for share in c.rising} for c in told if c.head is Head.INTEREST
    }
    # THEN only what was bought again and again is named
    assert int(new) not in rising.get(f"u-{name(0):016x}", set())
    assert int(new) in rising[f"u-{name(1):016x}"]


def test_a_silence_is_news_for_eight_weeks():
    # GIVEN users who leave in week 15
    def volume(user, week):
        return 0.0 if user < 4 and week >= 15 else 1.0

    silent = [np.uint64(name(user)) for user in range(4)]
    p = {
        context.age: scores.p[Head.ENGAGEMENT][np.isin(scores.users, silent)].min()
        for context, _, (scores,) in walk(shop(users=40, weeks=28, rate=20, volume=volume))
    }
    # THEN
    assert p[22] < 0.01
    assert p[24] == 1.0


@pytest.mark.parametrize("days", [7, 1])
@pytest.mark.parametrize("when", [range(9), range(16, 20)], ids=["too few since", "too few before"])
def test_a_basket_or_two_are_no_interest_to_compare(when, days):
    # GIVEN users who do little but in some weeks, and others who go on
    def volume(user, week):
        return 1.0 if user >= 8 or week in when else 0.02

    *_, (_, _, (scores,)) = walk(
        shop(users=20, weeks=20, rate=40, volume=volume), WindowSpec(days, "UTC")
    )
    told = np.isfinite(scores.evidence["activity"])
    few = np.isin(scores.users, [np.uint64(name(user)) for user in range(8)])
    # THEN only of the others a past and a present can be compared
    assert not np.any(told & few)
    assert np.any(told & ~few)


def test_a_user_takes_at_most_a_kilobyte():
    *_, (_, (state,), _) = walk(shop(users=60, weeks=40, categories=150, rate=20))
    assert len(state.to_bytes()) / state.users.size < 1024


def test_renamed_users_keep_their_past():
    *_, (_, (state,), _) = walk(shop(users=10, weeks=14))
    users = state.users.copy()
    fresh = users ^ np.uint64(0xABCDEF)
    moved = state.rename(users, fresh)
    assert np.array_equal(moved.users, np.sort(fresh))
    back = moved.rename(fresh, users)
    assert back.to_bytes() == state.to_bytes()
    one = int(users[3])
    assert state.describe(one) == moved.describe(one ^ 0xABCDEF)


def test_looking_twice_at_the_same_things_is_no_change_of_interest():
    # GIVEN a shop, and the same shop in which every item is looked at a second time a moment later
    events = shop(users=40, weeks=16)
    again = replace(events, time_ms=events.time_ms + 1)
    twice = Events.concatenate([events, again])
    # WHEN
    once, more = (list(walk(e))[-1][2][0] for e in (events, twice))
    # THEN
    assert np.array_equal(once.p[Head.INTEREST], more.p[Head.INTEREST])


def test_silent_weeks_of_regulars_make_the_expected_variation_larger():
    # GIVEN a shop that all visit every week, and one in which everybody pauses for weeks at times
    def pauses(user, week):
        return 0.0 if (week + user) % 8 < 3 else 1.0

    steady = list(walk(shop(users=60, weeks=20, rate=30)))[-1][0]
    pausing = list(walk(shop(users=60, weeks=20, rate=30, volume=pauses)))[-1][0]
    # THEN
    assert pausing.size < 0.5
    assert steady.size > 1.0


def test_where_users_are_concentrated_all_masses_are_lighter():
    # GIVEN the same shop, once taken for one whose users differ much
    *_, (context, (state,), _) = walk(shop(users=12, weeks=14))
    shops = (replace(context, likeness=x) for x in (8.0, 800.0))
    own, others = (item_views(state.categories, other, state.decay)[-1] for other in shops)
    # THEN its mix hides less of what a user did before
    assert own.prior == ITEM_COUNT_PRIOR.for_shop(8.0)
    assert own.prior.pull < others.prior.pull == ITEM_COUNT_PRIOR.pull
    known = own.own > 0
    assert own.share[known].sum() > others.share[known].sum()
