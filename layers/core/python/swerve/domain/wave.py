"""A wave takes everybody: a launch, a promotion, a new name of a category tell of nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.evidence_interest import Lately
    from swerve.domain.population import Mix

    Floats = NDArray[np.float64]
    Singles = NDArray[np.float32]

# A key has more than so many times its share of the past, beyond so many standard errors of counts
# that come in clumps. Where less is known of the past, nothing is a wave.
_TIMES_PAST, _ERRORS, _CLUMP, _LEAST_PAST = 1.5, 4.0, 4.0, 1_000.0
_TIMES_SHOP = 2.0  # as far as the shop does: so far a user may go with a wave, and be unchanged
_MOST = 0.9


def wave_of(recent: Floats, past: Floats) -> Floats:
    """Share of each key in the last weeks that is more than the past and chance account for."""
    before = np.maximum(past, 0.0)  # a difference of sums
    if before.sum() < _LEAST_PAST:
        return np.zeros(recent.size)
    now = recent / (recent.sum() + 1.0)
    more = now - _TIMES_PAST * before / before.sum()
    error = np.sqrt(now * _CLUMP / np.maximum(recent.sum(), _CLUMP))
    return np.where(more > _ERRORS * error, more, 0.0)


def with_wave(habit: Singles, before: Singles, mix: Mix, lately: Lately) -> Singles:
    """A user's past, of which as large a part as he follows a wave goes with it, float32[n].

    A wave that takes everybody tells of nobody, but whoever goes much further than the shop does
    has changed: as far as he does, he is believed to follow, and at most `_TIMES_SHOP` times as far
    as the shop.

    Parameters
    ----------
    habit : float32[n]
        The past of the pairs of `lately`.
    before : float32[U]
        The whole past of each user.
    """
    wave, runs = mix.wave[lately.place], lately.runs
    whole = wave.sum()
    if not whole:
        return habit

    def of_pairs(by_key: Floats) -> Singles:
        return by_key[lately.found].astype(np.float32).take(lately.key)

    mass = mix.mass[lately.place]
    part = np.minimum(wave * mass.sum() / np.maximum(mass, 1e-9), 1.0)
    went = runs.sum(lately.count * of_pairs(part))
    most = min(_TIMES_SHOP * whole, _MOST)
    follows = np.minimum(went / np.maximum(lately.total, 1.0), most).astype(np.float32)
    kept = habit * runs.spread(np.float32(1) - follows)
    return np.asarray(kept + of_pairs(wave / whole) * runs.spread(follows * before))
