"""What `swerve backtest --report` draws of a user's own history, where nobody knows the truth."""

from __future__ import annotations

import html
import json
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from training.report import figure_tag, page, reliability

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


def write_run_report(run: Path, budget: float) -> Path:
    """Write `report.html` beside the alerts and scores of one back-test; return its path.

    Without labels two things can still be checked before alerts are switched on: whether p-values
    are spread as they should be where nearly nobody changes, and how many alerts would have come.
    """
    lines = (run / "alerts.jsonl").read_text().splitlines()
    alerts = [json.loads(line) for line in lines]
    scores = pd.read_csv(run / "scores.csv.gz", usecols=["window_start", "head", "p_value"])
    weeks = len(scores) / 2 * _days(scores) / 7
    of_users = [alert for alert in alerts if alert["level"] == "user"]
    rate = 1000 * len(of_users) / max(weeks, 1)
    about = (
        f"{len(of_users):,} alerts on users in {weeks:,.0f} user-weeks past warm-up: "
        f"{rate:.2f} per 1,000. By the stated budget {budget:g} per 1,000 would be false; the "
        "rest truly changed, or the shop's own calibration has not yet learnt it."
    )
    parts = [
        f"<p>{html.escape(about)}</p>",
        "<h2>Alerts by kind</h2>",
        _kinds(alerts),
        figure_tag(_weekly(alerts), "Alerts by week and kind"),
        "<h2>Are p-values what they say?</h2>",
        "<p>On the line, or below it: as stated. Above it in the far left: users who changed.</p>",
        figure_tag(reliability(scores), "Stated p-value against share of user-windows"),
    ]
    path = run / "report.html"
    path.write_text(page("Back-test report", parts))
    return path


def _days(scores: pd.DataFrame) -> float:
    starts = pd.to_datetime(scores["window_start"].drop_duplicates()).sort_values()
    return starts.diff().min() / pd.Timedelta(days=1) if len(starts) > 1 else 7.0


def _kinds(alerts: list[dict[str, str]]) -> str:
    counted = Counter((a["level"], a["kind"], a["severity"]) for a in alerts)
    rows = ["<tr><th>level<th>kind<th>severity<th>alerts"]
    for (level, kind, severity), count in sorted(counted.items()):
        rows.append(f"<tr><td>{level}<td>{kind}<td>{severity}<td>{count:,}")
    return f"<table>{''.join(rows)}</table>"


def _weekly(alerts: list[dict[str, str]]) -> Figure:
    figure, axis = plt.subplots(figsize=(9, 3.5))
    told = pd.DataFrame(
        [(a["window_start"], a["kind"]) for a in alerts], columns=["window", "kind"]
    )
    table = pd.crosstab(pd.to_datetime(told["window"]), told["kind"])
    below = np.zeros(len(table))
    for kind in table.columns:
        axis.bar(table.index, table[kind], bottom=below, width=5, label=kind)
        below += table[kind].to_numpy()
    axis.set(ylabel="alerts")
    if len(table.columns):
        axis.legend(fontsize=8)
    return figure
