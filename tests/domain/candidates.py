"""A candidate with what a test does not care about filled in."""

from __future__ import annotations

from swerve.domain.candidate import Candidate, Head, Kind, Level, Share

WINDOW = 4 + 7 * 2900  # a Monday
WEEK = 7
_HEADS = {
    Kind.SURGE: Head.SURGE,
    Kind.DROP: Head.ENGAGEMENT,
    Kind.CHURN_RISK: Head.ENGAGEMENT,
}


def head_of(kind: Kind, level: Level = Level.USER) -> Head:
    """Of users, surges have a head of their own."""
    head = _HEADS.get(kind, Head.INTEREST)
    return Head.ENGAGEMENT if head is Head.SURGE and level is not Level.USER else head


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
    return Candidate(
        level,
        subject,
        head_of(kind, level),
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
