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
    table: PairTable, mix: Mix, prior: Prior, size: int, days: int, decay: float, kind: int = 0
) -> list[PairView]:
    """Look at every pair at the ages of `AGES_WEEKS`."""
    per_week = 7 // days
    found = binary.rows_of(mix.keys, table.keys)
    usual = mix.usual[found]
    bounds = [w * per_week for w in AGES_WEEKS]
    counts = []
    recent = np.zeros(table.user.size)
    for age, slot in enumerate(table.ring):
        recent[slot.rows] += slot.count[:, kind]
        if age + 1 in bounds:
            counts.append(recent.copy())
    pasts = []
    past = table.past(kind).astype(np.float64)
    age = len(table.ring)
    for bound in reversed(bounds):
        if age > bound:
            past *= decay ** (age - bound)
            for slot_age in range(bound, age):
                slot = table.ring[slot_age]
                adjusted = slot.count[:, kind] / slot.season[table.key[slot.rows]]
                past[slot.rows] += adjusted * decay ** (slot_age - bound)
            age = bound
        pasts.append(past.copy())
    pasts.reverse()
    made = []
    for place, weeks in enumerate(AGES_WEEKS):
        mass = mix.mass[place]
        all_mass = mass.sum()
        season = ((mass + _SEASON) / (all_mass * mix.usual + _SEASON))[found]
        count = counts[place]
        total = np.bincount(table.user, count, size)
        scale = np.minimum(1.0, _BOUND * weeks / np.maximum(total, 1.0))
        others = np.maximum(mass[found][table.key] - count * scale[table.user], 0.0)
        shop = (others + _SMOOTH * usual[table.key]) / (all_mass - total * scale + _SMOOTH)[
            table.user
        ]
        own = prior.own * pasts[place]
        before = np.bincount(table.user, own, size)
        own = own * season[table.key]
        after = np.bincount(table.user, own, size)
        own *= (before / np.maximum(after, 1e-12))[table.user]
        made.append(PairView(weeks, prior, table.user, count, own, shop, total, before))
    return made


def interest_evidence(state: ShardState, context: Context) -> dict[str, Floats]:
    """All statistics of the interest head, float64[U] each; larger says changed."""
    size = state.users.size
    out: dict[str, Floats] = {}
    shape = (size, state.days, state.decay)
    by_category = views(state.categories, context.categories, CATEGORY_PRIOR, *shape)
    by_item = views(state.items, context.items, ITEM_PRIOR, *shape)
    by_event = views(state.categories, context.categories, EVENT_PRIOR, *shape, 1)
    for view, items, events in zip(by_category, by_item, by_event, strict=True):
        w = view.weeks
        out[f"switch{w}"] = view.switch()
        out[f"item{w}"] = items.switch()
        out[f"person{w}"] = out[f"switch{w}"] + out[f"item{w}"]
        if w < 4:
            continue
        out |= _fresh(view, size)
        out |= _breadth(view, size)
        view = events
        user = view.user
        rows = np.flatnonzero(view.count)
        expected = view.expected() * view.total[user]
        rising = _nb_gain(view.count[rows], expected[rows], 2.0, (3.0,))
        rising = np.maximum(rising, _nb_shift(view.count[rows], expected[rows], 2.0))
        out[f"up3_{w}"] = _top(rising, user[rows], size, 3)
        likely = np.flatnonzero(expected > 0.5)
        falling = _nb_gain(view.count[likely], expected[likely], 2.0, (0.1, 0.3))
        out[f"down3_{w}"] = _top(falling, user[likely], size, 3)
        for k in (3, 8):
            top = _top_rows(view.own[likely], user[likely], size, k)
            out[f"own{k}down_{w}"] = np.bincount(
                user[likely][top],
                _nb_gain(view.count[likely][top], expected[likely][top], 2.0, (0.1, 0.3), False),
                size,
            )
        out |= {f"c{n}": v for n, v in (_fresh(view, size)| _breadth(view, size)).items()}
    return out


def _fresh(view: PairView, size: int) -> dict[str, Floats]:
    """Growth of categories that the user hardly used: a beta-binomial gain."""
    user = view.user
    used = view.own >= 0.5 * view.prior.own
    known = np.bincount(user[used], view.expected()[used], size)
    novel = np.bincount(user[~used], view.count[~used], size)
    chance = np.clip(1.0 - known, 0.005, 0.995)
    return {f"fresh_{view.weeks}": _nb_gain(novel, chance * view.total, 4.0, (1.6, 2.5, 4.0))}


def _breadth(view: PairView, size: int) -> dict[str, Floats]:
    """Distinct categories against those expected of so many events of the same mix."""
    user = view.user
    miss = np.exp(-view.expected() * view.total[user])
    seen = np.bincount(user, view.count > 0, size)
    known = np.bincount(user, 1.0 - miss, size)
    spread = np.bincount(user, miss * (1.0 - miss), size)
    z = (seen - known) / np.sqrt(spread + 1.0)
    return {f"narrow_{view.weeks}": -z, f"broad_{view.weeks}": z}


def _nb_gain(
    count: Floats, mean: Floats, r: float, factors: tuple[float, ...], positive: bool = True
) -> Floats:
    """Log-likelihood gain of the best factor on the mean of a negative binomial of size r."""
    gains = [
        count * np.log(f) - (count + r) * np.log((r + f * mean) / (r + mean)) for f in factors
    ]
    best = np.max(gains, axis=0)
    return np.maximum(best, 0.0) if positive else np.asarray(best)


def _nb_shift(count: Floats, mean: Floats, r: float) -> Floats:
    more = mean + 2.0
    return np.asarray(
        count * np.log(more / np.maximum(mean, 1e-9)) - (count + r) * np.log((r + more) / (r + mean))
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
