"""A converted log as integer columns, indexed by user: what recipes and panels work on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from training.data import PSEUDO_CATEGORIES, TIME_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.random import Generator
    from numpy.typing import NDArray

DAY_S = 86_400
WEEK_S = 7 * DAY_S


@dataclass(frozen=True, slots=True)
class Log:
    """Columns of a log, one row an event, in the log's order.

    Attributes
    ----------
    time_s : int64[n]
        Seconds since 1970 UTC. Week 0 starts at 00:00Z of the first day.
    category, item : int32[n]
        Codes of `category_names` ("" is no category) and `item_names`.
    """

    time_s: NDArray[np.int64]
    category: NDArray[np.int32]
    item: NDArray[np.int32]
    value: NDArray[np.object_]
    category_names: list[str]
    item_names: NDArray[np.object_]
    first_s: int
    weeks: int
    rows: dict[str, NDArray[np.intp]]
    by_category: list[NDArray[np.intp]]
    order: list[int]
    user: NDArray[np.int32]

    @classmethod
    def of(cls, events: pd.DataFrame) -> Log:
        """Index a frame in the common schema, sorted by time; purchases only."""
        time_s = pd.to_datetime(events["timestamp"], utc=True).astype("datetime64[s, UTC]")
        seconds = time_s.astype("int64").to_numpy()
        category, categories = pd.factorize(events["category_id"])
        item, items = pd.factorize(events["item_id"])
        user, users = pd.factorize(events["user_id"])
        counted = pd.Series(category).value_counts()  # ties by first appearance
        first_s = int(seconds[0] // DAY_S * DAY_S)
        return cls(
            seconds,
            category.astype(np.int32),
            item.astype(np.int32),
            events["value"].to_numpy(dtype=object),
            [str(name) for name in categories],
            np.array(items, dtype=object),
            first_s,
            int((seconds[-1] - first_s) // WEEK_S) + 1,
            dict(zip([str(u) for u in users], _grouped(user, len(users)), strict=True)),
            _grouped(category, len(categories)),
            [int(code) for code in counted.index],
            user.astype(np.int32),
        )

    def rebuilt(self, rows: NDArray[np.intp], time_s: NDArray[np.int64]) -> Log:
        """Return the same shop with these rows at these times; weeks and names stay."""
        user = self.user[rows]
        return replace(
            self,
            time_s=time_s,
            category=self.category[rows],
            item=self.item[rows],
            value=self.value[rows],
            rows=dict(zip(self.rows, _grouped(user, len(self.rows)), strict=True)),
            by_category=_grouped(self.category[rows], len(self.category_names)),
            user=user,
        )

    def rows_of(self, user: str) -> NDArray[np.intp]:
        """Row numbers of one user's events, in order."""
        return self.rows[user]

    def common(self, count: int) -> list[int]:
        """Codes of the most frequent categories of the whole log, "" among them, as published."""
        return self.order[:count]

    def named(self, count: int) -> list[int]:
        """The same without what is no interest: no category, lines of the till."""
        none = PSEUDO_CATEGORIES | {""}
        return [code for code in self.order if self.category_names[code] not in none][:count]

    def week_of(self, time_s: NDArray[np.int64]) -> NDArray[np.int64]:
        """Week index of each time."""
        return (time_s - self.first_s) // WEEK_S

    def week_start_s(self, week: int) -> int:
        """First second of a week."""
        return self.first_s + week * WEEK_S

    def week_label(self, week: int) -> str:
        """Start of a week as text of the common schema."""
        return pd.Timestamp(self.week_start_s(week), unit="s", tz="UTC").strftime(TIME_FORMAT)

    def active_weeks(self, user: str) -> int:
        """Weeks with at least one event."""
        return int(np.unique(self.week_of(self.time_s[self.rows[user]])).size)

    def dense_users(self, min_active_weeks: int, users: Iterable[str] | None = None) -> list[str]:
        """Users (of those given, or of all) with at least so many active weeks."""
        chosen = self.rows if users is None else users
        return [user for user in chosen if self.active_weeks(user) >= min_active_weeks]

    def any_item(self, category: NDArray[np.int32], rng: Generator) -> NDArray[np.int32]:
        """A random real item of each category, as often as it sells."""
        item = np.empty(category.size, np.int32)
        for code in np.unique(category):
            wanted = np.flatnonzero(category == code)
            item[wanted] = self.item[rng.choice(self.by_category[code], wanted.size)]
        return item

    def frame(
        self,
        rows: NDArray[np.intp],
        user_id: str,
        category: NDArray[np.int32] | None = None,
        time_s: NDArray[np.int64] | None = None,
        item: NDArray[np.int32] | None = None,
    ) -> pd.DataFrame:
        """Rows as events of one user, columns replaced where given."""
        seconds = self.time_s[rows] if time_s is None else time_s
        codes = self.category[rows] if category is None else category
        items = self.item[rows] if item is None else item
        return pd.DataFrame(
            {
                "user_id": user_id,
                "timestamp": pd.to_datetime(seconds, unit="s").strftime(TIME_FORMAT),
                "behavior": "purchase",
                "item_id": self.item_names[items],
                "category_id": np.array(self.category_names, dtype=object)[codes],
                "value": self.value[rows],
            }
        )


def _grouped(codes: NDArray[np.int64], count: int) -> list[NDArray[np.intp]]:
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.searchsorted(codes[order], np.arange(1, count)))
