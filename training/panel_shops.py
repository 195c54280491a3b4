"""Simulated shops of many kinds (`training.shops`), to see where a detector fails to transfer.

One generator of one model of taste; `training.shop_users` draws who shops, this module what they
do. Seeds below 100 are for development; from 100 on they stay for judging, and whoever tunes on
those has no judge left. The calendar of a shop is the same for all seeds.

Changes begin in the middle of what is seen of a user (40 to 75 % of it), and only where there is
enough to find: five expected visits and eight weeks before, six weeks after.

- shift: all own categories give way to others; gradual: the same, over five weeks
- partial: two of the five favourites give way to others
- new_category: one comes on top, a quarter to half of what is then bought
- narrowing: 92 % goes to one or two of the four favourites, at the same volume
- stop, drop (to 30 %), surge (threefold): of the volume only
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from training import shop_users
from training.data import TIME_FORMAT
from training.splice import Label

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from training.shop_users import Calendar, Users
    from training.shops import Shop

    Ints = NDArray[np.int64]

_DAY_S = 86_400
_WEEK_S = 7 * _DAY_S
_OWN_ITEMS = 4  # of a category, for loyal users
_VIEW_S = 40  # from one view to the next


def simulate(
    shop: Shop, seed: int, users: int, changed: float = 0.0
) -> tuple[pd.DataFrame, list[Label], list[str]]:
    """Simulate a shop.

    Parameters
    ----------
    seed : int
        Of the users; the calendar has its own.
    changed : float
        Share of the users that change once, kinds in equal parts; fewer where not enough of them
        are seen for long enough.

    Returns
    -------
    events : DataFrame
        Common schema, sorted by (timestamp, user_id).
    labels : list of Label
        Of the users that were ever seen.
    promotions : list of str
        Starts of the promotion weeks.
    """
    rng = np.random.default_rng([seed, *shop.name.encode()])
    shared = shop_users.calendar(shop)
    people = shop_users.draw(shop, shared, users, changed, rng)
    visits = _visits(shop, people, rng)
    rows = _rows(shop, _lines(shop, shared, people, visits, rng), rng)
    labels = _labels(shop, people, rows)
    promotions = [_stamp(shop, promotion.week) for promotion in shop.promotions]
    return _events(shop, rows), labels, promotions


@dataclass(frozen=True, slots=True)
class Visits:
    """User, week and time of each visit, by user and time."""

    user: NDArray[np.intp]
    week: Ints
    time_s: Ints


def _visits(shop: Shop, people: Users, rng: Generator) -> Visits:
    """Renewals on a clock that runs as fast as the user visits in that week."""
    clock = np.cumsum(people.visits, axis=1)
    most = clock[:, -1].max()
    gaps = rng.gamma(
        shop.regularity, 1 / shop.regularity, (len(clock), int(most + 8 * np.sqrt(most) + 10))
    )
    ticks = np.cumsum(gaps, axis=1) - rng.random((len(clock), 1))
    inside = (ticks > 0) & (ticks < clock[:, -1:])
    weeks = np.arange(shop.weeks + 1)
    time = np.concatenate(
        [
            np.interp(tick[ok], np.concatenate([[0], ran]), weeks)
            for tick, ok, ran in zip(ticks, inside, clock, strict=True)
        ]
    )
    week = time.astype(np.int64)
    # Days keep the order of the visits, so that regular gaps stay regular.
    until = np.cumsum(shop.weekdays) / sum(shop.weekdays)
    day = np.searchsorted(until, time - week, "right")
    hour = np.clip(rng.normal(15, 3, time.size), 6, 23)
    time_s = week * _WEEK_S + day * _DAY_S + (3600 * hour).astype(np.int64)
    return Visits(np.nonzero(inside)[0], week, time_s)


def _lines(
    shop: Shop, shared: Calendar, people: Users, visits: Visits, rng: Generator
) -> pd.DataFrame:
    """What each visit is about: a row a line, of codes."""
    count = visits.user.size
    size = people.lines[visits.user, visits.week]
    size = size * rng.lognormal(-(shop.basket**2) / 2, shop.basket, count)
    # Rounded up or down by chance: means stay; but nobody leaves with nothing.
    lines = np.maximum(1, (size + rng.random(count)).astype(np.int64))
    visit = np.repeat(np.arange(count), lines)
    user, week = visits.user[visit], visits.week[visit]
    first = (np.cumsum(lines) - lines)[visit]
    slot = _drawn(people.taste[visits.user, visits.week], visit, rng)
    slot = np.where(rng.random(visit.size) < shop.focus, slot[first], slot)
    category = people.category[user, slot]
    # General traffic and promotions come over the taste: such lines are of no own item.
    chance = rng.random(visit.size)
    general = chance < shop.background
    pulled = ~general & (chance < shop.background + people.pull[user, week])
    for rows, mix in ((general, shared.popularity * shared.mix), (pulled, shared.promoted)):
        category[rows] = _drawn(mix, week[rows], rng)
    pace_s = 0 if shop.buys == 1 else _VIEW_S
    time_s = visits.time_s[visit] + pace_s * (np.arange(visit.size) - first)
    lines = pd.DataFrame(
        {
            "user": user,
            "week": week,
            # A session may pass midnight, not the end of its week: weeks are what is labelled.
            "time_s": np.minimum(time_s, (week + 1) * _WEEK_S - 1),
            "slot": slot,
            "category": category,
            "tasted": ~general & ~pulled,
        }
    )
    return lines.assign(item=_items(shop, shared, lines, rng))


def _items(shop: Shop, shared: Calendar, lines: pd.DataFrame, rng: Generator) -> Ints:
    """Of the category's catalogue, few items often; or one of those a user always takes."""
    count = len(lines)
    liked = rng.random((lines["user"].max() + 1, 2 * shop.breadth, _OWN_ITEMS))
    own = liked[lines["user"], lines["slot"], rng.integers(0, _OWN_ITEMS, count)]
    loyal = lines["tasted"] & (rng.random(count) < shop.loyalty)
    category = lines["category"].to_numpy()
    size = np.maximum(5, shop.items * shared.popularity)[category]
    number = (size * np.where(loyal, own, rng.random(count)) ** 2).astype(np.int64)
    born = np.zeros(count, np.int64)
    if shop.life:
        age = rng.geometric(1 / shop.life, count)
        born = np.maximum(0, shop.weeks + lines["week"].to_numpy() - age)
    return (1_000 * category + born) * 100_000 + number


def _drawn(weights: NDArray[np.floating], row: Ints, rng: Generator) -> Ints:
    """Draw a column for each of these rows, all in one search: a row is a unit of one axis."""
    ladder = np.cumsum(weights, axis=1, dtype=np.float64)
    ladder = ladder / ladder[:, -1:] + np.arange(len(weights))[:, None]
    found = np.searchsorted(ladder.ravel(), row + rng.random(row.size), "right")
    return np.minimum(found - row * weights.shape[1], weights.shape[1] - 1)


def _rows(shop: Shop, lines: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """Lines in order; where they are views, what is bought of them comes with the view."""
    rows = lines.assign(behavior="purchase")
    if shop.buys < 1:
        bought = rows[rng.random(len(rows)) < shop.buys]
        rows = pd.concat([lines.assign(behavior="view"), bought])
    return rows.sort_values(["time_s", "user"], kind="stable", ignore_index=True)


def _events(shop: Shop, rows: pd.DataFrame) -> pd.DataFrame:
    time = np.datetime64(shop.first) + rows["time_s"].to_numpy().astype("timedelta64[s]")
    return pd.DataFrame(
        {
            "user_id": rows["user"].map(_user),
            "timestamp": pd.DatetimeIndex(time).strftime(TIME_FORMAT),
            "behavior": rows["behavior"],
            "item_id": rows["item"].astype(str),
            "category_id": rows["category"].map(_category),
            "value": "",
        }
    )


def _labels(shop: Shop, people: Users, rows: pd.DataFrame) -> list[Label]:
    before = (rows["time_s"] // _WEEK_S).to_numpy() < people.change[rows["user"]]
    activity = np.bincount(rows["user"], before, people.change.size)
    activity /= np.maximum(1, people.change - people.joined)
    return [
        Label(
            _user(user),
            str(people.kind[user]),
            int(people.change[user]),
            _stamp(shop, int(people.change[user])),
            _user(user),
            "",
            float(activity[user]),
            sorted(_category(code) for code in people.category[user, people.moved[user]]),
        )
        for user in np.unique(rows["user"])
    ]


def _user(number: int) -> str:
    return f"u{number:05d}"


def _category(code: int) -> str:
    return f"category {code:04d}"


def _stamp(shop: Shop, week: int) -> str:
    return (pd.Timestamp(shop.first) + pd.Timedelta(weeks=week)).strftime(TIME_FORMAT)
