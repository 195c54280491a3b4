"""Hand-made candidates and payloads, one a kind and level, for the tests of texts and pages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swerve.domain.alert import StackFacts, build_payload
from swerve.domain.candidate import (
    Candidate,
    Evidence,
    Head,
    HistoryPoint,
    Kind,
    Level,
    Share,
    Units,
)
from swerve.domain.reliability import Reliability
from swerve.domain.selection import Action, Decision, Selection, SelectionRules, select
from swerve.domain.window import WindowSpec

from tests.domain.candidates import head_of

if TYPE_CHECKING:
    from collections.abc import Mapping

SPEC = WindowSpec(7, "Asia/Shanghai")
WINDOW = SPEC.parse("2026-11-16")
NOW_MS = 1_795_511_100_000  # 2026-11-24 09:05 UTC
NAMES = {
    1: "OUTDOOR",
    2: "family and kids/toddlers/Baby",
    3: "home/appliances/Portable Fans",
    4: "Mango Water 500 ml",
    5: "Autumn Coupons",
}
FACTS = StackFacts("swerve", SPEC, link_base="https://al.example.com", model_version="lstm-3")
RELIABILITY = Reliability({Head.INTEREST: ((1e-4, 0.97), (1e-3, 0.8))}, 0.3, "2026-11-20")

_EVIDENCE = (
    Evidence("switch4", 6.8, 3.0, vote=True, p_value=0.0008),
    Evidence("iqr_fence", 2.4, 1.5, vote=True),
    Evidence("mann_kendall", 0.3, 0.5, vote=False, p_value=0.2),
)
_HISTORY = tuple(
    HistoryPoint(
        WINDOW - 7 * (11 - week),
        20.0 + week,
        ((1, 0.78), (2, 0.06)) if week < 10 else ((1, 0.04), (2, 0.81)),
        0.3 + week % 3 / 4 if week < 10 else 2.1 + 2 * (week - 10),
    )
    for week in range(12)
)
_OUT = Share(1, 0.78, 0.04, Units(5, 114, 88.9, 2, 11, 9.6, 1, 2, 5, 40.2))
_IN = Share(2, 0.06, 0.81, Units(92, 114, 6.8, 9, 11, 0.9, 2, 2, 55, 4.1))
# Bought on one day before, and mostly in one week since.
_OVER = Share(1, 0.1, 0.0, Units(0, 90, 9.0, 0, 10, 1.2, 0, 6, 0, 0.9))
_STOCKED = Share(2, 0.0, 0.1, Units(9, 90, 0.0, 4, 10, 0.0, 2, 6, 7, 0.0))
_SHOP_OUT, _SHOP_IN = Share(1, 0.78, 0.04), Share(2, 0.06, 0.81)
_VOLUME = {"actions_before": 40.0, "actions_now": 168.0, "ratio": 4.2}
_LOSS = {"actions_before": 41.0, "actions_now": 7.0, "ratio": 0.17, "idle_days": 9.0}
_STOPPED = {**_LOSS, "actions_now": 0.0, "ratio": 0.0, "idle_days": 19.0, "days_before": 2.4}

# (kind, falling, rising, facts) by level
_CASES: dict[Level, tuple[tuple[Kind, tuple[Share, ...], tuple[Share, ...], dict[str, float]], ...]]
_CASES = {
    Level.USER: (
        (Kind.SWITCH, (_OUT,), (_IN,), {"actions_before": 31.0, "actions_now": 28.5}),
        (Kind.NEW_INTEREST, (), (Share(2, 0.0, 0.35),), {}),
        (Kind.DRIFT, (_OUT,), (_IN,), {}),
        (Kind.BREADTH_CHANGE, (), (), {"breadth_before": 3.2, "breadth_now": 9.0}),
        (Kind.SURGE, (), (replace(_IN, before=0.12),), {**_VOLUME, "now_days": 42.0}),
        (Kind.DROP, (_OUT,), (), _LOSS),
        (Kind.CHURN_RISK, (), (), _STOPPED),
    ),
    Level.CATEGORY: (
        (Kind.SURGE, (), (), {**_VOLUME, "users": 1204.0}),
        (Kind.DROP, (), (), {**_LOSS, "users": 12.0}),
    ),
    Level.PRODUCT: (
        (Kind.SURGE, (), (), _VOLUME),
        (Kind.DROP, (), (), _LOSS),
        (Kind.NEW_INTEREST, (), (Share(4, 0.0, 0.0),), {"users": 64.0, "now_days": 7.0}),
    ),
    Level.CAMPAIGN: ((Kind.SURGE, (), (), _VOLUME), (Kind.DROP, (), (), _LOSS)),
    Level.PLATFORM: (
        (Kind.SWITCH, (_SHOP_OUT,), (_SHOP_IN,), {}),
        (Kind.SURGE, (), (), _VOLUME),
        (Kind.DROP, (), (), {**_LOSS, "ratio": 0.59}),
    ),
}
_SUBJECTS = {
    Level.USER: "u-7f3a91c2d4e5f607",
    Level.CATEGORY: "c-0000000000000003",
    Level.PRODUCT: "p-0000000000000004",
    Level.CAMPAIGN: "m-0000000000000005",
    Level.PLATFORM: "platform",
}


def candidates() -> dict[str, Candidate]:
    """One candidate for each kind that each level can have, by `<level>-<kind>`."""
    return {
        f"{level}-{kind}": Candidate(
            level,
            _SUBJECTS[level],
            head_of(kind, level),
            kind,
            WINDOW,
            WINDOW - 7,
            2,
            8.3e-5,
            _EVIDENCE,
            falling,
            rising,
            facts,
            _HISTORY,
        )
        for level, cases in _CASES.items()
        for kind, falling, rising, facts in cases
    }


def decision(candidate: Candidate, **changed: Any) -> Decision:
    """SELECTED, by the real rules."""
    rules = SelectionRules(dict.fromkeys(Head, 1e-3))
    _, (made,) = select(Selection(), candidate.window, [candidate], rules)
    assert made.action is Action.SELECTED
    return Decision(
        **{name: changed.get(name, getattr(made, name)) for name in Decision.__dataclass_fields__}
    )


def payloads(
    facts: StackFacts = FACTS, names: Mapping[int, str] = NAMES
) -> dict[str, dict[str, Any]]:
    """Every kind and level, a folded group of each foldable kind, and every status."""
    made = {
        name: build_payload(decision(candidate), names, facts)
        for name, candidate in candidates().items()
    }
    for kind in (Kind.SWITCH, Kind.NEW_INTEREST, Kind.DRIFT, Kind.SURGE, Kind.DROP):
        made[f"group-{kind}"] = _group(kind, names, facts)
    switch = made["user-switch"]
    for name, changed in _variants(candidates()).items():
        made[name] = build_payload(decision(changed), names, facts)
    made["user-switch-updated"] = switch | {"status": "updated"}
    made["user-switch-withdrawn"] = switch | {"status": "withdrawn"}
    made["user-switch-resolved"] = switch | {
        "status": "resolved",
        "resolved_at": "2026-12-07T16:00:00Z",
        "resolved_by": "evidence",
    }
    made["user-churn_risk-resolved"] = made["user-churn_risk"] | {
        name: made["user-switch-resolved"][name]
        for name in ("status", "resolved_at", "resolved_by")
    }
    seen_early = (Evidence("early_surge", 50.0, 12.0, vote=True, p_value=8.3e-5),)
    surge = replace(candidates()["user-surge"], evidence=seen_early, facts=_VOLUME)
    made["user-surge-early"] = build_payload(decision(surge), names, facts, provisional=True)
    made["user-surge-early-withdrawn"] = made["user-surge-early"] | {"status": "withdrawn"}
    return made


def _variants(known: Mapping[str, Candidate]) -> dict[str, Candidate]:
    """Alerts of the same kinds in other circumstances."""
    switch, churn = known["user-switch"], known["user-churn_risk"]
    away = {"away_days": 35.0, "back_days": 14.0}
    little = {"actions_before": 4.0, "days_before": 0.6, "idle_days": 49.0}
    return {
        "user-switch-away": replace(switch, rising=()),
        "user-switch-returned": replace(switch, facts=switch.facts | away),
        "user-switch-bulk": replace(
            switch, change_window=WINDOW - 35, falling=(_OVER,), rising=(_STOCKED,)
        ),
        "user-switch-before-units": replace(switch, falling=(_SHOP_OUT,), rising=(_SHOP_IN,)),
        "user-churn_risk-slow": replace(churn, facts=_STOPPED | {"fading_days": 56.0}),
        "user-churn_risk-little": replace(churn, facts=_STOPPED | little),
        "user-churn_risk-long": replace(churn, facts=_STOPPED | {"idle_days": 49.0}),
    }


def _group(kind: Kind, names: Mapping[int, str], facts: StackFacts) -> dict[str, Any]:
    like = candidates()[f"user-{kind}"]
    members = [replace(like, subject=f"u-{user:016x}") for user in range(24)]
    rules = SelectionRules(dict.fromkeys(Head, 1e-3))
    _, decisions = select(Selection(), WINDOW, members, rules)
    (group,) = [d for d in decisions if d.action is Action.SELECTED]
    return build_payload(group, names, facts)
