"""What others offer, each with one sensible signal: score[n, T] of a shop, higher is stranger.

Every score at week t looks at weeks up to t only. Scores mean nothing by themselves: the harness
finds each peer's threshold on unchanged users of the training split.
"""

# ruff: noqa: PLC0415 (a peer is imported only when it runs)

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchmarks.detection.shop import Shop

_RECENT = 4


def random(shop: Shop) -> NDArray[np.float64]:
    return np.random.default_rng(0).random(shop.days.shape)


def always(shop: Shop) -> NDArray[np.float64]:
    return np.full(shop.days.shape, np.inf)


def never(shop: Shop) -> NDArray[np.float64]:
    return np.full(shop.days.shape, -np.inf)


def iqr(shop: Shop) -> NDArray[np.float64]:
    """Tukey's fence on weekly totals against the own past, in units of the IQR."""
    total = shop.total
    score = np.full(total.shape, -np.inf)
    for t in range(4, total.shape[1]):
        low, high = np.quantile(total[:, :t], [0.25, 0.75], axis=1)
        spread = np.maximum(high - low, 1.0)
        score[:, t] = np.maximum(total[:, t] - high, low - total[:, t]) / spread
    return score


def mann_kendall(shop: Shop, length: int = 12) -> NDArray[np.float64]:
    """|z| of the trend of the last 12 weekly totals, ties corrected."""
    total = shop.total
    score = np.full(total.shape, -np.inf)
    for t in range(length - 1, total.shape[1]):
        x = total[:, t - length + 1 : t + 1]
        sign = np.sign(x[:, None, :] - x[:, :, None])
        s = np.triu(sign, 1).sum(axis=(1, 2))
        ties = (x[:, None, :] == x[:, :, None]).sum(axis=2)
        corrected = ((ties - 1) * (2 * ties + 5)).sum(axis=1)  # sum of t(t-1)(2t+5) over groups
        variance = (length * (length - 1) * (2 * length + 5) - corrected) / 18
        z = np.where(s > 0, s - 1, np.where(s < 0, s + 1, 0)) / np.sqrt(np.maximum(variance, 1e-9))
        score[:, t] = np.abs(z)
    return score


def divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Jensen-Shannon divergence in bits of count vectors along the last axis."""
    p = p / np.maximum(p.sum(axis=-1, keepdims=True), 1e-12)
    q = q / np.maximum(q.sum(axis=-1, keepdims=True), 1e-12)
    m = (p + q) / 2

    def against(a: NDArray[np.float64]) -> NDArray[np.float64]:
        ratio = np.where(a > 0, a, 1.0) / np.where(a > 0, m, 1.0)
        return (a * np.log2(ratio)).sum(axis=-1)

    return (against(p) + against(q)) / 2


def jensen_shannon(shop: Shop) -> NDArray[np.float64]:
    """Raw divergence of the last four weeks from all before."""
    score = np.full(shop.days.shape, -np.inf)
    for t in range(_RECENT, shop.days.shape[1]):
        recent, past = _recent_and_past(shop, t)
        told = (recent.sum(axis=1) >= 5) & (past.sum(axis=1) >= 10)
        score[:, t] = np.where(told, divergence(recent, past), -np.inf)
    return score


def jensen_shannon_corrected(shop: Shop, draws: int = 8) -> NDArray[np.float64]:
    """The same as z-score under a multinomial null: resamples of the pooled mix at both sizes."""
    rng = np.random.default_rng(0)
    score = np.full(shop.days.shape, -np.inf)
    for t in range(_RECENT, shop.days.shape[1]):
        recent, past = _recent_and_past(shop, t)
        n, m = recent.sum(axis=1).astype(int), past.sum(axis=1).astype(int)
        told = np.flatnonzero((n >= 5) & (m >= 10))
        pooled = (recent + past)[told]
        pooled = pooled / pooled.sum(axis=1, keepdims=True)
        null = np.stack(
            [
                divergence(
                    rng.multinomial(n[told], pooled).astype(float),
                    rng.multinomial(m[told], pooled).astype(float),
                )
                for _ in range(draws)
            ]
        )
        spread = null.std(axis=0)
        spread = np.sqrt((spread**2 + np.median(spread) ** 2) / 2)  # eight draws are few: shrink
        score[told, t] = (divergence(recent, past)[told] - null.mean(axis=0)) / spread
    return score


def _recent_and_past(shop: Shop, t: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    recent = shop.counts[:, t - _RECENT + 1 : t + 1].sum(axis=1).astype(float)
    return recent, shop.counts[:, : t - _RECENT + 1].sum(axis=1).astype(float)


def weekly_divergence(shop: Shop) -> NDArray[np.float64]:
    """Series of divergences of each week from the decayed past: the drift detectors' input."""
    past = np.zeros((len(shop.users), shop.counts.shape[2]))
    series = np.zeros(shop.days.shape)
    for t in range(shop.days.shape[1]):
        week = shop.counts[:, t].astype(float)
        told = (week.sum(axis=1) >= 1) & (past.sum(axis=1) >= 1)
        last = series[:, t - 1] if t else np.zeros(len(shop.users))
        series[:, t] = np.where(told, divergence(week, past), last)
        past = 0.9 * past + week
    return series


def _strictest(
    shop: Shop,
    make: Callable[[float], Any],
    grid: list[float],
    value: Callable[[float], float],
) -> NDArray[np.float64]:
    """Score = the strictest setting of a yes/no detector that fires at this week."""
    series = weekly_divergence(shop)
    score = np.full(series.shape, -np.inf)
    for user, line in enumerate(series):
        for setting in grid:
            detector = make(setting)
            for t, x in enumerate(line):
                detector.update(float(x))
                if detector.drift_detected:
                    score[user, t] = max(score[user, t], value(setting))
    return score


def adwin(shop: Shop) -> NDArray[np.float64]:
    from river.drift import ADWIN

    return _strictest(
        shop,
        lambda delta: ADWIN(delta=delta, clock=1, min_window_length=3, grace_period=6),
        [1e-6, 1e-4, 1e-3, 1e-2, 0.1, 0.5],
        lambda delta: -np.log(delta),
    )


def page_hinkley(shop: Shop) -> NDArray[np.float64]:
    from river.drift import PageHinkley

    return _strictest(
        shop,
        lambda limit: PageHinkley(min_instances=8, delta=0.005, threshold=limit),
        [float(limit) for limit in np.geomspace(0.2, 8.0, 24)],
        lambda limit: limit,
    )


def kswin(shop: Shop) -> NDArray[np.float64]:
    from river.drift import KSWIN

    return _strictest(
        shop,
        lambda alpha: KSWIN(alpha=alpha, window_size=20, stat_size=6, seed=0),
        [1e-4, 1e-3, 5e-3, 2e-2],
        lambda alpha: -np.log(alpha),
    )


def features(shop: Shop) -> NDArray[np.float64]:
    """Eight descriptions of the last four weeks against all before, [n, T, 8]."""
    total, days = shop.total, shop.days
    made = np.zeros((*total.shape, 8))
    for t in range(_RECENT, total.shape[1]):
        recent, past = _recent_and_past(shop, t)
        weeks = t - _RECENT + 1
        made[:, t, 0] = np.log((recent.sum(axis=1) / 4 + 0.5) / (past.sum(axis=1) / weeks + 0.5))
        now, before = days[:, t - 3 : t + 1].mean(axis=1), days[:, :weeks].mean(axis=1)
        made[:, t, 1] = np.log((now + 0.25) / (before + 0.25))
        made[:, t, 2] = divergence(recent, past)
        made[:, t, 3] = 1 - (recent * past).sum(axis=1) / np.maximum(
            np.linalg.norm(recent, axis=1) * np.linalg.norm(past, axis=1), 1e-9
        )
        fresh = (recent * (past == 0)).sum(axis=1)
        made[:, t, 4] = fresh / np.maximum(recent.sum(axis=1), 1)
        made[:, t, 5] = recent.max(axis=1) / np.maximum(recent.sum(axis=1), 1)
        made[:, t, 6] = np.log1p((recent > 0).sum(axis=1))
        made[:, t, 7] = np.log1p(total[:, t])
    return made


def _pyod(shop: Shop, fit_on: Shop, make: Callable[[], Any]) -> NDArray[np.float64]:
    learn = features(fit_on)[:, 12:].reshape(-1, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = make().fit(learn)
        told = detector.decision_function(features(shop).reshape(-1, 8))
    return told.reshape(shop.days.shape)


def ecod(shop: Shop, fit_on: Shop) -> NDArray[np.float64]:
    from pyod.models.ecod import ECOD

    return _pyod(shop, fit_on, ECOD)


def isolation_forest(shop: Shop, fit_on: Shop) -> NDArray[np.float64]:
    from pyod.models.iforest import IForest

    return _pyod(shop, fit_on, lambda: IForest(random_state=0))
