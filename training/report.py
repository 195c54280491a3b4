"""One self-contained HTML page on how well detection does: figures inline, nothing to load."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from training.evaluate import HORIZON_WEEKS, in_weeks

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from training.evaluate import Rate, Report
    from training.runs import Told

mpl.use("Agg")
from matplotlib import pyplot as plt

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .7rem;text-align:left;
border-bottom:1px solid #ddd}img{max-width:100%}h2{margin-top:2.5rem}.note{color:#555}
"""
_DRAWS = 200


def write_report(told: Told, path: Path) -> None:
    """Write the page.

    Parameters
    ----------
    told : Told
        Runs of `training.runs.evaluated`.
    path : Path
        The .html file.
    """
    strangeness = user_strangeness(told)
    asked, report = told.asked, told.report
    about = (
        f"{', '.join(asked.recipes)} panels of {asked.split} users, {asked.seeds} seeds each, "
        f"windows of {asked.window}, budget {asked.budget:g} false alarms per 1,000 user-weeks. "
        f"Intervals are 95 %, by bootstrap over {told.users['source_user'].nunique()} base users."
    )
    parts = [
        f"<p>{html.escape(about)}</p>",
        "<h2>What was found</h2>",
        _recall_table(report),
        figure_tag(_recall_figure(report), "Recall within 8 weeks by kind and activity quartile"),
        "<h2>How late</h2>",
        figure_tag(_delay_figure(told), "Share of changed users found by week"),
        "<h2>How often wrongly</h2>",
        _false_table(report),
        figure_tag(_reliability_figure(told), "Stated against realised rate of unchanged windows"),
        "<h2>Ranking, whatever the threshold</h2>",
        figure_tag(_curves_figure(strangeness), "ROC and precision-recall, 8 weeks"),
        _ranking_table(strangeness),
        "<p class=note>Kinds other than splice, category_swap, thin and stop were used neither in "
        "design nor in training: their rows are what leaving a kind out gives.</p>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page("Detection report", parts))


def page(title: str, parts: list[str]) -> str:
    """Return a whole page."""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>Swerve: {title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1>{''.join(parts)}</html>\n"
    )


def user_strangeness(told: Told) -> pd.DataFrame:
    """Per user, -log10 of the smallest p-value in the 8 weeks from the change.

    Unchanged users have a week of change drawn for them too, from the same distribution.
    """
    scores = told.scores.rename(columns={"subject": "user_id"})
    starts = in_weeks(scores["window_start"])
    days = round(7 * np.diff(np.sort(starts.unique())).min())
    joined = scores.assign(end=starts + days / 7).merge(
        told.users[["panel", "user_id", "kind", "change_at", "source_user"]],
        on=["panel", "user_id"],
    )
    since = joined["end"] - in_weeks(joined["change_at"])
    near = joined[(since > 0) & (since <= HORIZON_WEEKS)]
    least = near.groupby(["panel", "user_id", "kind", "source_user"])["p_value"].min()
    return (-np.log10(least.clip(lower=1e-12))).rename("score").reset_index()


def _against_controls(strangeness: pd.DataFrame, kind: str) -> pd.DataFrame:
    return strangeness[strangeness["kind"].isin([kind, "none"])]


def _kinds(strangeness: pd.DataFrame) -> list[str]:
    return sorted(set(strangeness["kind"]) - {"none"})


def _ranking_table(strangeness: pd.DataFrame) -> str:
    rows = ["<tr><th>kind<th>AUROC<th>average precision<th>changed users"]
    for kind in _kinds(strangeness):
        told = _against_controls(strangeness, kind)
        truth = (told["kind"] == kind).to_numpy()
        area, precision = _areas(truth, told["score"].to_numpy(), told["source_user"])
        rows.append(f"<tr><td>{kind}<td>{area}<td>{precision}<td>{int(truth.sum())}")
    return f"<table>{''.join(rows)}</table>"


def _areas(
    truth: NDArray[np.bool_], score: NDArray[np.float64], base: pd.Series
) -> tuple[str, str]:
    codes, _ = base.factorize()
    rng = np.random.default_rng(0)
    of_user = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    drawn = []
    for _ in range(_DRAWS):
        rows = np.concatenate([of_user[c] for c in rng.integers(0, len(of_user), len(of_user))])
        if truth[rows].any() and not truth[rows].all():
            drawn.append(_area_pair(truth[rows], score[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    value = _area_pair(truth, score)
    told = [f"{value[n]:.3f} [{low[n]:.3f}, {high[n]:.3f}]" for n in range(2)]
    return told[0], told[1]


def _area_pair(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[float, float]:
    return float(roc_auc_score(truth, score)), float(average_precision_score(truth, score))


def _curves_figure(strangeness: pd.DataFrame) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5))
    for kind in _kinds(strangeness):
        told = _against_controls(strangeness, kind)
        truth, score = told["kind"] == kind, told["score"]
        wrong, found, _ = roc_curve(truth, score)
        left.plot(wrong, found, label=kind, lw=1.2)
        precision, recall, _ = precision_recall_curve(truth, score)
        right.plot(recall, precision, lw=1.2)
    left.plot([0, 1], [0, 1], ":", color="grey", lw=1)
    left.set(xlabel="unchanged users taken for changed", ylabel="changed users found")
    right.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    left.legend(fontsize=8)
    return figure


def _delay_figure(told: Told) -> Figure:
    figure, axis = plt.subplots(figsize=(8, 4))
    weeks = np.arange(0, HORIZON_WEEKS + 1)
    for kind, delays in told.report.delays.items():
        n = told.report.recall8[kind].n
        axis.step(weeks, [sum(d <= w for d in delays) / n for w in weeks], where="post", label=kind)
    axis.set(xlabel="weeks since the change", ylabel="found", ylim=(0, 1))
    axis.legend(fontsize=8)
    return figure


def _recall_figure(report: Report) -> Figure:
    kinds = list(report.recall8)
    table = np.full((len(kinds), 4), np.nan)
    for row, kind in enumerate(kinds):
        for number in range(1, 5):
            rate = report.recall8_by_activity.get(f"{kind}, quartile {number}")
            table[row, number - 1] = np.nan if rate is None else rate.value
    figure, axis = plt.subplots(figsize=(7, 0.4 * len(kinds) + 1.5))
    axis.imshow(table, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            colour = "white" if value > 0.6 else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
    axis.set_xticks(range(4), ["least active", "2", "3", "most active"])
    axis.set_yticks(range(len(kinds)), kinds)
    return figure


def _reliability_figure(told: Told) -> Figure:
    scores = told.scores.rename(columns={"subject": "user_id"})
    unchanged = told.users.loc[told.users["kind"] == "none", ["panel", "user_id"]]
    return reliability(scores.merge(unchanged, on=["panel", "user_id"]))


def reliability(scores: pd.DataFrame) -> Figure:
    """Share of user-windows at or below each stated p-value, by head."""
    figure, axis = plt.subplots(figsize=(5.5, 5))
    stated = np.geomspace(1e-4, 1, 40)
    for head, rows in scores.groupby("head"):
        p = np.sort(rows["p_value"].to_numpy())
        axis.loglog(stated, np.searchsorted(p, stated, side="right") / p.size, label=head)
    axis.loglog(stated, stated, ":", color="grey")
    for edge in (0.8, 1.25):
        axis.loglog(stated, edge * stated, color="grey", lw=0.5)
    axis.set(xlabel="stated p-value", ylabel="share of user-windows at or below it")
    axis.legend()
    return figure


def _recall_table(report: Report) -> str:
    rows = ["<tr><th>kind<th>changed users<th>within 8 weeks<th>within 4 weeks"]
    for kind, rate in report.recall8.items():
        rows.append(f"<tr><td>{kind}<td>{rate.n}<td>{rate}<td>{report.recall4[kind]}")
    named = f"A truly changed category is named in {report.named} of {report.named.n} true alerts."
    return f"<table>{''.join(rows)}</table><p>{named}</p>"


def _false_table(report: Report) -> str:
    rows = ["<tr><th>unchanged user-weeks of<th>n<th>realised / stated"]

    def row(name: str, rate: Rate) -> str:
        return f"<tr><td>{name}<td>{rate.n:,}<td>{rate}"

    rows.append(row("everybody", report.ratio))
    rows += [row(name, rate) for name, rate in report.slices.items()]
    return f"<table>{''.join(rows)}</table>"


def figure_tag(figure: Figure, title: str) -> str:
    """Return the figure as an image inside the page."""
    file = io.BytesIO()
    figure.tight_layout()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    data = base64.b64encode(file.getvalue()).decode()
    return f"<p><img alt='{html.escape(title)}' src='data:image/png;base64,{data}'></p>"
