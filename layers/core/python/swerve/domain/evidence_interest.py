"""Is the interest mix of the last weeks from the same source as the user's past.

Judged in windows in which a user did something; a silent window says nothing of interest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain import binary
from swerve.domain.population import AGES_WEEKS
from swerve.domain.special import log_rising, log_rising_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from swerve.domain.pairs import PairTable
    from swerve.domain.population import Context, Mix
    from swerve.domain.profile import ShardState

    Floats = NDArray[np.float64]
    Singles = NDArray[np.float32]


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

    def for_shop(self, likeness: float) -> Prior:
        """Lighter masses where users are more concentrated than households of a grocery are.

        A shop of a dozen categories whose users differ much (`Context.likeness` near 10) would
        otherwise hide every change behind its own mix.
        """
        ratio = float(np.clip(likeness / CATEGORY_PRIOR.new, _LIGHTEST, 1.0))
        return Prior(self.own, self.pull * ratio, self.new * ratio)


# Chosen by recall on training households (LAB log in docs/benchmarks.md): the prior of the same
# user must be heavier than that of another one.
CATEGORY_PRIOR = Prior(0.6, 120.0, 80.0)
ITEM_PRIOR = Prior(0.8, 480.0, 240.0)
ITEM_COUNT_PRIOR = Prior(0.2, 40.0, 80.0)
_SIZE = 2.0  # of the negative binomial of a category's events in some weeks
_DEPTH = 0.36  # items of a category beyond the first that a grocery's user buys on one day
_LIKELY = 0.5  # expected items from which a category can be missed
_OWN_TOP_SHARE = 0.025  # of the own past; at most 40 categories of a user pass
_LIGHTEST = 0.1
_PAST_DAYS, _PAST_EVENTS = 3, 20  # remembered ones
_RECENT_DAYS, _RECENT_EVENTS = 2, 10
_SMOOTH = 500.0
_SEASON = 30.0
_BOUND = 64.0


@dataclass(frozen=True, slots=True)
class PairView:
    """A pair table at one age: counts since, and the past before.

    Attributes
    ----------
    weeks : int
        The age.
    user : int32[P]
        Ascending.
    starts, owners : intp[V]
        First pair of each user that has any, and that user.
    count, own : float32[P]
        Counts in the last weeks; decayed counts before, in terms of this season, x prior.own.
    share, expected : float32[P]
        Of each pair's key in the last weeks, as the user's past and the shop predict: its share,
        and its count among as many as there were.
    total, past : float32[U]
        Sums of count and of own.
    """

    weeks: int
    prior: Prior
    user: NDArray[np.int32]
    starts: NDArray[np.intp]
    owners: NDArray[np.intp]
    count: Singles
    own: Singles
    share: Singles
    expected: Singles
    total: Singles
    past: Singles

    def by_user(self, values: Singles) -> Singles:
        """Sum values of all pairs by user, float32[U]."""
        return _by_user(values, self.starts, self.owners, self.total.size)


def switches(
    table: PairTable, mix: Mix, prior: Prior, state: ShardState
) -> tuple[dict[int, Floats], Singles]:
    """Log Bayes factors for another user's mix by age, and the counts of the last weeks.

    Two Dirichlet-multinomials: the recent counts come from the user's own past (with the shop's
    mix as prior), or from anybody's mix. Only pairs that occurred lately are touched.
    """
    user, size = table.user, state.users.size
    starts, owners = _segments(user)
    found = binary.rows_of(mix.keys, table.keys)
    usual = _SMOOTH * mix.usual[found]
    out, total = {}, np.zeros(size, np.float32)
    for place, (count, past) in enumerate(_since(table, (1.0,), state)):
        weeks, mass = AGES_WEEKS[place], mix.mass[place]
        rows = np.flatnonzero(count > 0)
        who, key, some = user.take(rows), table.key.take(rows), count.take(rows)
        some_starts, some_owners = _segments(who)
        total = _by_user(some, some_starts, some_owners, size)
        shop = _shop_share(mass, usual, found, weeks, (who, key, some), total)
        season = ((mass + _SEASON) / (mass.sum() * mix.usual + _SEASON))[found].astype(np.float32)
        # The past in terms of this season: what the shop sells no more is no reason to expect it.
        habit = np.float32(prior.own) * past * season.take(table.key)
        before = _by_user(habit, starts, owners, size)
        own = habit.take(rows)
        same = own + np.float32(prior.pull) * shop
        gain = log_rising_ratio(np.float32(prior.new) * shop, same, some)
        events = total.astype(np.float64)
        norm = log_rising(before.astype(np.float64) + prior.pull, events)
        norm -= log_rising(np.float64(prior.new), events)
        out[weeks] = norm + _by_user(gain, some_starts, some_owners, size)
    return out, total


def _shop_share(
    mass: Floats,
    usual: Floats,
    found: NDArray[np.int64],
    weeks: int,
    pairs: tuple[NDArray[np.int32], NDArray[np.int32], Singles],
    total: Singles,
) -> Singles:
    """The shop's share of each pair's key without the pair's user, float32[k]."""
    user, key, count = pairs
    scale = np.minimum(1.0, _BOUND * weeks / np.maximum(total, 1.0)).astype(np.float32)
    smooth = (mass[found] + usual).astype(np.float32)
    others = np.maximum(
        smooth.take(key) - count * scale.take(user), usual.astype(np.float32).take(key)
    )
    rest = (1.0 / (mass.sum() - total * scale + _SMOOTH)).astype(np.float32)
    return np.asarray(others * rest.take(user))


def views(
    table: PairTable, mix: Mix, prior: Prior, state: ShardState, weights: Sequence[float]
) -> list[PairView]:
    """Look at every pair at the ages of `AGES_WEEKS`, shortest first.

    Parameters
    ----------
    table, mix
        The pairs, and what the shop says of their keys.
    state : ShardState
        Whose table it is.
    weights : sequence of float
        Of the table's kinds of count in the count that is looked at.
    """
    user, key, size = table.user, table.key, state.users.size
    starts, owners = _segments(user)
    found = binary.rows_of(mix.keys, table.keys)
    usual = _SMOOTH * mix.usual[found]
    made = []
    for place, (count, past) in enumerate(_since(table, weights, state)):
        weeks, mass = AGES_WEEKS[place], mix.mass[place]
        season = ((mass + _SEASON) / (mass.sum() * mix.usual + _SEASON))[found].astype(np.float32)
        total = _by_user(count, starts, owners, size)
        shop = _shop_share(mass, usual, found, weeks, (user, key, count), total)
        own = past * np.float32(prior.own)
        before = _by_user(own, starts, owners, size)
        own *= season.take(key)
        after = _by_user(own, starts, owners, size)
        own *= (before / np.maximum(after, np.float32(1e-9))).take(user)
        pull = np.float32(prior.pull)
        share = (own + pull * shop) / (before + pull)[user]
        seen = (count, own, share, share * total[user], total, before)
        made.append(PairView(weeks, prior, user, starts, owners, *seen))
    return made


def _since(
    table: PairTable, weights: Sequence[float], state: ShardState
) -> list[tuple[Singles, Singles]]:
    """Weighted counts within, and decayed counts before, the last weeks, float32[P] each."""
    bounds = [w * 7 // state.days for w in AGES_WEEKS]
    weigh = [np.float32(weight) for weight in weights]
    ring = [(slot.rows, _weighed(slot.count, weigh), slot.season) for slot in table.ring]
    count = np.zeros(table.user.size, np.float32)
    counts = []
    for age, (rows, some, _) in enumerate(ring[: bounds[-1]], start=1):
        count[rows] += some
        if age in bounds:
            counts.append(count.copy())
    past = np.zeros(table.user.size, np.float32)
    for kind, weight in enumerate(weigh):
        past += weight * table.past(kind)
    pasts = []
    age = len(ring)
    for bound in reversed(bounds):
        past = past * np.float32(state.decay ** (age - bound))
        for slot_age in range(bound, age):
            rows, some, season = ring[slot_age]
            faded = (state.decay ** (slot_age - bound) / season).astype(np.float32)
            past[rows] += some * faded[table.key[rows]]
        age = bound
        pasts.append(past)
    return list(zip(counts, reversed(pasts), strict=True))


def _weighed(count: NDArray[np.uint8], weights: Sequence[np.float32]) -> Singles:
    """Sum over kinds of count, column by column: a sum along so short an axis is slow."""
    total = count[:, 0] * weights[0]
    for kind, weight in enumerate(weights[1:], start=1):
        total += count[:, kind] * weight
    return total


def item_views(state: ShardState, context: Context) -> list[PairView]:
    """Items by category; where people browse, several items of a day weigh less.

    Baskets are bought item by item, but who looks at shoes looks at many: a count of items would
    make every visit of a browsing shop look like a change.
    """
    share = min(1.0, _DEPTH / max(context.depth - 1.0, 1e-9))
    prior = ITEM_COUNT_PRIOR.for_shop(context.likeness)
    return views(state.categories, context.categories, prior, state, (1 - share, share))


def interest_evidence(
    state: ShardState, context: Context, judged: NDArray[np.bool_]
) -> dict[str, Floats]:
    """All statistics of the interest head, float64[U] each; larger says changed.

    Users who did nothing in this window, are not to be judged, or of whom too little is known to
    compare, have NaN everywhere.
    """
    acted = np.flatnonzero((state.events[:, 0] > 0) & judged & _comparable(state))
    some = state.only(acted)
    found: dict[str, NDArray[Any]] = {}
    item_prior, day_prior = (p.for_shop(context.likeness) for p in (ITEM_PRIOR, CATEGORY_PRIOR))
    item_prior = replace(item_prior, own=item_prior.own * context.habit)
    by_item, _ = switches(some.items, context.items, item_prior, some)
    by_day, found["activity"] = switches(some.categories, context.categories, day_prior, some)
    for w, gain in by_day.items():
        found[f"person{w}"] = gain + by_item[w]
    for view in item_views(some, context):
        w = view.weeks
        fell = falls(view)
        found[f"own3down_{w}"] = _lost(fell, view, 3)
        found[f"narrow_{w}"] = _narrow(view)
        if w == AGES_WEEKS[-1]:
            found[f"own8down_{w}"] = _lost(fell, view, 8)
            found[f"up3_{w}"] = _top(rises(view), view, 3)
            found[f"fresh_{w}"] = _fresh(view)
    out = {}
    for name, values in found.items():
        out[name] = np.full(state.users.size, np.nan)
        out[name][acted] = values
    return out


def _comparable(state: ShardState) -> NDArray[np.bool_]:
    """Who did enough in the longest age, and before it: a basket or two are no interest."""
    since = AGES_WEEKS[-1] * 7 // state.days
    enough = np.ones(state.users.size, np.bool_)
    for ring, column, few, fewer in (
        (state.active, 2, _PAST_DAYS, _RECENT_DAYS),
        (state.events, 0, _PAST_EVENTS, _RECENT_EVENTS),
    ):
        enough &= state.old[:, column] + ring[:, since:].sum(axis=1) >= few
        enough &= ring[:, :since].sum(axis=1) >= fewer
    return enough


def rises(view: PairView) -> Singles:
    """Gain of each pair from rising, float32[P]."""
    rows = np.flatnonzero(view.count > 0)
    count, mean = view.count[rows], view.expected[rows]
    gain = np.zeros(view.count.size, np.float32)
    gain[rows] = np.maximum(_nb_gain(count, mean, (3.0,)), _nb_shift(count, mean))
    return gain


def falls(view: PairView) -> Singles:
    """Gain of each pair from falling, float32[P]."""
    likely = np.flatnonzero(view.expected > _LIKELY)
    gain = np.zeros(view.count.size, np.float32)
    gain[likely] = _nb_gain(view.count[likely], view.expected[likely], (0.1, 0.3))
    return gain


def _fresh(view: PairView) -> Singles:
    """Growth of categories that the user hardly used: a negative binomial gain."""
    used = (view.own >= 0.5 * view.prior.own).astype(np.float32)
    known = view.by_user(view.share * used)
    novel = view.total - view.by_user(view.count * used)
    chance = np.clip(1.0 - known, 0.005, 0.995)
    return _nb_gain(novel, chance * view.total, (1.6, 2.5, 4.0), 4.0)


def _narrow(view: PairView) -> Singles:
    """Fewer distinct categories than so many events of the same mix would touch, as a z-score."""
    miss: Singles = np.exp(-view.expected)
    seen = view.by_user((view.count > 0).astype(np.float32))
    known = view.by_user(1.0 - miss)
    spread = view.by_user(miss * (1.0 - miss))
    return np.asarray((known - seen) / np.sqrt(spread + 1.0))


def _nb_gain(
    count: Singles, mean: Singles, factors: tuple[float, ...], r: float = _SIZE
) -> Singles:
    """Log-likelihood gain of the best factor on the mean of a negative binomial of size r."""
    best = None
    for factor in factors:
        f, log_f = np.float32(factor), np.float32(np.log(factor))
        gain = count * log_f - (count + np.float32(r)) * np.log((r + f * mean) / (r + mean))
        best = gain if best is None else np.maximum(best, gain)
    return np.asarray(best, np.float32)


def _nb_shift(count: Singles, mean: Singles, r: float = _SIZE) -> Singles:
    """The same for two more a window than expected."""
    more = mean + np.float32(2.0)
    up = count * np.log(more / np.maximum(mean, np.float32(1e-9)))
    return np.asarray(up - (count + np.float32(r)) * np.log((r + more) / (r + mean)))


def _top(value: Singles, view: PairView, k: int) -> Floats:
    rows = _largest(value, view.user, np.flatnonzero(value > 0.3), k)
    return np.bincount(view.user[rows], value[rows], view.total.size).astype(np.float64)


def _lost(fell: Singles, view: PairView, k: int) -> Floats:
    """What each user's k favourite keys lost."""
    telling = np.flatnonzero(view.own > (_OWN_TOP_SHARE * view.past)[view.user])
    rows = _largest(view.own, view.user, telling, k)
    return np.bincount(view.user[rows], fell[rows], view.total.size).astype(np.float64)


def _largest(
    value: Singles, who: NDArray[np.int32], some: NDArray[np.intp], k: int
) -> NDArray[np.intp]:
    """Rows of the k largest values of each user among `some`; of equal ones the later rows."""
    # One sort by user, then falling value. The value is squeezed below 1 by a fixed function: a
    # maximum over the shard would round differently in every shard.
    worth = value[some].astype(np.float64)
    order = some[np.argsort(who[some] - worth / (worth + 1.0), kind="stable")]
    owner = who[order]
    starts, _ = _segments(owner)
    lengths = np.diff(np.append(starts, owner.size))
    return order[np.arange(order.size) - np.repeat(starts, lengths) < k]


def _segments(owner: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First row of each run of equal ascending owners, and its owner."""
    if not owner.size:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    starts = np.concatenate([[0], np.flatnonzero(owner[1:] != owner[:-1]) + 1])
    return starts, owner[starts].astype(np.intp)


def _by_user(
    values: Singles, starts: NDArray[np.intp], owners: NDArray[np.intp], size: int
) -> Singles:
    out = np.zeros(size, np.float32)
    if starts.size:
        out[owners] = np.add.reduceat(values, starts)
    return out
