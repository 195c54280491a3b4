"""Labelled change points on real streams: other people's behaviour spliced into a user's own.

No public data set says "this user's interest changed here". A recipe makes one: it takes dense
users, draws a change week for each, and rewrites what some of them do from that week on. The
canonical recipe (none, splice, category_swap, thin, stop) is published with checksums, and every
draw of its generator is part of it; further kinds follow the same protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from training.log import DAY_S, WEEK_S, Log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

CANONICAL: Mapping[str, float] = {
    "none": 0.50,
    "splice": 0.20,
    "category_swap": 0.10,
    "thin": 0.10,
    "stop": 0.10,
}
_COMMON_CATEGORIES = 150
_SWAP_CHOICES = 30
_THIN_KEEP = 0.35
_GRADUAL_WEEKS = 6


@dataclass(slots=True)
class Label:
    """What was done to one user: a row of truth.csv.

    `changed` are the categories whose weekly count truly differs (empty for a change of volume
    only); `activity` is the user's own events per week before the change.
    """

    user_id: str
    kind: str
    change_week: int
    change_at: str
    source_user: str
    donor_user: str
    activity: float = 0.0
    changed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Before:
    """All that a change may look at.

    Attributes
    ----------
    own, donor : int[n], int[m]
        Row numbers in the log of the user and of the donor, in time order.
    week : int
        Change week; `after` rows are those at or behind its start.
    """

    log: Log
    own: NDArray[np.intp]
    donor: NDArray[np.intp]
    week: int
    rng: Generator

    def split(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows before the change, rows from it on."""
        cut = int(np.searchsorted(self.log.time_s[rows], self.log.week_start_s(self.week)))
        return rows[:cut], rows[cut:]


@dataclass(frozen=True, slots=True)
class Rows:
    """A rewritten stream: rows of the log, with some columns replaced."""

    rows: NDArray[np.intp]
    category: NDArray[np.int32] | None = None
    time_s: NDArray[np.int64] | None = None
    item: NDArray[np.int32] | None = None


def splice(
    log: Log, users: Sequence[str], *, seed: int, fractions: Mapping[str, float] = CANONICAL
) -> tuple[pd.DataFrame, list[Label]]:
    """Apply a recipe to some users of a log, usually `log.dense_users(40)` or a split of them.

    Parameters
    ----------
    log : Log
        A converted log; its whole population defines which categories are common.
    fractions : mapping
        Kind to fraction of the users, in the order in which kinds are dealt out; what rounding
        leaves over stays unchanged.

    Returns
    -------
    events : DataFrame
        Common schema with ids s00000, s00001 ..., sorted by (timestamp, user_id).
    labels : list of Label
    """
    rng = np.random.default_rng(seed)
    dense = np.array(sorted(users), dtype=object)
    rng.shuffle(dense)
    kinds = [kind for kind, part in fractions.items() for _ in range(int(len(dense) * part))]
    kinds += ["none"] * (len(dense) - len(kinds))
    donors = rng.permutation(dense)
    parts: list[pd.DataFrame] = []
    labels: list[Label] = []
    low, high = int(0.4 * log.weeks), int(0.75 * log.weeks)
    for number, (user, kind) in enumerate(zip(dense, kinds, strict=True)):
        week = int(rng.integers(low, high))
        donor = next(d for d in np.roll(donors, number) if d != user)
        before = Before(log, log.rows_of(user), log.rows_of(donor), week, rng)
        made = CHANGES[kind](before)
        name = f"s{number:05d}"
        parts.append(log.frame(made.rows, name, made.category, made.time_s, made.item))
        labels.append(
            Label(
                name,
                kind,
                week,
                log.week_label(week),
                user,
                donor if kind in USES_DONOR else "",
                before.split(before.own)[0].size / week,
                changed_categories(before, made) if kind not in VOLUME_ONLY else [],
            )
        )
    events = pd.concat(parts, ignore_index=True)
    events = events.sort_values(["timestamp", "user_id"], kind="stable", ignore_index=True)
    return events, labels


def changed_categories(before: Before, made: Rows) -> list[str]:
    """Categories whose share of the stream truly moved with the change.

    Compares the rewritten weeks with the user's own past: a category counts when its share moved
    by a hundredth of all actions and by half or more of itself, which chance alone seldom does
    over ten weeks and more of a dense user.
    """
    log = before.log
    codes = log.category[made.rows] if made.category is None else made.category
    times = log.time_s[made.rows] if made.time_s is None else made.time_s
    late = times >= log.week_start_s(before.week)
    size = len(log.category_names)
    past = np.bincount(codes[~late], minlength=size) / max(1, int((~late).sum()))
    now = np.bincount(codes[late], minlength=size) / max(1, int(late.sum()))
    moved = (np.abs(now - past) >= 0.01) & (np.abs(now - past) >= 0.5 * np.maximum(now, past))
    return [log.category_names[code] for code in np.flatnonzero(moved)]


def _none(before: Before) -> Rows:
    return Rows(before.own)


def _splice(before: Before) -> Rows:
    """From the change on, the events of another real user in the same calendar weeks."""
    return Rows(np.concatenate([before.split(before.own)[0], before.split(before.donor)[1]]))


def _swap(
    top: int, offered: Callable[[Log, int], list[int]] = Log.named
) -> Callable[[Before], Rows]:
    def swap(before: Before) -> Rows:
        """The user's top categories become ones hardly or never used; items are kept."""
        log = before.log
        past, _ = before.split(before.own)
        used = np.bincount(log.category[past], minlength=len(log.category_names))
        favourites = _ranked(log, past)[:top]
        common = np.array([c for c in offered(log, _COMMON_CATEGORIES) if c not in favourites])
        candidates = common[np.argsort(used[common], kind="stable")]
        unused = int((used[common] == 0).sum())
        candidates = candidates[: max(top, min(_SWAP_CHOICES, unused))]
        chosen = before.rng.permutation(candidates)[:top]
        renamed = dict(zip(favourites, chosen, strict=False))
        category = log.category[before.own].copy()
        for row in range(past.size, before.own.size):
            category[row] = renamed.get(category[row], category[row])
        return Rows(before.own, category)

    return swap


def _ranked(log: Log, rows: NDArray[np.intp]) -> list[int]:
    """Categories of these rows by count, ties by first appearance (as pandas counts)."""
    return [int(code) for code in pd.Series(log.category[rows]).value_counts().index]


def _thin(before: Before) -> Rows:
    """Whole days vanish: gradual disengagement."""
    past, late = before.split(before.own)
    days, of_day = np.unique(before.log.time_s[late] // DAY_S, return_inverse=True)
    kept = before.rng.random(days.size) < _THIN_KEEP
    return Rows(np.concatenate([past, late[kept[of_day]]]))


def _stop(before: Before) -> Rows:
    return Rows(before.split(before.own)[0])


def _mixed(share_of_week: Callable[[NDArray[np.int64]], NDArray[np.float64]]) -> Callable:
    def mixed(before: Before) -> Rows:
        """Each own event gives way, and each of the donor's comes in, with the week's share."""
        past, late = before.split(before.own)
        _, other = before.split(before.donor)
        log, rng = before.log, before.rng
        since = [log.week_of(log.time_s[rows]) - before.week for rows in (late, other)]
        kept = late[rng.random(late.size) >= share_of_week(since[0])]
        joined = other[rng.random(other.size) < share_of_week(since[1])]
        return Rows(np.concatenate([past, kept, joined]))

    return mixed


def _surge(before: Before) -> Rows:
    """Two and a half times the volume, the additions taken from random own weeks of the past."""
    log, rng = before.log, before.rng
    past, _ = before.split(before.own)
    rows, times = [before.own], [log.time_s[before.own]]
    of_week = log.week_of(log.time_s[past])
    for week in range(before.week, log.weeks):
        for keep in (1.0, 0.5):
            taken = int(rng.integers(0, before.week))
            copied = past[of_week == taken]
            copied = copied[rng.random(copied.size) < keep]
            rows.append(copied)
            times.append(log.time_s[copied] + (week - taken) * WEEK_S)
    return Rows(np.concatenate(rows), time_s=np.concatenate(times))


def _new_category(before: Before) -> Rows:
    """Two never-used categories grow on top of an otherwise unchanged life (+ 40 %).

    They are bought in the user's own baskets: a random own event of the week lends its time.
    """
    log, rng = before.log, before.rng
    past, late = before.split(before.own)
    used = np.bincount(log.category[past], minlength=len(log.category_names))
    fresh = [c for c in log.named(_COMMON_CATEGORIES) if used[c] == 0]
    fresh = fresh or sorted(log.named(_COMMON_CATEGORIES), key=lambda c: used[c])[:4]
    chosen = rng.permutation(fresh)[:2]
    wanted = int(rng.binomial(late.size, 0.4))
    lent = np.sort(rng.choice(late, wanted)) if late.size else late
    category = np.concatenate([log.category[before.own], rng.choice(chosen, lent.size)])
    item = np.concatenate([log.item[before.own], log.any_item(category[before.own.size :], rng)])
    return Rows(np.concatenate([before.own, lent]), category.astype(np.int32), item=item)


def _narrowing(before: Before) -> Rows:
    """Volume stays, but all of it goes to the user's four favourite categories."""
    log = before.log
    past, _ = before.split(before.own)
    keep = np.array(_ranked(log, past)[:4], np.int32)
    category = log.category[before.own].copy()
    strange = np.flatnonzero(~np.isin(category[past.size :], keep)) + past.size
    weight = np.array([(log.category[past] == c).sum() for c in keep], float)
    category[strange] = before.rng.choice(keep, strange.size, p=weight / weight.sum())
    item = log.item[before.own].copy()
    item[strange] = log.any_item(category[strange], before.rng)
    return Rows(before.own, category, item=item)


def _widening(before: Before) -> Rows:
    """Half of the actions scatter over what everybody buys and this user did not."""
    log, rng = before.log, before.rng
    past, _ = before.split(before.own)
    used = np.bincount(log.category[past], minlength=len(log.category_names))
    common = np.array(log.named(_COMMON_CATEGORIES))
    fresh = common[np.argsort(used[common], kind="stable")][:60]
    category = log.category[before.own].copy()
    moved = np.flatnonzero(rng.random(category.size - past.size) < 0.5) + past.size
    category[moved] = rng.choice(fresh, moved.size)
    item = log.item[before.own].copy()
    item[moved] = log.any_item(category[moved], rng)
    return Rows(before.own, category, item=item)


CHANGES: dict[str, Callable[[Before], Rows]] = {
    "none": _none,
    "splice": _splice,
    "category_swap": _swap(3, Log.common),
    "thin": _thin,
    "stop": _stop,
    "partial": _mixed(lambda since: np.full(since.shape, 0.5)),
    "gradual": _mixed(lambda since: np.minimum(1.0, (since + 1) / _GRADUAL_WEEKS)),
    "surge": _surge,
    "new_category": _new_category,
    "swap_1": _swap(1),
    "swap_2": _swap(2),
    "swap_5": _swap(5),
    "narrowing": _narrowing,
    "widening": _widening,
}
INTEREST_KINDS = frozenset(CHANGES) - {"none", "thin", "stop", "surge"}
VOLUME_ONLY = frozenset({"none", "thin", "stop", "surge"})
USES_DONOR = frozenset({"splice", "partial", "gradual"})
