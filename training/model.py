"""The recurrent network: LSTM or GRU over a user's windows, forecasting the next one."""

from __future__ import annotations

import torch
from swerve.domain.network_input import FEATURES, TARGETS
from torch import Tensor, nn

from training.streams import OUTCOMES

CELLS = ("lstm", "gru")
_SHARE_WEIGHT = 0.2  # novelty and concentration are by-products; volume is what evidence uses
_TOTAL, _DAYS, _FRESH, _TOP, _USUAL_TOTAL, _USUAL_DAYS, _VALID = range(len(OUTCOMES))


class Recurrent(nn.Module):
    """One layer of LSTM or GRU and a linear head.

    The head starts at "everything as by habit", so that what is learned is a correction of own
    level x cohort factor.

    Parameters
    ----------
    cell : {"lstm", "gru"}
    state : int
        Numbers carried from window to window: h and c of the LSTM, h of the GRU.
    """

    def __init__(self, cell: str, state: int) -> None:
        super().__init__()
        self.cell = cell
        self.hidden = state // 2 if cell == "lstm" else state
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.layer = kind(len(FEATURES), self.hidden)
        self.head = nn.Linear(self.hidden, len(TARGETS))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("scale", torch.ones(len(FEATURES)))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One window: (x[n, F], state[n, S]) -> (forecast[n, 5], state[n, S])."""
        forecast, state = self.unroll(x.unsqueeze(0), state)
        return forecast.squeeze(0), state

    def unroll(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Many windows: x[T, n, F] -> forecast[T, n, 5], state after the last."""
        scaled = (x - self.mean) * self.scale
        parts = state.unsqueeze(0)
        if self.cell == "lstm":
            h, c = parts.split(self.hidden, dim=2)
            out, (h, c) = self.layer(scaled, (h.contiguous(), c.contiguous()))
            after = torch.cat([h, c], dim=2)
        else:
            out, after = self.layer(scaled, parts)
        return self.head(out), after.squeeze(0)

    @property
    def state_size(self) -> int:
        """Numbers carried a user."""
        return 2 * self.hidden if self.cell == "lstm" else self.hidden


def likelihoods(forecast: Tensor, outcome: Tensor) -> dict[str, Tensor]:
    """Negative log likelihoods of the next window, each [..., n]; 0 where it cannot be forecast.

    Totals are negative binomial (mean exp(f0) x habit, dispersion exp(f2)), active days Poisson,
    the two shares binomial for one event of the window.
    """
    valid = outcome[..., _VALID]
    total, days = outcome[..., _TOTAL], outcome[..., _DAYS]
    mean = torch.exp(forecast[..., 0].clamp(-6, 4)) * outcome[..., _USUAL_TOTAL].clamp_min(1e-3)
    mean_days = torch.exp(forecast[..., 1].clamp(-6, 4)) * outcome[..., _USUAL_DAYS].clamp_min(1e-3)
    r = torch.exp(forecast[..., 2].clamp(-4, 5))
    binomial = (
        torch.lgamma(total + r)
        - torch.lgamma(r)
        - torch.lgamma(total + 1)
        + r * (torch.log(r) - torch.log(r + mean))
        + total * (torch.log(mean) - torch.log(r + mean))
    )
    poisson = days * torch.log(mean_days) - mean_days - torch.lgamma(days + 1)
    happened = (total > 0).float()
    share = nn.functional.binary_cross_entropy_with_logits(
        forecast[..., 3:5],
        outcome[..., [_FRESH, _TOP]].div(total.clamp_min(1).unsqueeze(-1)).clamp(0, 1),
        reduction="none",
    )
    return {
        "total": -binomial * valid,
        "days": -poisson * valid,
        "novelty": share[..., 0] * happened * valid,
        "top": share[..., 1] * happened * valid,
    }


def loss(forecast: Tensor, outcome: Tensor) -> Tensor:
    """Mean over user-windows that can be forecast."""
    parts = likelihoods(forecast, outcome)
    whole = parts["total"] + parts["days"] + _SHARE_WEIGHT * (parts["novelty"] + parts["top"])
    return whole.sum() / outcome[..., _VALID].sum().clamp_min(1)
