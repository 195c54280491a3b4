"""A new network's memory of the users it has never seen: the ring is played to it again.

The ring holds eight weeks of what a network sees: how much, how broad, how new, against which
level and season. It does not hold the time of day nor the weight of a behaviour: the network is
told that there is no clock, and that all weighs one. What is older than eight weeks it never saw.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain.counts import WEIGHT_UNITS, WindowCounts, count_window
from swerve.domain.event import Events
from swerve.domain.forecast import remembered
from swerve.domain.network_input import frame_of, inputs
from swerve.domain.ring import Ring
from swerve.domain.window import WindowSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.network import Network
    from swerve.domain.pairs import PairTable
    from swerve.domain.population import Context
    from swerve.domain.profile import ShardState


def replayed(network: Network, state: ShardState, context: Context) -> ShardState:
    """Give `hidden` and `forecast` as the network would have them, had it seen the ring.

    Parameters
    ----------
    state : ShardState
        After the window before.
    context : Context
        Of the window that is to come.
    """
    hidden = np.zeros((state.users.size, network.hidden), np.float32)
    forecast = state.forecast
    for ago in reversed(range(state.events.shape[1])):
        past, around = _back(state, ago), _around(context, ago, state.days)
        said, hidden = network.step(inputs(frame_of(past, _counts(past), around)), hidden)
        hidden = remembered(hidden).astype(np.float32)
        hidden[state.first > around.window] = 0  # had not come yet
        forecast = said[:, : forecast.shape[1]].astype(np.float16)
    return replace(state, hidden=hidden.astype(np.float16), forecast=forecast)


def _back(state: ShardState, ago: int) -> ShardState:
    """How a shard was so many windows ago; its ring is shorter by as many."""
    window, width = (state.window or 0) - ago * state.days, state.events.shape[1]
    first = np.minimum(state.first, window)
    events = _shifted(state.events, ago)
    acted = events[:, : width - ago] > 0
    # Of the last event before the ring it is known when nobody acted since; else it was longer ago.
    at_least = np.minimum(
        np.maximum(state.cohort.idle, width) - ago, (window - first) // state.days
    )
    idle = np.where(acted.any(axis=1), acted.argmax(axis=1), at_least)
    return replace(
        state,
        window=window,
        cohort=replace(state.cohort, idle=idle),
        first=first,
        events=events,
        active=_shifted(state.active, ago),
        old=state.old * np.float32(state.decay**-ago),  # it is decayed as of now
        categories=_table_back(state.categories, ago),
        items=_table_back(state.items, ago),
    )


def _around(context: Context, ago: int, days: int) -> Context:
    """The shop around the same window; `context` is of the one after the state's newest."""
    factor = _shifted(context.factor.T, ago + 1).T
    return replace(context, window=context.window - (ago + 1) * days, dated=True, factor=factor)


def _table_back(table: PairTable, ago: int) -> PairTable:
    ring, start = table.ring, int(table.ring.sizes[:ago].sum())
    older = Ring(ring.sizes[ago:], ring.rows[start:], ring.count[start:], ring.season[ago:])
    return replace(table, ring=older)


def _counts(state: ShardState) -> WindowCounts:
    """The newest window as far as the ring knows it."""
    pairs, buckets = state.categories.ring, state.items.ring
    came = np.flatnonzero(state.events[:, 0] + pairs.sizes[0] + buckets.sizes[0])
    none = count_window(Events.empty(), WindowSpec(7 if state.days == 7 else 1), state.window or 0)
    total = state.events[came, 0].astype(np.int32)
    return replace(
        none,
        users=state.users[came],
        total=total,
        days=state.active[came, 0].astype(np.int32),
        weight=total * WEIGHT_UNITS,
        parts=np.zeros((came.size, none.parts.shape[1]), np.int32),
        weekend=np.zeros_like(total),
        pair_user=_user(pairs.sizes[0][came]),
        pair_events=np.maximum(pairs.newest.count[:, 1], 1).astype(np.int32),
        bucket_user=_user(buckets.sizes[0][came]),
        bucket_count=buckets.newest.count[:, 0].astype(np.int32),
    )


def _user(sizes: NDArray[np.intp]) -> NDArray[np.int32]:
    return np.repeat(np.arange(sizes.size, dtype=np.int32), sizes)


def _shifted(ring: NDArray[Any], ago: int) -> NDArray[Any]:
    """Without the newest columns; nothing is known beyond the oldest."""
    older = np.zeros_like(ring)
    older[:, : ring.shape[1] - ago] = ring[:, ago:]
    return older
