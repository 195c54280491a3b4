"""Numbers and dates of a payload, as both languages show them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from swerve.domain.detectors import GROUP, speaks_of

if TYPE_CHECKING:
    from collections.abc import Mapping

TINY_SHARE = 0.005
MAIN_SHARE = 0.2
NAMED_SHARE = 0.1
SILENT_DAYS = 7
SEASONAL = 0.15
RAREST = 100_000  # rarer chances are beyond what the calibration has seen
_RARE_DAYS = 2.0  # of fewer a category was no habit
_CLUMP, _CLUMP_ITEMS = 0.6, 4  # such a part of the items in one week, and so many: bought in bulk
_BOTH_WAYS = frozenset({"lstm_residual", "mann_kendall"})
REASONS = 5  # lines of evidence in a mail; the page has them all


def percent(share: float) -> str:
    """Share of 0 to 1 as a whole percentage.

    Examples
    --------
    >>> percent(0.0), percent(0.001), percent(0.814)
    ('0%', '<1%', '81%')
    """
    if 0 < share < TINY_SHARE:
        return "<1%"
    return f"{round(share * 100)}%"


def times(ratio: float) -> str:
    """Ratio with two significant digits.

    Examples
    --------
    >>> times(4.23), times(12.6), times(1234.5)
    ('4.2', '13', '1,200')
    """
    if ratio < 9.95:
        return f"{ratio:.1f}"
    return f"{_two_digits(ratio):,}"


def one_in(p_value: float) -> str:
    """How many chances a p-value is one of, two significant digits, at most `RAREST`.

    Examples
    --------
    >>> one_in(3.1e-4), one_in(0.0)
    ('3,200', '100,000')
    """
    return f"{_two_digits(min(1 / max(p_value, 1e-9), RAREST)):,}"


def is_rarest(p_value: float) -> bool:
    """Whether the chance is smaller than `one_in` can say."""
    return p_value * RAREST < 1


def score_of(p_value: float) -> float:
    """-log10 of a p-value: how many zeros its chance has.

    Examples
    --------
    >>> round(score_of(1e-4), 6)
    4.0
    """
    return -math.log10(max(p_value, 1e-12))


def number(value: float) -> str:
    """Short form of a statistic.

    Examples
    --------
    >>> number(6.84), number(0.00081), number(1204.4), number(0.19), number(3.0)
    ('6.8', '0.0008', '1,204', '0.19', '3')
    """
    if abs(value) >= 100 or value == round(value):
        return f"{value:,.0f}"
    if abs(value) >= 1:
        return f"{value:.1f}"
    if value == 0 or abs(value) >= 0.01:
        return f"{value:.2f}"
    return f"{value:.1g}" if abs(value) >= 1e-4 else f"{value:.0e}"


def number_of(value: float) -> str:
    """Return an average count: whole where it is nearly so.

    Examples
    --------
    >>> number_of(3.02), number_of(3.4), number_of(12.4)
    ('3', '3.4', '12')
    """
    return f"{value:,.0f}" if value >= 10 or abs(value - round(value)) < 0.05 else f"{value:.1f}"


def p_text(p_value: float) -> str:
    """P-value as statisticians write it.

    Examples
    --------
    >>> p_text(0.0008), p_text(3e-9)
    ('p = 0.0008', 'p < 0.0001')
    """
    return "p < 0.0001" if p_value < 1e-4 else f"p = {number(p_value)}"


def usual(value: float) -> str:
    """How many there would be, as a whole number.

    Examples
    --------
    >>> usual(0.0), usual(0.2), usual(6.8), usual(1204.2)
    ('0', '<1', '7', '1,204')
    """
    return "<1" if 0 < value < 0.5 else f"{value:,.0f}"


def fall(facts: Mapping[str, float]) -> str | None:
    """How much activity fell, in percent; None where that is not known."""
    ratio = facts.get("ratio")
    return None if ratio is None else percent(max(0.0, 1 - ratio)).removesuffix("%")


def local(time_ms: int, zone: str) -> datetime:
    """Moment in a time zone."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(ZoneInfo(zone))


def parse_day(text: str) -> date:
    """Day of an ISO date or time."""
    return date.fromisoformat(text[:10])


def heard(payload: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Evidence that speaks of this kind of change, the votes for it first."""
    spoken = [e for e in payload["evidence"] if speaks_of(e["detector"], payload["kind"])]
    return sorted(spoken, key=lambda evidence: not evidence["vote"])


def last_day_of_change(payload: Mapping[str, Any]) -> date:
    """Last local day before the change was seen to have ended."""
    ended = datetime.fromisoformat(payload["resolved_at"]) - timedelta(seconds=1)
    return ended.astimezone(ZoneInfo(payload["stack"]["time_zone"])).date()


def votes(payload: Mapping[str, Any]) -> tuple[int, int]:
    """(detectors that vote for the alert, detectors heard)."""
    spoken = heard(payload)
    return sum(found["vote"] for found in spoken), len(spoken)


def is_worth_naming(payload: Mapping[str, Any], side: str) -> bool:
    """More or less of everything is not about a category that is a small part of it."""
    share = payload["change"][side]
    if payload["head"] != "interest":
        grew = share.get("share", 0.0) > share.get("was", 0.0)
        return grew == (side == "to") and bool(
            max(share.get("share", 0.0), share.get("was", 0.0)) >= NAMED_SHARE
        )
    return "share" in share


def moved(payload: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Shares that tell of this kind of change, gained before lost."""
    if is_launch(payload):
        return []
    sides = {"surge": ("to",), "drop": ("from",), "churn_risk": ()}.get(
        payload["kind"], ("to", "from")
    )
    return [payload["change"][side] for side in sides if is_worth_naming(payload, side)]


def has_units(share: Mapping[str, Any]) -> bool:
    """Whether it is known how much stands behind a share; older alerts do not say."""
    return "of_items" in share


def was_rare(share: Mapping[str, Any]) -> bool:
    """Whether a category that fell was there on a day or two before: a stock-up that is over."""
    fell = share["share"] < share["was"]
    return bool(fell and share.get("of_days") and share["days_before"] < _RARE_DAYS)


def named(payload: Mapping[str, Any]) -> tuple[str, str]:
    """Names of what a change went from and to; a stock-up that is over is no habit lost."""
    before, after = payload["change"]["from"], payload["change"]["to"]
    doubtful = "name" in after and "share" in before and was_rare(before)
    return "" if doubtful else before.get("name", ""), after.get("name", "")


def clump(share: Mapping[str, Any]) -> str:
    """Items of the week that most of what rose was in; empty where it came evenly."""
    best, weeks = share.get("best_week", 0.0), share.get("of_weeks", 0.0)
    rose = share["share"] > share["was"] and weeks > 2
    return usual(best) if rose and best >= max(_CLUMP * share["items"], _CLUMP_ITEMS) else ""


def away_weeks(facts: Mapping[str, float]) -> tuple[int, bool] | None:
    """(whole weeks that a user was away, at least); None who did not come back lately."""
    for name in ("away_days", "away_days_at_least"):
        if name in facts:
            return int(facts[name] // 7), name != "away_days"
    return None


def first_day(payload: Mapping[str, Any], name: str) -> date:
    """First of the last so many days, given by the name of the fact."""
    return parse_day(payload["window"]["last_day"]) - timedelta(payload["facts"][name] - 1)


def is_launch(payload: Mapping[str, Any]) -> bool:
    """Whether a category, product or campaign is new itself: its users say how it is taken up."""
    own, name = payload["level"] != "user" and not is_group(payload), payload["subject"].get("name")
    new = payload["kind"] == "new_interest" and name == payload["change"]["to"].get("name")
    return bool(own and new)


def is_weekly(payload: Mapping[str, Any]) -> bool:
    """Whether its actions are a mean by week; those of groups and early notices are of a window."""
    mean = payload["level"] == "user" and not payload.get("provisional")
    return bool(mean or payload["stack"]["window_days"] > 1)


def is_silent(payload: Mapping[str, Any]) -> bool:
    """Whether a user who does less has not been seen for a while."""
    losing = payload["kind"] in {"drop", "churn_risk"} and payload["level"] == "user"
    return bool(losing and payload["facts"].get("idle_days", 0) >= SILENT_DAYS)


def has_stopped(payload: Mapping[str, Any]) -> bool:
    """Whether a user does nothing at all any more: the days say more than `-100%`."""
    return is_silent(payload) and payload["facts"].get("ratio", 1.0) <= 0


def is_floor(found: Mapping[str, Any]) -> bool:
    """Whether a detector that looks both ways looked downward: it votes below its line."""
    return found["detector"] in _BOTH_WAYS and found["threshold"] < 0


def is_main(payload: Mapping[str, Any]) -> bool:
    """Whether the categories of a switch were and are main interests of the subject."""
    change = payload["change"]
    return bool(
        change["from"].get("was", 0) >= MAIN_SHARE and change["to"].get("share", 0) >= MAIN_SHARE
    )


def is_seasonal(facts: Mapping[str, float]) -> bool:
    """Whether the ratio differs from now / before, as the shop's own season is divided out."""
    if not facts.get("actions_before") or not facts.get("ratio"):
        return False
    plain = facts["actions_now"] / facts["actions_before"]
    return abs(plain / facts["ratio"] - 1) > SEASONAL


def is_group(payload: Mapping[str, Any]) -> bool:
    """Whether the alert speaks for folded users."""
    return any(found["detector"] == GROUP for found in payload["evidence"])


def _two_digits(value: float) -> int:
    return int(float(f"{value:.2g}"))
