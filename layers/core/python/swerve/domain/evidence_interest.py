"""Is the interest mix of the last weeks from the same source as the user's past.

Judged in windows in which a user did something; a silent window says nothing of interest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain import binary
from swerve.domain.gains import falls, nb_gain, rises
from swerve.domain.population import AGES_WEEKS, RING_WEEKS
from swerve.domain.special import log_rising, log_rising_ratio
from swerve.domain.wave import with_wave

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from swerve.domain.pairs import PairTable
    from swerve.domain.population import Context, Mix
    from swerve.domain.profile import ShardState
    from swerve.domain.runs import Runs

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


# Chosen by recall on training households (ablation in docs/benchmarks.md): the prior of the same
# user must be heavier than that of another one.
CATEGORY_PRIOR = Prior(0.6, 120.0, 80.0)
ITEM_PRIOR = Prior(0.8, 480.0, 240.0)
ITEM_COUNT_PRIOR = Prior(0.2, 40.0, 80.0)
_HALF = 0.5  # of a mix that changed, the user's own
_DEPTH = 0.36  # items of a category beyond the first that a grocery's user buys on one day
_TELLING_GAIN = 0.3  # of a key that grew, in nats
_RENAMED = 0.5  # of the shop's mix is a wave: its categories changed, nobody's interest did
_OWN_TOP_SHARE = 0.025  # of the own past; at most 40 categories of a user pass
_LIGHTEST = 0.1
_PAST_DAYS, _PAST_EVENTS = 3, 20  # remembered ones
_RECENT_DAYS, _RECENT_EVENTS = 2, 10
_SMOOTH = 500.0
_SEASON = 30.0
_BOUND = 64.0
_BLOCK_PAIRS = 700_000  # larger blocks wait for memory, smaller ones for Python


@dataclass(frozen=True, slots=True)
class PairView:
    """A pair table at one age: counts since, and the past before.

    Attributes
    ----------
    weeks : int
        The age.
    runs : Runs
        How many pairs each user has.
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
    runs: Runs
    count: Singles
    own: Singles
    share: Singles
    expected: Singles
    total: Singles
    past: Singles


@dataclass(frozen=True, slots=True)
class Lately:
    """Counts of pairs in the last weeks of one age.

    Attributes
    ----------
    place : int
        Of the age in `AGES_WEEKS`.
    found : intp[C]
        Rows of the shop's mix of the table's keys.
    key : intp[n]
        Of each pair, in the table's keys.
    count : float32[n]
    total : float32[U]
        Sum of count.
    runs : Runs
        How many of the pairs each user has.
    """

    place: int
    found: NDArray[np.int64]
    key: NDArray[np.intp]
    count: Singles
    total: Singles
    runs: Runs


def switches(
    table: PairTable, mix: Mix, prior: Prior, decay: float, kept: Sequence[float] = (0.0,)
) -> tuple[dict[int, list[Floats]], Singles]:
    """Log Bayes factors for another mix by age, and the counts of the last weeks.

    Two Dirichlet-multinomials: the recent counts come from the user's own past (with the shop's
    mix as prior), or from a mix of which a part is `kept` and the rest is anybody's. Only pairs
    that occurred lately are touched.
    """
    runs, key = table.runs, table.key.astype(np.intp)
    found = binary.rows_of(mix.keys, table.keys)
    out: dict[int, list[Floats]] = {}
    total = np.zeros(runs.sizes.size, np.float32)
    for place, (count, past) in enumerate(_since(table, key, (1.0,), decay)):
        rows = np.flatnonzero(count > 0)
        which, some, some_runs = key.take(rows), count.take(rows), runs.among(rows)
        total = some_runs.sum(some)
        lately = Lately(place, found, which, some, total, some_runs)
        shop = _shop_share(mix, lately)
        # The past in terms of this season: what the shop sells no more is no reason to expect it.
        habit = np.float32(prior.own) * past
        habit *= _season(mix, place, found).take(key)
        before = runs.sum(habit)
        same = with_wave(habit.take(rows), before, mix, lately) + np.float32(prior.pull) * shop
        events = total.astype(np.float64)
        norm = log_rising(before.astype(np.float64) + prior.pull, events)
        # Counts are whole numbers, and few.
        every = log_rising(prior.new, np.arange(total.max(initial=0.0) + 1))
        norm -= every.take(total.astype(np.intp))
        own = same / some_runs.spread(before + np.float32(prior.pull)) if any(kept) else shop
        gains = []
        for part in kept:
            other = shop + np.float32(part) * (own - shop)
            gains.append(log_rising_ratio(np.float32(prior.new) * other, same, some))
        out[AGES_WEEKS[place]] = [norm + some_runs.sum(gain) for gain in gains]
    return out, total


def _season(mix: Mix, place: int, found: NDArray[np.int64]) -> Singles:
    """What the last weeks of an age multiply each key of a table by, float32[C]."""
    mass = mix.mass[place]
    season = (mass + _SEASON) / (mass.sum() * mix.usual + _SEASON)
    return np.asarray(season[found], np.float32)


def _shop_share(mix: Mix, lately: Lately) -> Singles:
    """The shop's share of each pair's key without the pair's user, float32[n]."""
    place, found, key, runs = lately.place, lately.found, lately.key, lately.runs
    mass, usual = mix.mass[place], _SMOOTH * mix.usual[found]
    scale = np.minimum(1.0, _BOUND * AGES_WEEKS[place] / np.maximum(lately.total, 1.0)).astype(
        np.float32
    )
    others = (mass[found] + usual).astype(np.float32).take(key)
    others -= lately.count * runs.spread(scale)
    others = np.maximum(others, usual.astype(np.float32).take(key))
    rest = (1.0 / (mass.sum() - lately.total * scale + _SMOOTH)).astype(np.float32)
    return np.asarray(others * runs.spread(rest))


def views(
    table: PairTable,
    mix: Mix,
    prior: Prior,
    decay: float,
    weights: Sequence[float],
) -> list[PairView]:
    """Look at every pair at the ages of `AGES_WEEKS`, shortest first.

    Parameters
    ----------
    table, mix
        The pairs, and what the shop says of their keys.
    decay : float
        Of a window.
    weights : sequence of float
        Of the table's kinds of count in the count that is looked at.
    """
    runs, key = table.runs, table.key.astype(np.intp)
    found = binary.rows_of(mix.keys, table.keys)
    pull = np.float32(prior.pull)
    made = []
    for place, (count, past) in enumerate(_since(table, key, weights, decay)):
        total = runs.sum(count)
        lately = Lately(place, found, key, count, total, runs)
        shop = _shop_share(mix, lately)
        own = np.float32(prior.own) * past
        before = runs.sum(own)
        own *= _season(mix, place, found).take(key)
        own *= runs.spread(before / np.maximum(runs.sum(own), np.float32(1e-9)))
        shop *= pull
        share = shop + with_wave(own, before, mix, lately)
        share /= runs.spread(before + pull)
        seen = (count, own, share, share * runs.spread(total), total, before)
        made.append(PairView(AGES_WEEKS[place], prior, runs, *seen))
    return made


def _since(
    table: PairTable, key: NDArray[np.intp], weights: Sequence[float], decay: float
) -> list[tuple[Singles, Singles]]:
    """Weighted counts within, and decayed counts before, the last weeks, float32[P] each."""
    bounds = [w * len(table.ring) // RING_WEEKS for w in AGES_WEEKS]
    weigh = [np.float32(weight) for weight in weights]
    ring = [(slot.rows, _weighed(slot.count, weigh), slot.season) for slot in table.ring]
    count = np.zeros(table.key.size, np.float32)
    counts = []
    for age, (rows, some, _) in enumerate(ring[: bounds[-1]], start=1):
        count[rows] = count.take(rows) + some
        if age in bounds:
            counts.append(count.copy())
    past = table.past(0, weights[0])
    for kind, weight in enumerate(weights[1:], start=1):
        past += table.past(kind, weight)
    pasts = []
    age = len(ring)
    for bound in reversed(bounds):
        past = past * np.float32(decay ** (age - bound))
        for slot_age in range(bound, age):
            rows, some, season = ring[slot_age]
            faded = (decay ** (slot_age - bound) / season).astype(np.float32)
            past[rows] = past.take(rows) + some * faded.take(key.take(rows))
        age = bound
        pasts.append(past)
    return list(zip(counts, reversed(pasts), strict=True))


def _weighed(count: NDArray[np.uint8], weights: Sequence[np.float32]) -> Singles:
    """Sum over kinds of count, column by column: a sum along so short an axis is slow."""
    total = count[:, 0] * weights[0]
    for kind, weight in enumerate(weights[1:], start=1):
        total += count[:, kind] * weight
    return total


def item_views(categories: PairTable, context: Context, decay: float) -> list[PairView]:
    """Items by category; where people browse, several items of a day weigh less.

    Baskets are bought item by item, but who looks at shoes looks at many: a count of items would
    make every visit of a browsing shop look like a change.
    """
    share = min(1.0, _DEPTH / max(context.depth - 1.0, 1e-9))
    prior, weights = ITEM_COUNT_PRIOR.for_shop(context.likeness), (1 - share, share)
    return views(categories, context.categories, prior, decay, weights)


def interest_evidence(
    state: ShardState, context: Context, judged: NDArray[np.bool_]
) -> dict[str, Floats]:
    """All statistics of the interest head, float64[U] each; larger says changed.

    Users who did nothing in this window, are not to be judged, or of whom too little is known to
    compare, have NaN everywhere.
    """
    acted = np.flatnonzero((state.events[:, 0] > 0) & judged & _comparable(state))
    if context.categories.wave.sum(axis=1).max() > _RENAMED:
        acted = acted[:0]
    found = [_of_users(state, context, some) for some in _blocks(state, acted)]
    out = {}
    for name in found[0]:
        out[name] = np.full(state.users.size, np.nan)
        out[name][acted] = np.concatenate([of_some[name] for of_some in found])
    return out


def _blocks(state: ShardState, users: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Users in parts whose pairs fit into a processor's cache, at least one."""
    pairs = np.cumsum((state.items.runs.sizes + state.categories.runs.sizes)[users])
    total = int(pairs[-1]) if users.size else 0
    blocks = -(-total // _BLOCK_PAIRS)
    return np.split(users, np.searchsorted(pairs, np.arange(1, blocks) * total / blocks))


def _of_users(
    state: ShardState, context: Context, users: NDArray[np.intp]
) -> dict[str, NDArray[Any]]:
    """All statistics of some users, by ascending rows."""
    items, categories = state.items.only(users), state.categories.only(users)
    found: dict[str, NDArray[Any]] = {}
    item_prior, day_prior = (p.for_shop(context.likeness) for p in (ITEM_PRIOR, CATEGORY_PRIOR))
    item_prior = replace(item_prior, own=item_prior.own * context.habit)
    by_item, _ = switches(items, context.items, item_prior, state.decay)
    by_day, found["activity"] = switches(
        categories, context.categories, day_prior, state.decay, (0.0, _HALF)
    )
    for w, (whole, half) in by_day.items():
        found[f"person{w}"] = whole + by_item[w][0]
        # Items may stay where tastes change, and change where they stay: categories tell, too.
        found[f"switch{w}"] = half
    for view in item_views(categories, context, state.decay):
        w = view.weeks
        last = w == AGES_WEEKS[-1]
        for k, lost in _lost(view, (3, 8) if last else (3,)).items():
            found[f"own{k}down_{w}"] = lost
        found[f"narrow_{w}"] = _narrow(view)
        if last:
            found[f"up3_{w}"] = _grown(view, 3)
            found[f"fresh_{w}"] = _fresh(view)
    return found


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


def _fresh(view: PairView) -> Singles:
    """Growth of categories that the user hardly used: a negative binomial gain."""
    used = (view.own >= 0.5 * view.prior.own).astype(np.float32)
    known = view.runs.sum(view.share * used)
    novel = view.total - view.runs.sum(view.count * used)
    chance = np.clip(1.0 - known, 0.005, 0.995)
    return nb_gain(novel, chance * view.total, (1.6, 2.5, 4.0), 4.0)


def _narrow(view: PairView) -> Singles:
    """Fewer distinct categories than so many events of the same mix would touch, as a z-score."""
    miss: Singles = np.exp(-view.expected)
    seen = view.runs.sum((view.count > 0).astype(np.float32))
    known = view.runs.sum(1.0 - miss)
    spread = view.runs.sum(miss * (1.0 - miss))
    return np.asarray((known - seen) / np.sqrt(spread + 1.0))


def _grown(view: PairView, k: int) -> Floats:
    """What each user's k keys that grew most gained."""
    gain = rises(view.count, view.expected)
    telling = np.flatnonzero(gain > _TELLING_GAIN)
    gain = gain[telling]
    return _of_largest(gain, gain, view.runs.among(telling), (k,))[k]


def _lost(view: PairView, ks: tuple[int, ...]) -> dict[int, Floats]:
    """What each user's k favourite keys lost, for some k."""
    favourite = np.flatnonzero(view.own > view.runs.spread(_OWN_TOP_SHARE * view.past))
    fell = falls(view.count[favourite], view.expected[favourite])
    return _of_largest(fell, view.own[favourite], view.runs.among(favourite), ks)


def _of_largest(values: Singles, by: Singles, runs: Runs, ks: tuple[int, ...]) -> dict[int, Floats]:
    """Sums of each user's values where `by` is largest, for ascending k."""
    total = np.zeros(runs.sizes.size)
    sums = {}
    for k, (users, rows) in enumerate(runs.largest(by, ks[-1]), start=1):
        total[users] += values[rows]
        sums[k] = total.copy()
    return {k: sums.get(k, total) for k in ks}
