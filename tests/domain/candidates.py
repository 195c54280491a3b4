"""A candidate with what a test does not care about filled in."""

from __future__ import annotations

from swerve.domain.candidate import Candidate, Head, Kind, Level, Share

WINDOW = 4 + 7 * 2900  # a Monday
WEEK = 7


def candidate(
    subject: str = "u-0000000000000001",
    kind: Kind = Kind.SWITCH,
    window: int = WINDOW,
    p_value: float = 1e-4,
    level: Level = Level.USER,
    falling: int = 11,
    rising: int = 22,
    **facts: float,
) -> Candidate:
    head = Head.ENGAGEMENT if kind in {Kind.SURGE, Kind.DROP, Kind.CHURN_RISK} else Head.INTEREST
    return Candidate(
        level,
        subject,
        head,
        kind,
        window,
        window - WEEK,
        0,
        p_value,
        (),
        (Share(falling, 0.5, 0.1),) if falling else (),
        (Share(rising, 0.1, 0.5),) if rising else (),
        facts,
    )
