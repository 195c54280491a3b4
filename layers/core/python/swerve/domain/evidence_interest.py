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

    from swerve.domain.population import Context
    from swerve.domain.profile import ShardState

    Floats = NDArray[np.float64]

OWN = 0.2  # weight of an own event in the prior of the user's mix
PULL = 40.0  # events that the shop's mix weighs in it
NEW = 80.0  # concentration of another user's mix around the shop's
_SMOOTH = 500.0


@dataclass(frozen=True, slots=True)
class PairView:
    """The pair table at one age: counts since, and the past before.

    Attributes
    ----------
    count, own : float64[P]
        Events in the last weeks; decayed events before, in terms of this season, OWN-weighted.
    shop : float64[P]
        The shop's share of the pair's category in the same weeks, without this user.
    total, past : float64[U]
        Sums of count and of own.
    """

    weeks: int
    count: Floats
    own: Floats
    shop: Floats
    total: Floats
    past: Floats

    def expected(self, user: NDArray[np.int32]) -> Floats:
        """Share of each pair's category that the user's past and the shop predict."""
        return (self.own + PULL * self.shop) / (self.past + PULL)[user]


def views(state: ShardState, context: Context) -> list[PairView]:
    """Look at every pair at the ages of `AGES_WEEKS`."""
    per_week = 7 // state.days
    user, category = state.pair_user, state.pair_category
    size = state.users.size
    found = binary.rows_of(context.keys, state.categories)
    usual = context.usual[found]
    bounds = [w * per_week for w in AGES_WEEKS]
    counts = []
    recent = np.zeros(user.size)
    for age, slot in enumerate(state.ring):
        recent[slot.rows] += slot.count
        if age + 1 in bounds:
            counts.append(recent.copy())
    histories = []
    history = state.history.astype(np.float64)
    age = len(state.ring)
    for bound in reversed(bounds):
        if age > bound:
            history *= state.decay ** (age - bound)
            for slot_age in range(bound, age):
                slot = state.ring[slot_age]
                adjusted = slot.count / slot.season[category[slot.rows]]
                history[slot.rows] += adjusted * state.decay ** (slot_age - bound)
            age = bound
        histories.append(history.copy())
    histories.reverse()
    made = []
    for place, weeks in enumerate(AGES_WEEKS):
        mass = context.mass[place]
        total_mass = mass.sum()
        season = ((mass + 30.0) / (total_mass * context.usual + 30.0))[found]
        count = counts[place]
        total = np.bincount(user, count, size)
        bound = np.minimum(1.0, 64.0 * weeks / np.maximum(total, 1.0))
        own_mass = count * bound[user]
        smooth = np.maximum(mass[found][category] - own_mass, 0.0) + _SMOOTH * usual[category]
        shop = smooth / (total_mass - total * bound + _SMOOTH)[user]
        own = OWN * histories[place]
        before = np.bincount(user, own, size)
        own = own * season[category]
        after = np.bincount(user, own, size)
        own *= (before / np.maximum(after, 1e-12))[user]
        made.append(PairView(weeks, count, own, shop, total, before))
    return made


def interest_evidence(state: ShardState, context: Context) -> dict[str, Floats]:
    """All statistics of the interest head, float64[U] each; larger says changed."""
    user = state.pair_user
    size = state.users.size
    out: dict[str, Floats] = {}
    for view in views(state, context):
        rows = np.flatnonzero(view.count)
        who = user[rows]
        count = view.count[rows].astype(np.int64)
        base = view.own[rows] + PULL * view.shop[rows]
        weight = view.past + PULL
        w = view.weeks
        for name, alpha, concentration in (
            ("switch", NEW * view.shop[rows], np.full(size, NEW)),
            ("half", 0.5 * base + 0.5 * NEW * view.shop[rows], 0.5 * weight + 0.5 * NEW),
            ("loose", base / weight[who] * NEW, np.full(size, NEW)),
        ):
            gain = np.bincount(who, log_rising_ratio(alpha, base, count), size)
            norm = log_rising(weight, view.total) - log_rising(concentration, view.total)
            out[f"{name}{w}"] = gain + norm
        if w < 4:
            continue
        expected = view.expected(user) * view.total[user]
        rising = _nb_gain(view.count[rows], expected[rows], 2.0, (3.0,))
        rising = np.maximum(rising, _nb_shift(view.count[rows], expected[rows], 2.0))
        out[f"up3_{w}"] = _top(rising, who, size, 3)
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
        out |= _fresh(view, user, size)
        out |= _breadth(view, user, size)
    return out


def _fresh(view: PairView, user: NDArray[np.int32], size: int) -> dict[str, Floats]:
    """Growth of categories that the user hardly used: a beta-binomial gain."""
    used = view.own >= 0.5 * OWN
    known = np.bincount(user[used], view.expected(user)[used], size)
    novel = np.bincount(user[~used], view.count[~used], size)
    chance = np.clip(1.0 - known, 0.005, 0.995)
    return {f"fresh_{view.weeks}": _nb_gain(novel, chance * view.total, 4.0, (1.6, 2.5, 4.0))}


def _breadth(view: PairView, user: NDArray[np.int32], size: int) -> dict[str, Floats]:
    """Distinct categories against those expected of so many events of the same mix."""
    miss = np.exp(-view.expected(user) * view.total[user])
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
