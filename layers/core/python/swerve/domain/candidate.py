"""What detection says of one subject in one window, before it becomes an alert."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """What is watched."""

    USER = "user"
    CATEGORY = "category"
    PRODUCT = "product"
    CAMPAIGN = "campaign"
    PLATFORM = "platform"


class Head(StrEnum):
    """The families of change, calibrated and budgeted apart.

    Of users, surges have a head of their own: how much more is unusual differs from shop to shop in
    other ways than how much less (ADR 23). Of all else they are engagement.
    """

    INTEREST = "interest"
    ENGAGEMENT = "engagement"
    SURGE = "surge"


class Kind(StrEnum):
    """The kinds of change that an alert can name."""

    SWITCH = "switch"
    NEW_INTEREST = "new_interest"
    DRIFT = "drift"
    BREADTH_CHANGE = "breadth_change"
    SURGE = "surge"
    DROP = "drop"
    CHURN_RISK = "churn_risk"


def subject_kind(subject: str, kind: Kind) -> str:
    """Sort key in the alerts table."""
    return f"{subject}#{kind.value}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One number that one detector says, and whether it votes for a change."""

    detector: str
    value: float
    threshold: float
    vote: bool
    p_value: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Units:
    """What stands behind a share: without it, 3 of 33 items look like 300 of 3,300.

    An item counts once a day, and at most four of a category on one day.

    Attributes
    ----------
    items, of_items : float
        Items of the category since the change, and of all categories.
    usual_items : float
        How many of as many there were before.
    days, of_days, usual_days : float
        The same of days on which the subject did anything; 0 where not known.
    weeks, of_weeks : float
        Weeks with the category, and weeks since the change; 0 where not known.
    best_week : float
        Items of the week with most of them.
    days_before : float
        Days with the category before the change; older ones count less.
    """

    items: float
    of_items: float
    usual_items: float
    days: float = 0.0
    of_days: float = 0.0
    usual_days: float = 0.0
    weeks: float = 0.0
    of_weeks: float = 0.0
    best_week: float = 0.0
    days_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Share:
    """A category's part of a subject's weighted actions, before and now (0 to 1)."""

    category: int
    before: float
    now: float
    units: Units | None = None

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Share:
        """Inverse of `asdict`; shares stored before there were units have none."""
        units = stored.get("units")
        return cls(**{**stored, "units": None if units is None else Units(**units)})


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One window of a subject's recent past, for the alert page's chart.

    Attributes
    ----------
    actions : float
        Weighted actions of the window.
    shares : tuple of (int, float)
        Category key and its part of the window's weighted actions (0 to 1), at most six; what
        is missing to 1 is drawn as "other".
    score : float or None
        -log10 of the head's p-value in that window; None where it was not scored.
    """

    window: int
    actions: float
    shares: tuple[tuple[int, float], ...] = ()
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject with a small calibrated p-value in a window.

    Attributes
    ----------
    subject : str
        `u-`, `c-`, `p-` or `m-` (campaign) and 16 hex digits of the key, or `platform`.
    window : int
        The window at whose end this was seen.
    change_window : int
        First window of the change, as estimated.
    bucket : int
        Activity bucket, the unit of calibration.
    p_value : float
        Calibrated p-value of the head.
    falling, rising : tuple of Share
        Categories that lost or won, most telling first, at most three each. The from and to of the
        alert's text are the first ones that are no mere stock-up.
    facts : dict
        Numbers for the texts, by name: `actions_now`, `actions_before` (events a week),
        `now_days` (span of `Share.now`), `days_before` (active days a week),
        `away_days`, `away_days_at_least`, `back_days` (see `circumstances.absence`), `fading_days`,
        `ratio`, `idle_days`, `active_days`, `breadth_before`, `breadth_now`, `users`, ...
    history : tuple of HistoryPoint
        Recent windows up to `window`, oldest first, at most 26; empty where not kept.
    """

    level: Level
    subject: str
    head: Head
    kind: Kind
    window: int
    change_window: int
    bucket: int
    p_value: float
    evidence: tuple[Evidence, ...]
    falling: tuple[Share, ...] = ()
    rising: tuple[Share, ...] = ()
    facts: dict[str, float] = field(default_factory=dict)
    history: tuple[HistoryPoint, ...] = ()

    @property
    def key(self) -> tuple[Level, str, Head]:
        """What is told once: a subject by one of its heads."""
        return self.level, self.subject, self.head

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Candidate:
        """Inverse of `to_dict`, also after a way through JSON."""
        shares = {
            side: tuple(Share.from_dict(share) for share in stored[side])
            for side in ("falling", "rising")
        }
        history = tuple(
            HistoryPoint(
                **{
                    **point,
                    "shares": tuple((category, share) for category, share in point["shares"]),
                }
            )
            for point in stored["history"]
        )
        return cls(
            **{
                **stored,
                **shares,
                "level": Level(stored["level"]),
                "head": Head(stored["head"]),
                "kind": Kind(stored["kind"]),
                "evidence": tuple(Evidence(**found) for found in stored["evidence"]),
                "history": history,
            }
        )
