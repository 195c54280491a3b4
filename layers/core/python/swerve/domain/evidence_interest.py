"""Is the interest mix of the last weeks from the same source as the user's past?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain import binary
from swerve.domain.population import AGES_WEEKS
from swerve.domain.special import log_rising, log_rising_ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.pairs import PairTable
    from swerve.domain.population import Context, Mix
    from swerve.domain.profile import ShardState

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prior:
    """Masses of the Dirichlets.

    Attributes
    ----------
    own : float
        Weight of an own earlier count in the prior of the user's mix.
    pull : float
        Counts that the shop's mix weighs in it.
    new : float
        Concentration of another user's mix around the shop's.
    """

    own: float
    pull: float
    new: float


CATEGORY_PRIOR = Prior(0.6, 120.0, 80.0)
EVENT_PRIOR = Prior(0.2, 40.0, 80.0)
ITEM_PRIOR = Prior(0.8, 480.0, 240.0)
TESTED_WEEKS = (4, 8)
_SIZE = 2.0  # of the negative binomial of a category's events in some weeks
_LIKELY = 0.5  # expected events from which a category can be missed
_LIKELY_SHARE = 0.0
_SMOOTH = 500.0
_SEASON = 30.0
_BOUND = 64.0


@dataclass(frozen=True, slots=True)
class PairView:
    """A pair table at one age: counts since, and the past before.

    Attributes
    ----------
    count, own : float64[P]
        Counts in the last weeks; decayed counts before, in terms of this season, x prior.own.
    shop : float64[P]
        The shop's share of the pair's key in the same weeks, without this user.
    total, past : float64[U]
        Sums of count and of own.
    """

    weeks: int
    prior: Prior
    user: NDArray[np.int32]
    count: Floats
    own: Floats
    shop: Floats
    total: Floats
    past: Floats

    def expected(self) -> Floats:
        """Share of each pair's key that the user's past and the shop predict."""
        pull = self.prior.pull
        return (self.own + pull * self.shop) / (self.past + pull)[self.user]

    def switch(self) -> Floats:
        """Log Bayes factor for another user's mix, float64[U]."""
        rows = np.flatnonzero(self.count)
        who = self.user[rows]
        prior = self.prior
        same = self.own[rows] + prior.pull * self.shop[rows]
        other = prior.new * self.shop[rows]
        gain = log_rising_ratio(other, same, self.count[rows].astype(np.int64))
        weight = self.past + prior.pull
        return (
            np.bincount(who, gain, self.total.size)
            + log_rising(weight, self.total)
            - log_rising(np.full(self.total.size, prior.new), self.total)
        )


def views(
    table: PairTable, mix: Mix, prior: Prior, state: ShardState, kind: int = 0
) -> list[PairView]:
    """Look at every pair at the ages of `TESTED_WEEKS`, shortest first.

    Parameters
    ----------
    table, mix
        The pairs, and what the shop says of their keys.
    state : ShardState
        Whose table it is.
    kind : int
        Which of the table's counts.
    """
    user, size = table.user, state.users.size
    found = binary.rows_of(mix.keys, table.keys)
    usual = mix.usual[found][table.key]
    bounds = [w * 7 // state.days for w in TESTED_WEEKS]
    made = []
    for weeks, count, past in zip(
        TESTED_WEEKS, *_since(table, kind, bounds, state.decay), strict=True
    ):
        mass = mix.mass[AGES_WEEKS.index(weeks)]
        all_mass = mass.sum()
        season = ((mass + _SEASON) / (all_mass * mix.usual + _SEASON))[found][table.key]
        total = np.bincount(user, count, size)
        scale = np.minimum(1.0, _BOUND * weeks / np.maximum(total, 1.0))
        others = np.maximum(mass[found][table.key] - count * scale[user], 0.0)
        shop = (others + _SMOOTH * usual) / (all_mass - total * scale + _SMOOTH)[user]
        own = prior.own * past
        before = np.bincount(user, own, size)
        own = own * season
        after = np.bincount(user, own, size)
        own *= (before / np.maximum(after, 1e-12))[user]
        made.append(PairView(weeks, prior, user, count, own, shop, total, before))
    return made


def _since(
    table: PairTable, kind: int, bounds: list[int], decay: float
) -> tuple[list[Floats], list[Floats]]:
    """Counts within, and decayed counts before, the last so many windows, float64[P] each."""
    counts, pasts = [], []
    recent = np.zeros(table.user.size)
    for age, slot in enumerate(table.ring, start=1):
        recent[slot.rows] += slot.count[:, kind]
        if age in bounds:
            counts.append(recent.copy())
    past = table.past(kind).astype(np.float64)
    age = len(table.ring)
    for bound in reversed(bounds):
        past *= decay ** (age - bound)
        for slot_age in range(bound, age):
            slot = table.ring[slot_age]
            adjusted = slot.count[:, kind] / slot.season[table.key[slot.rows]]
            past[slot.rows] += adjusted * decay ** (slot_age - bound)
        age = bound
        pasts.append(past.copy())
    return counts, pasts[::-1]


def category_views(state: ShardState, context: Context) -> list[PairView]:
    """Days on which a category occurred, at the ages of `TESTED_WEEKS`."""
    return views(state.categories, context.categories, CATEGORY_PRIOR, state)


def event_views(state: ShardState, context: Context) -> list[PairView]:
    """Events by category."""
    return views(state.categories, context.categories, EVENT_PRIOR, state, kind=1)


def interest_evidence(state: ShardState, context: Context) -> dict[str, Floats]:
    """All statistics of the interest head, float64[U] each; larger says changed."""
    size = state.users.size
    out: dict[str, Floats] = {}
    by_item = views(state.items, context.items, ITEM_PRIOR, state)
    by_day = category_views(state, context)
    for view, items in zip(by_day, by_item, strict=True):
        w = view.weeks
        out[f"switch{w}"] = view.switch()
        out[f"person{w}"] = out[f"switch{w}"] + items.switch()
    out["activity"] = by_day[-1].total
    for view in event_views(state, context):
        w = view.weeks
        rising, falling = moves(view)
        out[f"up3_{w}"] = _top(rising, view.user, size, 3)
        out[f"down3_{w}"] = _top(falling, view.user, size, 3)
        for k in (3, 8):
            top = _top_rows(view.own, view.user, size, k, _LIKELY_SHARE)
            out[f"own{k}down_{w}"] = np.bincount(view.user[top], falling[top], size)
        out[f"fresh_{w}"] = _fresh(view)
        out[f"narrow_{w}"] = _narrow(view)
    return out


def moves(view: PairView) -> tuple[Floats, Floats]:
    """Gain of each pair from rising, and from falling, float64[P] each."""
    expected = view.expected() * view.total[view.user]
    rows = np.flatnonzero(view.count)
    count, mean = view.count[rows], expected[rows]
    rising = np.zeros(expected.size)
    rising[rows] = np.maximum(_nb_gain(count, mean, (3.0,)), _nb_shift(count, mean))
    falling = np.zeros(expected.size)
    likely = np.flatnonzero(expected > _LIKELY)
    falling[likely] = _nb_gain(view.count[likely], expected[likely], (0.1, 0.3))
    return rising, falling


def _fresh(view: PairView) -> Floats:
    """Growth of categories that the user hardly used: a negative binomial gain."""
    user, size = view.user, view.total.size
    used = view.own >= 0.5 * view.prior.own
    known = np.bincount(user[used], view.expected()[used], size)
    novel = np.bincount(user[~used], view.count[~used], size)
    chance = np.clip(1.0 - known, 0.005, 0.995)
    return _nb_gain(novel, chance * view.total, (1.6, 2.5, 4.0), 4.0)


def _narrow(view: PairView) -> Floats:
    """Fewer distinct categories than so many events of the same mix would touch, as a z-score."""
    user, size = view.user, view.total.size
    miss = np.exp(-view.expected() * view.total[user])
    seen = np.bincount(user, view.count > 0, size)
    known = np.bincount(user, 1.0 - miss, size)
    spread = np.bincount(user, miss * (1.0 - miss), size)
    return np.asarray((known - seen) / np.sqrt(spread + 1.0))


def _nb_gain(count: Floats, mean: Floats, factors: tuple[float, ...], r: float = _SIZE) -> Floats:
    """Log-likelihood gain of the best factor on the mean of a negative binomial of size r."""
    gains = [count * np.log(f) - (count + r) * np.log((r + f * mean) / (r + mean)) for f in factors]
    return np.asarray(np.max(gains, axis=0))


def _nb_shift(count: Floats, mean: Floats, r: float = _SIZE) -> Floats:
    """The same for two more a window than expected."""
    more = mean + 2.0
    return np.asarray(
        count * np.log(more / np.maximum(mean, 1e-9))
        - (count + r) * np.log((r + more) / (r + mean))
    )


def _top(value: Floats, who: NDArray[np.int32], size: int, k: int) -> Floats:
    rows = _top_rows(value, who, size, k, 0.3)
    return np.bincount(who[rows], value[rows], size)


def _top_rows(
    value: Floats, who: NDArray[np.int32], size: int, k: int, least: float = 0.0
) -> NDArray[np.intp]:
    """Rows of the k largest values of each user; ties by row."""
    some = np.flatnonzero(value > least)
    order = some[np.lexsort((-value[some], who[some]))]
    owner = who[order]
    first = np.searchsorted(owner, owner)
    return order[np.arange(order.size) - first < k]
