from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swerve.domain.candidate import Candidate, Head, Kind, Level
from swerve.domain.selection import Action, Selection, SelectionRules, benjamini_hochberg, select

from tests.domain.candidates import WEEK, WINDOW, candidate

RULES = SelectionRules(dict.fromkeys(Head, 1e-3), cooldown_weeks=4)


def actions(decisions: tuple) -> list[tuple[str, str]]:
    return [(decision.action.value, decision.subject_kind) for decision in decisions]


def run(weeks: list[list[Candidate]], rules: SelectionRules = RULES) -> list[tuple]:
    memory, told = Selection(), []
    for week, candidates in enumerate(weeks):
        memory, decisions = select(memory, WINDOW + week * WEEK, candidates, rules)
        told.append(decisions)
    return told


def test_a_candidate_above_the_threshold_is_not_told() -> None:
    # GIVEN one candidate below and one above the threshold
    candidates = [candidate("u-1", p_value=9e-4), candidate("u-2", p_value=1.1e-3)]
    # WHEN
    _, decisions = select(Selection(), WINDOW, candidates, RULES)
    # THEN
    assert actions(decisions) == [("selected", "u-1#switch")]


def test_each_head_has_its_own_threshold() -> None:
    rules = replace(RULES, p_thresholds={**RULES.p_thresholds, Head.INTEREST: 1e-5})
    candidates = [candidate("u-1"), candidate("u-2", Kind.SURGE)]
    _, decisions = select(Selection(), WINDOW, candidates, rules)
    assert actions(decisions) == [("selected", "u-2#surge")]


def test_of_two_kinds_of_one_head_the_rarer_is_told() -> None:
    candidates = [candidate(kind=Kind.DRIFT, p_value=1e-4), candidate(p_value=1e-5)]
    _, decisions = select(Selection(), WINDOW, candidates, RULES)
    assert actions(decisions) == [("selected", "u-0000000000000001#switch")]


def test_cool_down_holds_a_head_and_ends_on_time() -> None:
    # GIVEN the same user alarms in each of six weeks, with another kind of the same head
    weeks = [
        [candidate(kind=Kind.SWITCH if week % 2 == 0 else Kind.DRIFT, window=WINDOW + week * WEEK)]
        for week in range(6)
    ]
    # WHEN
    told = run(weeks)
    # THEN it is told in weeks 0 and 4, which says how many were held back
    assert [[d.action for d in decisions][-1] for decisions in told] == [
        Action.SELECTED,
        Action.HELD,
        Action.HELD,
        Action.HELD,
        Action.SELECTED,
        Action.HELD,
    ]
    assert told[4][-1].suppressed == 3
    assert told[4][-1].suppressed_since == WINDOW


def test_the_other_head_is_not_held_back() -> None:
    told = run([[candidate()], [candidate(kind=Kind.CHURN_RISK, window=WINDOW + WEEK)]])
    assert actions(told[1]) == [("selected", "u-0000000000000001#churn_risk")]


def test_an_alert_ends_after_two_calm_windows_in_a_row() -> None:
    # GIVEN weak evidence, then still strong enough (hysteresis), then weak twice
    strong_enough = 1e-3**0.8
    p_values = [1e-4, 0.5, strong_enough, 0.5, 1.0]
    weeks = [[candidate(window=WINDOW + week * WEEK, p_value=p)] for week, p in enumerate(p_values)]
    # WHEN
    told = run(weeks)
    # THEN
    assert [actions(decisions) for decisions in told[1:4]] == [[], [], []]
    (resolved,) = told[4]
    assert resolved.action is Action.RESOLVED
    assert (resolved.window, resolved.resolved_window) == (WINDOW, WINDOW + 4 * WEEK)


def test_a_window_without_data_calms_nothing() -> None:
    memory, _ = select(Selection(), WINDOW, [candidate()], RULES)
    for week in range(1, 9):
        memory = memory.at(WINDOW + week * WEEK)
    assert memory.standings[0].open
    assert memory.standings[0].calm == 0


def test_a_new_alert_replaces_an_open_one() -> None:
    weeks = [[candidate(window=WINDOW + week * WEEK)] for week in range(5)]
    told = run(weeks)
    assert [(d.action, d.window, d.into) for d in told[4]] == [
        (Action.RESOLVED, WINDOW, "replaced"),
        (Action.SELECTED, WINDOW + 4 * WEEK, ""),
    ]


def test_folded_users_are_in_cool_down_and_end_in_silence() -> None:
    together = [candidate(f"u-{user:016x}") for user in range(20)]
    again = [candidate("u-0000000000000003", window=WINDOW + WEEK)]
    told = run([together, again, [], []])
    assert [actions(decisions) for decisions in told[1:]] == [
        [("held", "u-0000000000000003#switch")],
        [],
        [],
    ]


def test_a_category_told_lately_is_not_told_again_by_folding() -> None:
    first = [candidate(f"u-{user:016x}") for user in range(20)]
    second = [candidate(f"u-{user:016x}", window=WINDOW + WEEK) for user in range(50, 75)]
    told = run([first, second])
    assert {d.action for d in told[1]} == {Action.FOLDED, Action.HELD}


def test_benjamini_hochberg_agrees_with_scipy() -> None:
    from scipy.stats import false_discovery_control

    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324]
    adjusted = false_discovery_control(p_values)
    limit = benjamini_hochberg(p_values, len(p_values), 0.05)
    assert [p <= limit for p in p_values] == [bool(a <= 0.05) for a in adjusted]


def test_fdr_needs_the_number_of_tests() -> None:
    rules = replace(RULES, fdr_q=0.1)
    with pytest.raises(ValueError, match="tests=0"):
        select(Selection(), WINDOW, [candidate()], rules)
    tests = {(Level.USER, Head.INTEREST): 2000}
    _, decisions = select(Selection(), WINDOW, [candidate()], replace(rules, tests=tests))
    assert decisions == ()
    _, decisions = select(
        Selection(), WINDOW, [candidate(p_value=1e-5)], replace(rules, tests=tests)
    )
    assert len(decisions) == 1


@pytest.mark.parametrize("fdr_q", [0.0, 0.1])
def test_a_surge_of_a_category_is_told_once(fdr_q: float) -> None:
    # GIVEN as many users surge as make a group
    users = [candidate(f"u-{user:016x}", Kind.SURGE, p_value=1e-6) for user in range(25)]
    tests = {(level, head): 10_000 for level in Level for head in Head}
    rules = replace(RULES, fdr_q=fdr_q, tests=tests if fdr_q else None)
    memory, alone = select(Selection(), WINDOW, users, rules)
    (group,) = [d for d in alone if d.action is Action.SELECTED]
    # WHEN the category itself surges, too, in the same window or in the next
    own = candidate(group.subject, Kind.SURGE, p_value=1e-6, level=Level.CATEGORY)
    _, together = select(Selection(), WINDOW, [*users, own], rules)
    _, after = select(memory, WINDOW + WEEK, [replace(own, window=WINDOW + WEEK)], rules)
    # THEN
    assert [d.action for d in together if d.level is Level.CATEGORY] == [Action.SELECTED]
    assert [d.action for d in after if d.level is Level.CATEGORY] == [Action.HELD]


def test_windows_come_in_order() -> None:
    memory, _ = select(Selection(), WINDOW, [], RULES)
    with pytest.raises(ValueError, match="after window"):
        select(memory, WINDOW, [], RULES)


@st.composite
def week_of_candidates(draw: st.DrawFn) -> list[list[Candidate]]:
    weeks = []
    for week in range(draw(st.integers(1, 8))):
        drawn = draw(
            st.lists(
                st.tuples(
                    st.integers(0, 30), st.sampled_from(Kind), st.sampled_from([1e-5, 5e-4, 5e-3])
                ),
                max_size=40,
                unique_by=lambda made: made[:2],
            )
        )
        weeks.append(
            [candidate(f"u-{user:016x}", kind, WINDOW + week * WEEK, p) for user, kind, p in drawn]
        )
    return weeks


@given(week_of_candidates(), st.randoms(use_true_random=False))
def test_law_order_of_candidates_is_irrelevant(weeks: list[list[Candidate]], dice) -> None:
    # GIVEN the same candidates, shuffled, and the memory written to JSON between windows
    rules = replace(RULES, fold_users=3)
    memory, other = Selection(), Selection()
    for week, candidates in enumerate(weeks):
        shuffled = list(candidates)
        dice.shuffle(shuffled)
        # WHEN
        memory, decisions = select(memory, WINDOW + week * WEEK, candidates, rules)
        other, others = select(
            Selection.from_json(other.to_json()), WINDOW + week * WEEK, shuffled, rules
        )
        # THEN
        assert decisions == others
        assert memory.to_json() == other.to_json()


@given(week_of_candidates())
def test_law_cool_down_is_kept_and_nobody_is_forgotten(weeks: list[list[Candidate]]) -> None:
    rules = replace(RULES, fold_users=3)
    last: dict = {}
    for week, decisions in enumerate(run(weeks, rules)):
        told = {}
        for decision in decisions:
            key = (decision.level, decision.subject, decision.head)
            if decision.action in {Action.SELECTED, Action.FOLDED}:
                assert week - last.get(key, -100) >= rules.cooldown_weeks
                last[key] = week
            if decision.action is not Action.RESOLVED:
                assert key not in told
                told[key] = decision
        # every candidate below the threshold is told, folded or held, and no other
        below = {(c.level, c.subject, c.head) for c in weeks[week] if c.p_value <= 1e-3}
        assert {key for key in told if key[0] is Level.USER} == below
        into = {d.into for d in decisions if d.action is Action.FOLDED}
        assert into <= {d.subject_kind for d in decisions if d.level is Level.CATEGORY}


def test_a_subject_that_is_forgotten_leaves_the_others() -> None:
    # GIVEN
    told = [candidate("u-1"), candidate("u-2"), candidate("u-2", Kind.SURGE)]
    memory, _ = select(Selection(), WINDOW, told, RULES)
    # WHEN
    left = memory.without({"u-2", "u-3"})
    # THEN
    assert left == select(Selection(), WINDOW, told[:1], RULES)[0]
