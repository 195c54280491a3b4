"""The model card, written from the manifest so that its numbers cannot go stale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_TARGET_NAMES = {
    "total": "events",
    "days": "active days",
    "novelty": "share of events in new categories",
    "top": "share of the largest category",
}


def card(manifest: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    model, parity, run = manifest["model"], manifest["parity"], manifest["training"]
    told = run["data"]
    return f"""# Model card: the recurrent network

*Written by `swerve export` from `manifest.json`; do not edit.*

**What it is.** One {model["cell"].upper()} layer of {model["hidden"]} units over a user's windows,
run one stateful step a window; {model["state"]} numbers of state a user, kept to seven significant
bits in the checkpoint. ONNX opset {model["opset"]}, sha256 `{model["sha256"]}`.

**What it does.** It forecasts the next window of a user: {", ".join(model["targets"])}. The first
two are corrections of the user's own level times the shop's calendar; the residual against them
goes to the box-plot fence of the volume evidence. **It does not do the detecting**: the
count likelihoods do, and without a valid model the product scores without it.

**What it sees.** {len(model["features"])} numbers a user-window, none of which names a category,
an item or a person: {", ".join(f"`{name}`" for name in model["features"])}.

**Training data.** {told["source"]}, {told["split"]} split only: {told["users"]:,} households,
{told["events"]:,} purchases, one year; events sha256 `{told["sha256"][:16]}...`. Windows of 7 days
and of 1 day. Behaviour weights, missing clocks, missing items and the time of the year are varied
in training, because one grocer's year cannot teach them.

**Both cells, same state size, unseen validation users**: gain over "as by habit" (own level x
calendar, with the best constant correction and dispersion), nats a user-window [95 % interval by
bootstrap over users]:

{_gains(manifest["metrics"])}

Shipped: **{model["cell"].upper()}**, the better in events and active days, which are what evidence
uses.

**Parity with torch**: {parity["max_abs_error"]:.1e} at most over {parity["windows"]:,.0f}
user-windows; {parity["rounded_error"]:.1e} with the state rounded to seven bits in between.

**Limits.** Purchases of one US grocer; no views, carts or searches were seen in training. One year:
no seasons. What the whole system finds, with and without
the network, is in [benchmarks](benchmarks.md).

**Privacy.** No id, name or category enters the network; the data that
the weights were fitted to is public (CC0).

**Again**: `pip install -e '.[local,training]'`, then `swerve train` and `swerve export`: seed
{run["config"]["seed"]}, {run["seconds"]:.0f} s on one core, torch {run["versions"]["torch"]}.
"""


def _gains(metrics: Mapping[str, Any]) -> str:
    lines = ["| forecast | window | " + " | ".join(cell.upper() for cell in metrics) + " |"]
    lines.append("|---|---|" + "---|" * len(metrics))
    some = next(iter(metrics.values()))
    for window in some:
        for target, name in _TARGET_NAMES.items():
            cells = (metrics[cell][window][target] for cell in metrics)
            told = (
                f"{c['gain']:.4f} [{c['interval'][0]:.4f}, {c['interval'][1]:.4f}]" for c in cells
            )
            lines.append(f"| {name} | {window} | {' | '.join(told)} |")
    return "\n".join(lines)


def _with_interval(measured: Mapping[str, Any]) -> str:
    low, high = measured["interval"]
    return f"{measured['gain']:.4f} [{low:.4f}, {high:.4f}]"
