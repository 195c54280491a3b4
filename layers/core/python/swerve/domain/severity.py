"""How urgent an alert is."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from swerve.domain.candidate import Head, Level

if TYPE_CHECKING:
    from swerve.domain.candidate import Candidate

# One point each for rarer than 1 in 10,000 and 1 in 100,000, for a big and a very big change, for a
# level that concerns many people, and two for the platform.
RARE_P, VERY_RARE_P = 1e-4, 1e-5
BIG_SHARE, VERY_BIG_SHARE = 0.3, 0.6  # of a subject's actions moved
BIG_RATIO, VERY_BIG_RATIO = 3.0, 8.0  # of activity, up or down
SILENT_RATIO = 1e9  # activity fell to nothing
# All who stop have stopped by 100 %: how much they did tells them apart.
MUCH_TO_LOSE = 10.0  # actions a week
# Shares of a handful of actions are no size: a newcomer, or one who was away for long.
LEAST_ACTIONS = 2.0  # a week, before and now


class Severity(StrEnum):
    """How urgent an alert is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


_SEVERITY_BY_POINTS = (
    Severity.LOW,
    Severity.MEDIUM,
    Severity.HIGH,
    Severity.HIGH,
    Severity.CRITICAL,
)
_LEVEL_POINTS = {Level.USER: 0, Level.PLATFORM: 2}


def severity_of(candidate: Candidate) -> Severity:
    """Severity from the p-value, the size of the change and the level."""
    points = (candidate.p_value <= RARE_P) + (candidate.p_value <= VERY_RARE_P)
    points += (
        _points_of_mix(candidate)
        if candidate.head is Head.INTEREST
        else _points_of_activity(candidate)
    )
    points += _LEVEL_POINTS.get(candidate.level, 1)
    return _SEVERITY_BY_POINTS[min(points, len(_SEVERITY_BY_POINTS) - 1)]


def _points_of_mix(candidate: Candidate) -> int:
    """Size of a change of interests, 0 to 2."""
    facts = candidate.facts
    fewest = min(facts.get(name, LEAST_ACTIONS) for name in ("actions_now", "actions_before"))
    if fewest < LEAST_ACTIONS:
        return 0
    size = max((abs(s.now - s.before) for s in candidate.falling + candidate.rising), default=0)
    return (size >= BIG_SHARE) + (size >= VERY_BIG_SHARE)


def _points_of_activity(candidate: Candidate) -> int:
    """Size of a change of activity, 0 to 2."""
    ratio = candidate.facts.get("ratio", 1.0)
    if candidate.level is Level.USER and ratio <= 0:
        return 1 + (candidate.facts.get("actions_before", 0.0) >= MUCH_TO_LOSE)
    size = max(ratio, 1 / ratio) if ratio > 0 else SILENT_RATIO
    return (size >= BIG_RATIO) + (size >= VERY_BIG_RATIO)
