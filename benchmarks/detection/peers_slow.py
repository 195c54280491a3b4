"""Peers that take minutes a panel: run on fewer seeds, and the table says so."""

# ruff: noqa: PLC0415 (a peer is imported only when it runs)

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.detection.peers import features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.detection.shop import Shop

_TOP = 15
_LAST = 8
_WARMUP = 12
_PENALTIES = (4.0, 3.0, 2.5, 2.0, 1.7, 1.4, 1.2, 1.0, 0.8)


def signal(shop: Shop) -> NDArray[np.float64]:
    """Square roots of the shop's 15 largest categories and the rest, [n, T, 16]."""
    order = np.argsort(-shop.counts[:, :_WARMUP].sum(axis=(0, 1)))
    top, rest = shop.counts[:, :, order[:_TOP]], shop.counts[:, :, order[_TOP:]]
    joined = np.concatenate([top, rest.sum(axis=2, keepdims=True)], axis=2)
    return np.sqrt(joined).astype(float)


def ruptures_split(shop: Shop) -> NDArray[np.float64]:
    """Gain of the best single split inside the last 8 weeks (rbf), again at every week."""
    from ruptures.costs import CostRbf

    lines = signal(shop)
    score = np.full(shop.days.shape, -np.inf)
    for user, line in enumerate(lines):
        cost = CostRbf(gamma=_gamma(line)).fit(line)
        for t in range(_WARMUP, line.shape[0]):
            whole, end = cost.error(0, t + 1), t + 1
            splits = range(end - _LAST, end - 1)
            best = min(cost.error(0, split) + cost.error(split, end) for split in splits)
            score[user, t] = whole - best
    return score


def ruptures_window(shop: Shop) -> NDArray[np.float64]:
    """Sliding-window discrepancy (rbf): eight weeks before against eight weeks after a centre."""
    from ruptures.costs import CostRbf

    score = np.full(shop.days.shape, -np.inf)
    for user, line in enumerate(signal(shop)):
        cost = CostRbf(gamma=_gamma(line)).fit(line)
        for t in range(2 * _LAST - 1, line.shape[0]):
            end, middle, start = t + 1, t + 1 - _LAST, t + 1 - 2 * _LAST
            parts = cost.error(start, middle) + cost.error(middle, end)
            score[user, t] = cost.error(start, end) - parts
    return score


def ruptures_pelt(shop: Shop) -> NDArray[np.float64]:
    """The largest penalty at which PELT (rbf) still breaks inside the last 8 weeks.

    PELT is exact, so what it says of every prefix is one run of optimal partitioning on ruptures'
    costs; the last prefix of the first user is checked against the package.
    """
    from ruptures import Pelt
    from ruptures.costs import CostRbf

    score = np.full(shop.days.shape, -np.inf)
    for user, line in enumerate(signal(shop)):
        gamma, weeks = _gamma(line), line.shape[0]
        error = CostRbf(gamma=gamma).fit(line).error
        cost = np.full((weeks + 1, weeks + 1), np.inf)
        for start in range(weeks - 1):
            for end in range(start + 2, weeks + 1):
                cost[start, end] = error(start, end)
        for penalty in _PENALTIES:
            last = _last_breaks(cost, penalty)
            told = last[_WARMUP + 1 :] > np.arange(_WARMUP + 1, weeks + 1) - _LAST
            row = score[user, _WARMUP:]
            row[told] = np.maximum(row[told], penalty)
        if user == 0:
            fitted = Pelt(model="rbf", params={"gamma": gamma}, min_size=2, jump=1).fit(line)
            breaks = fitted.predict(pen=penalty)[:-1]
            assert last[weeks] == (breaks[-1] if breaks else 0)
    return score


def _last_breaks(cost: NDArray[np.float64], penalty: float) -> NDArray[np.int64]:
    """Last break of the best partition of every prefix (0: none), segments of two weeks or more."""
    weeks = cost.shape[0] - 1
    best = np.full(weeks + 1, np.inf)
    best[0] = -penalty
    last = np.zeros(weeks + 1, np.int64)
    for end in range(2, weeks + 1):
        total = best[:end] + cost[:end, end] + penalty
        last[end] = int(np.argmin(total))
        best[end] = total[last[end]]
    return last


def _gamma(line: NDArray[np.float64]) -> float:
    """Median heuristic on the warm-up only, so that nothing later is known."""
    early = line[:_WARMUP]
    distance = ((early[:, None] - early[None]) ** 2).sum(axis=2)
    told = distance[np.triu_indices(len(early), 1)]
    return 1.0 / max(float(np.median(told)), 1e-3)


def rrcf_codisp(shop: Shop, trees: int = 8, size: int = 40) -> NDArray[np.float64]:
    """Collusive displacement of each week's features in a streaming forest a user."""
    import rrcf

    told = features(shop)
    scale = np.maximum(told[:, :_WARMUP].std(axis=(0, 1)), 1e-3)
    score = np.full(shop.days.shape, -np.inf)
    for user in range(len(shop.users)):
        forest = [rrcf.RCTree(random_state=seed) for seed in range(trees)]
        for t in range(4, told.shape[1]):
            displaced = 0.0
            for tree in forest:
                if len(tree.leaves) >= size:
                    tree.forget_point(t - size)
                tree.insert_point(told[user, t] / scale, index=t)
                displaced += tree.codisp(t) / trees
            score[user, t] = displaced
    return score


def article_lstm(shop: Shop, hidden: int = 64, epochs: int = 60) -> NDArray[np.float64]:
    """The article's method: one LSTM(64)-sigmoid a user forecasts its next weekly total, trained
    on the warm-up; score = the residual beyond the quartile of own past residuals, in IQRs.
    """
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    total = shop.total
    scale = 1.25 * np.maximum(total[:, :_WARMUP].max(axis=1, keepdims=True), 1.0)
    series = torch.tensor(total / scale, dtype=torch.float32)
    n = series.shape[0]
    bound = hidden**-0.5
    shapes = [(n, 4 * hidden, 1 + hidden), (n, 4 * hidden, 1), (n, 1, hidden), (n, 1, 1)]
    weights = [torch.empty(shape).uniform_(-bound, bound).requires_grad_() for shape in shapes]

    def forecast(x: torch.Tensor) -> torch.Tensor:
        gates_w, gates_b, out_w, out_b = weights
        h, c = torch.zeros(n, hidden, 1), torch.zeros(n, hidden, 1)
        told = []
        for t in range(x.shape[1]):
            z = gates_w @ torch.cat([x[:, t].view(n, 1, 1), h], dim=1) + gates_b
            i, f, g, o = z.split(hidden, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            told.append(torch.sigmoid(out_w @ h + out_b).view(n))
        return torch.stack(told, dim=1)

    optimiser = torch.optim.Adam(weights, 5e-3)
    for _ in range(epochs):
        optimiser.zero_grad()
        made = forecast(series[:, : _WARMUP - 1])
        torch.nn.functional.mse_loss(made, series[:, 1:_WARMUP], reduction="none").mean(
            dim=1
        ).sum().backward()
        optimiser.step()
    with torch.no_grad():
        residual = (series[:, 1:] - forecast(series[:, :-1])).abs().numpy()
    score = np.full(total.shape, -np.inf)
    for t in range(_WARMUP, total.shape[1]):
        past = residual[:, : t - 1]
        low, high = np.quantile(past, [0.25, 0.75], axis=1)
        score[:, t] = (residual[:, t - 1] - high) / np.maximum(high - low, 1e-3)
    return score
