"""From a log to what the network learns from: inputs and next-window outcomes of every user.

The same code as in serving makes them: counts, cohort, population and state move window by window,
so nothing is known of a window before it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from swerve.domain.behaviour import behaviour_named
from swerve.domain.event import Events
from swerve.domain.names import name_keys
from swerve.domain.network_input import FEATURES, frame_of, inputs
from swerve.domain.profile import ShardState
from swerve.domain.window import WindowSpec

from training.walk import in_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from swerve.domain.network_input import UserFrame

OUTCOMES = ("total", "days", "fresh", "top", "usual_total", "usual_days", "valid")


@dataclass(frozen=True, slots=True)
class Streams:
    """Whole lives of users, T windows.

    Attributes
    ----------
    x : float32[T, n, F]
        Inputs after window t; zeros before a user was first seen.
    y : float32[T, n, len(OUTCOMES)]
        Of window t: events, active days, events in new categories, events in the largest category,
        events and days by habit (own level x cohort factor); 1 where it can be forecast.
    """

    users: NDArray[np.uint64]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    days: int


def to_events(frame: pd.DataFrame) -> Events:
    """Events of a frame in the common schema; users hashed without a key (offline use only)."""
    time = pd.to_datetime(frame["timestamp"], utc=True).astype("datetime64[ms, UTC]")
    codes = {name: int(behaviour_named(name) or 0) for name in frame["behavior"].unique()}
    size = len(frame)
    return Events(
        user=_by_code(frame["user_id"], _user_keys),
        key=np.arange(size, dtype=np.uint64),
        time_ms=time.astype("int64").to_numpy(),
        behaviour=frame["behavior"].map(codes).to_numpy().astype(np.uint8),
        category=_by_code(frame["category_id"], name_keys),
        item=_by_code(frame["item_id"], name_keys),
        campaign=np.zeros(size, np.uint64),
        value=np.full(size, np.nan, np.float32),
    )


def frames(events: Events, spec: WindowSpec) -> Iterator[tuple[UserFrame, NDArray[np.uint64]]]:
    """Each window of a shop in turn, with the users of its rows."""
    state = ShardState.empty(spec)
    for counts, context in in_context(events, spec):
        state = state.advance(counts, context)
        yield frame_of(state, counts, context), state.users


def streams_of(events: pd.DataFrame, days: Literal[1, 7], zone: str) -> Streams:
    """Walk a shop and stack its users' lives."""
    told = to_events(events)
    users = np.unique(told.user)
    walked = list(frames(told, WindowSpec(days, zone)))
    x = np.zeros((len(walked), users.size, len(FEATURES)), np.float32)
    y = np.zeros((len(walked), users.size, len(OUTCOMES)), np.float32)
    for t, (frame, present) in enumerate(walked):
        at = np.searchsorted(users, present)
        x[t, at] = inputs(frame)
        usual = frame.level * np.maximum(frame.factor, 1e-3)
        y[t, at, 0] = frame.total
        y[t, at, 1] = frame.active
        y[t, at, 2] = frame.fresh
        y[t, at, 3] = frame.top * frame.total
        y[t, at, 4:6] = usual
        # A user must have been seen before; a window without data says nothing of anybody.
        y[t, at, 6] = (frame.age > 0) & (frame.factor[0] > 0.05)
    return Streams(users, x, y, days)


def _user_keys(names: list[str]) -> NDArray[np.uint64]:
    digests = (blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.fromiter((int.from_bytes(d, "little") for d in digests), np.uint64, len(names))


def _by_code(
    column: pd.Series, keyed: Callable[[list[str]], NDArray[np.uint64]]
) -> NDArray[np.uint64]:
    code, names = pd.factorize(column)
    return keyed([str(name) for name in names])[code]
