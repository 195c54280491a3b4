"""Panel S: a simulated shop with a known generator, for calibration on many user-weeks.

Twelve categories, 52 weeks from a Monday. A user has a rate (log-normal, .5 to 80 events a week)
and a taste drawn around the population's; a shared calendar has promotions, noise and seasons;
weekly volume is negative binomial, composition multinomial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from training.data import TIME_FORMAT
from training.splice import Label

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

CATEGORIES = 12
WEEKS = 52
FIRST_S = 1_704_067_200  # Monday, 1 January 2024
WEEK_S = 7 * 86_400
_CALENDAR_SEED = 777
_PROMOTIONS = (20, 33, 47)
_DISPERSION = 4
_KINDS = {"shift": 0.35, "partial": 0.20, "gradual": 0.15, "drop": 0.20, "surge": 0.10}
_GRADUAL_WEEKS = 6


@dataclass(frozen=True, slots=True)
class Calendar:
    """What all users share: volume factor[week] and composition factor[week, category]."""

    volume: NDArray[np.float64]
    mix: NDArray[np.float64]
    base: NDArray[np.float64]


def calendar() -> Calendar:
    """Draw the shared calendar from its own seed."""
    rng = np.random.default_rng(_CALENDAR_SEED)
    base = rng.dirichlet(np.full(CATEGORIES, 6.0))
    phase = rng.random(CATEGORIES)
    week = np.arange(WEEKS)[:, None]
    mix = np.exp(0.35 * np.sin(2 * np.pi * (week / 52 + phase)))
    volume = np.exp(rng.normal(0, 0.06, WEEKS))
    for promotion in _PROMOTIONS:
        volume[promotion] *= rng.uniform(1.6, 2.6)
        mix[promotion, rng.choice(CATEGORIES, 2, replace=False)] *= 2
    return Calendar(volume, mix, base)


def simulate(
    seed: int, users: int, changed: float = 0.0
) -> tuple[pd.DataFrame, list[Label], list[str]]:
    """Simulate a shop.

    Parameters
    ----------
    seed : int
        Of the users; the calendar has its own.
    changed : float
        Share of the users that change once, in weeks 18 to 43.

    Returns
    -------
    events : DataFrame
        Common schema, sorted by (timestamp, user_id).
    labels : list of Label
    promotions : list of str
        Starts of the promotion weeks.
    """
    rng = np.random.default_rng(seed)
    shared = calendar()
    rate = np.clip(np.exp(rng.normal(np.log(8) - 0.32, 0.8, users)), 0.5, 80)
    taste = _tastes(shared.base, users, rng)
    kinds = np.where(
        rng.random(users) < changed,
        rng.choice(list(_KINDS), users, p=list(_KINDS.values())),
        "none",
    )
    start = rng.integers(18, 44, users)
    after = _after(taste, kinds, shared.base, rng)
    counts = np.zeros((users, WEEKS, CATEGORIES), np.int32)
    for week in range(WEEKS):
        late = (week >= start) & (kinds != "none")
        factor = np.where(late & (kinds == "drop"), 0.3, 1.0)
        factor = np.where(late & (kinds == "surge"), 2.5, factor)
        mean = rate * factor * shared.volume[week]
        total = rng.poisson(rng.gamma(_DISPERSION, mean / _DISPERSION))
        ramp = np.where(kinds == "gradual", np.minimum(1, (week - start + 1) / _GRADUAL_WEEKS), 1.0)
        weight = np.where(late, ramp, 0.0)[:, None]
        mix = (1 - weight) * taste + weight * after
        mix = mix * shared.mix[week]
        counts[:, week] = rng.multinomial(total, mix / mix.sum(axis=1, keepdims=True))
    events = _events(counts, rng)
    moved = np.abs(after - taste) >= 0.02
    labels = [
        _label(number, str(kinds[number]), int(start[number]), rate[number], moved[number])
        for number in range(users)
    ]
    return events, labels, [_stamp(week) for week in _PROMOTIONS]


def _tastes(base: NDArray[np.float64], users: int, rng: Generator) -> NDArray[np.float64]:
    drawn = rng.gamma(base * CATEGORIES * 0.42 + 0.02, size=(users, CATEGORIES)) + 1e-12
    return drawn / drawn.sum(axis=1, keepdims=True)


def _after(
    taste: NDArray[np.float64], kinds: NDArray[np.str_], base: NDArray[np.float64], rng: Generator
) -> NDArray[np.float64]:
    """Taste after the change: redrawn until it is far enough from the old one."""
    after = taste.copy()
    moving = np.isin(kinds, ("shift", "partial", "gradual"))
    least = np.where(kinds == "partial", 0.3, 0.5)
    waiting = np.flatnonzero(moving)
    while waiting.size:
        fresh = _tastes(base, waiting.size, rng)
        half = (kinds[waiting] == "partial")[:, None]
        fresh = np.where(half, (fresh + taste[waiting]) / 2, fresh)
        distance = np.sqrt(
            np.maximum(0, 1 - np.sqrt(fresh * taste[waiting]).sum(axis=1))
        )  # Hellinger
        far = distance > least[waiting]
        after[waiting[far]] = fresh[far]
        waiting = waiting[~far]
    return after


def _events(counts: NDArray[np.int32], rng: Generator) -> pd.DataFrame:
    """Spread weekly counts over the days and hours of their week."""
    users, weeks, categories = counts.shape
    cell = np.repeat(np.arange(counts.size), counts.ravel())
    user, rest = np.divmod(cell, weeks * categories)
    week, category = np.divmod(rest, categories)
    second = rng.integers(0, WEEK_S, cell.size)
    time_s = FIRST_S + week * WEEK_S + second
    order = np.lexsort((user, time_s))
    names = np.array([f"s{number:06d}" for number in range(users)], dtype=object)
    labels = np.array([f"category {number:02d}" for number in range(categories)], dtype=object)
    return pd.DataFrame(
        {
            "user_id": names[user[order]],
            "timestamp": pd.to_datetime(time_s[order], unit="s").strftime(TIME_FORMAT),
            "behavior": "purchase",
            "item_id": "",
            "category_id": labels[category[order]],
            "value": "",
        }
    )


def _label(number: int, kind: str, start: int, rate: float, moved: NDArray[np.bool_]) -> Label:
    return Label(
        f"s{number:06d}",
        kind,
        start,
        _stamp(start),
        f"s{number:06d}",
        "",
        float(rate),
        [f"category {code:02d}" for code in np.flatnonzero(moved)],
    )


def _stamp(week: int) -> str:
    return pd.Timestamp(FIRST_S + week * WEEK_S, unit="s").strftime(TIME_FORMAT)
