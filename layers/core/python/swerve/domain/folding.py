"""Many users who make the same move become one category alert."""

from __future__ import annotations

import math

from swerve.domain.candidate import (
    Candidate,
    Evidence,
    Head,
    Kind,
    Level,
    Share,
    Units,
    subject_kind,
)
from swerve.domain.detectors import GROUP


def fold(
    candidates: list[Candidate], fold_users: int
) -> tuple[list[Candidate], list[tuple[Candidate, str]]]:
    """Split into (told by themselves or for many, folded into which category alert).

    Parameters
    ----------
    candidates : list of Candidate
        One a (level, subject, head).
    fold_users : int
        As many users with the same move become one category alert; 0: never.
    """
    groups: dict[tuple[str, int, int], list[Candidate]] = {}
    chosen: dict[tuple[Level, str, Head], Candidate] = {}
    for candidate in candidates:
        move = _move(candidate) if fold_users and candidate.level is Level.USER else None
        if move is None:
            chosen[candidate.key] = candidate
        else:
            groups.setdefault(move, []).append(candidate)
    folded: list[tuple[Candidate, str]] = []
    for move in sorted(groups, key=lambda m: (-len(groups[m]), m)):
        members = groups[move]
        if len(members) < fold_users:
            chosen.update((member.key, member) for member in members)
            continue
        group = _as_category(members, fold_users)
        # A category that alarms by itself is told once, in its own words.
        told = chosen.setdefault(group.key, group)
        into = subject_kind(told.subject, told.kind)
        folded.extend((member, into) for member in members)
    return [chosen[key] for key in sorted(chosen)], folded


def _move(candidate: Candidate) -> tuple[str, int, int] | None:
    """What users must share to be folded: from and to, or the category of a surge or drop."""
    falling = candidate.falling[0].category if candidate.falling else 0
    rising = candidate.rising[0].category if candidate.rising else 0
    if candidate.kind in {Kind.SWITCH, Kind.DRIFT} and falling and rising:
        return candidate.kind.value, falling, rising
    if candidate.kind in {Kind.SURGE, Kind.NEW_INTEREST} and rising:
        return candidate.kind.value, 0, rising
    if candidate.kind is Kind.DROP and falling:
        return candidate.kind.value, falling, 0
    return None


def _as_category(members: list[Candidate], fold_users: int) -> Candidate:
    """One category candidate that speaks for `members`, who made the same move."""
    first = members[0]
    falling, rising = _mean_share(members, "falling"), _mean_share(members, "rising")
    category = (rising or falling)[0].category
    count = len(members)
    ratios = sorted(m.facts["ratio"] for m in members if "ratio" in m.facts)
    facts = {"users": float(count)}
    if ratios:
        facts["ratio"] = ratios[len(ratios) // 2]
    for name in ("actions_now", "actions_before"):
        if all(name in member.facts for member in members):
            facts[name] = math.fsum(member.facts[name] for member in members)
    return Candidate(
        Level.CATEGORY,
        f"c-{category:016x}",
        # Only users have surges of their own head; a category's is told once, whoever saw it.
        Head.ENGAGEMENT if first.head is Head.SURGE else first.head,
        first.kind,
        first.window,
        min(member.change_window for member in members),
        first.bucket,
        min(1.0, min(member.p_value for member in members) * count),
        (Evidence(GROUP, count, fold_users, vote=True),),
        falling,
        rising,
        facts,
    )


def _mean_share(members: list[Candidate], side: str) -> tuple[Share, ...]:
    shares = [getattr(member, side)[0] for member in members if getattr(member, side)]
    if len(shares) < len(members) or len({share.category for share in shares}) > 1:
        return ()
    return (
        Share(
            shares[0].category,
            math.fsum(share.before for share in shares) / len(shares),
            math.fsum(share.now for share in shares) / len(shares),
            _sum_of_units(shares),
        ),
    )


def _sum_of_units(shares: list[Share]) -> Units | None:
    """Items of all members; their days and weeks are those of no single shopper."""
    units = [share.units for share in shares if share.units is not None]
    if len(units) < len(shares):
        return None
    return Units(
        math.fsum(each.items for each in units),
        math.fsum(each.of_items for each in units),
        math.fsum(each.usual_items for each in units),
    )
