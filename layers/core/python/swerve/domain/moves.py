"""Which categories of a user rose and fell, and what stands behind it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.candidate import Kind, Share
from swerve.domain.circumstances import units_of
from swerve.domain.evidence_interest import item_views
from swerve.domain.gains import falls, rises
from swerve.domain.population import RING_WEEKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.evidence_interest import PairView
    from swerve.domain.population import Context
    from swerve.domain.profile import ShardState

    Floats = NDArray[np.float64]

NAMED = 3
UNKNOWN_SHARE = 0.0005  # a category of less was never met before, or long ago
_LEAST_EXPECTED = 0.5  # events that every category is given for free
_CLEAR = 3.0  # nats: four purchases of what was never bought, or none of three and a half
# A category must have risen on more days than so few, or on so few and, by so many nats, without
# its best week, too: a stock-up or two are no interest.
_FEW_DAYS, _CLEAR_WITHOUT = 2, 1.0


@dataclass(frozen=True, slots=True)
class Moves:
    """How the interest mix of each user moved (rows as given), by category pair.

    Attributes
    ----------
    before, now, gain : float64[P]
        Shares; evidence, above 0 where the share rose.
    weekly : float64[n, 8]
        Evidence for the new mix by week, newest first.
    counts : uint8[R, P, 2]
        Days and items by window, newest first.
    past_days : float32[P]
        Days with each category before these windows, decayed.
    active, past_active : uint8[n, R], float32[n]
        The same of days on which the user did anything.
    first : list of int
        Pair of each user, and the number of pairs.
    """

    view: PairView
    key: NDArray[np.uint64]
    before: Floats
    now: Floats
    gain: Floats
    weekly: Floats
    counts: NDArray[np.uint8]
    past_days: NDArray[np.float32]
    active: NDArray[np.uint8]
    past_active: NDArray[np.float32]
    first: list[int]

    @classmethod
    def of(cls, state: ShardState, context: Context) -> Moves:
        """Compare the last weeks of every user of the state with what was before."""
        view = item_views(state.categories, context, state.decay)[-1]
        user = state.categories.user
        now = view.count / np.maximum(view.total, 1.0)[user]
        before = view.own / np.maximum(view.past, 1e-9)[user]
        up = now > view.share
        gain = np.where(
            up,
            np.maximum(rises(view.count, view.expected), 0.0),
            -np.maximum(falls(view.count, view.expected), 0.0),
        )
        toward = np.log((view.count + 20 * view.share) / (view.total[user] + 20) / view.share)
        per_week = 7 // state.days
        weekly = np.zeros((state.users.size, len(state.ring) // per_week))
        counts = np.zeros((len(state.ring), *state.categories.code.shape), np.uint8)
        for age, slot in enumerate(state.ring):
            counts[age, slot.rows] = slot.count
            told = np.bincount(
                user[slot.rows], slot.count[:, 1] * toward[slot.rows], state.users.size
            )
            weekly[:, age // per_week] += told
        keys = state.categories.keys[state.categories.key]
        first = [0, *np.cumsum(view.runs.sizes).tolist()]
        days, active = state.categories.past(0), state.old[:, 2]
        return cls(view, keys, before, now, gain, weekly, counts, days, state.active, active, first)

    @property
    def per_week(self) -> int:
        """Windows a week."""
        return len(self.counts) // RING_WEEKS

    @property
    def windows(self) -> int:
        """Windows of the longest age."""
        return self.view.weeks * self.per_week

    def pairs_of(self, place: int) -> slice:
        """One user's pairs."""
        return slice(self.first[place], self.first[place + 1])

    def lately(self, place: int) -> MovedMix:
        """One user's mix in the last weeks of the longest age."""
        pairs = self.pairs_of(place)
        total = float(self.view.total[place])
        return MovedMix(self, place, self.windows, self.before[pairs], self.now[pairs], total)

    def since(self, place: int, windows: int) -> MovedMix:
        """One user's mix in the newest windows against all before."""
        pairs = self.pairs_of(place)
        counts = self.counts[:, pairs, 1]
        between = counts[windows : self.windows].sum(axis=0, dtype=np.int64)
        before = self.before[pairs] * self.view.past[place] + self.view.prior.own * between
        now = counts[:windows].sum(axis=0, dtype=np.int64)
        total = float(now.sum())
        share = before / max(before.sum(), 1e-9)
        return MovedMix(self, place, windows, share, now / max(total, 1.0), total)


@dataclass(frozen=True)
class MovedMix:
    """One user's mix of the newest windows against that before, by category pair.

    Attributes
    ----------
    place : int
        Row of the user.
    windows : int
        How many.
    before, now : float64[k]
        Shares.
    total : float
        Actions of the windows.
    """

    moves: Moves
    place: int
    windows: int
    before: Floats
    now: Floats
    total: float

    @cached_property
    def surprise(self) -> Floats:
        """How far each count is from what was expected, in nats."""
        return _deviance(self.total * self.now, self.total * self.before + _LEAST_EXPECTED)

    @property
    def often(self) -> NDArray[np.bool_]:
        """What occurred repeatedly."""
        counts = self.moves.counts[: self.windows, self.moves.pairs_of(self.place)]
        days, now = counts.sum(axis=0, dtype=np.int64).T
        weeks = np.arange(0, self.windows, self.moves.per_week)
        rest = now - np.add.reduceat(counts[:, :, 1], weeks, axis=0, dtype=np.int64).max(axis=0)
        expected = rest.sum() * self.before + _LEAST_EXPECTED
        clear = _deviance(rest.astype(float), expected) >= _CLEAR_WITHOUT
        return np.asarray((days > _FEW_DAYS) | ((days == _FEW_DAYS) & clear))

    def told(self, lately: MovedMix, kind: Kind) -> tuple[tuple[Share, ...], tuple[Share, ...]]:
        """What fell and what rose, where it is clear; a new interest is named before grown ones.

        Of many categories a few rise by chance, or on one trip. What fell may be missed for longer
        than since the week in which the mix changed most.
        """
        missed = (lately.now < lately.before) & (lately.surprise >= _CLEAR)
        clear = self.surprise >= _CLEAR
        first = self.before < UNKNOWN_SHARE if kind is Kind.NEW_INTEREST else None
        return self.shares(clear | missed, clear & self.often, first)

    def shares(
        self,
        fell: NDArray[np.bool_] | bool = True,
        rose: NDArray[np.bool_] | bool = True,
        first: NDArray[np.bool_] | None = None,
    ) -> tuple[tuple[Share, ...], tuple[Share, ...]]:
        """Shares that are lower and higher than before, the most surprising ones."""
        order = np.argsort(-self.surprise, kind="stable")
        falling = order[((self.now < self.before) & fell)[order]][:NAMED]
        if first is not None:
            order = order[np.argsort(~first[order], kind="stable")]
        rising = order[((self.now > self.before) & rose)[order]][:NAMED]
        told = self._shares(np.append(falling, rising))
        return tuple(told[: falling.size]), tuple(told[falling.size :])

    def _shares(self, rows: NDArray[np.intp]) -> list[Share]:
        """Some categories with what stands behind them, all at once: each call of numpy is dear."""
        moves, place, windows = self.moves, self.place, self.windows
        pairs = moves.first[place] + rows
        counts, active = moves.counts[:, pairs], moves.active[place]
        days = moves.past_days[pairs] + counts[windows:, :, 0].sum(axis=0, dtype=np.int64)
        active_days = float(moves.past_active[place] + active[windows:].sum(dtype=np.int64))
        before = self.before[rows].tolist()
        units = units_of(
            counts[:windows],
            active[:windows],
            (days.tolist(), active_days),
            before,
            self.total,
            moves.per_week,
        )
        told = zip(moves.key[pairs].tolist(), before, self.now[rows].tolist(), units, strict=True)
        return [Share(*each) for each in told]


def _deviance(seen: Floats, expected: Floats) -> Floats:
    """How far Poisson counts are from what was expected."""
    ratio = np.log(np.maximum(seen, 1e-9) / expected)
    return np.asarray(np.where(seen > 0, seen * ratio, 0.0) - (seen - expected))
