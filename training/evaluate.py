"""Score what a backtest said against what was truly done to a panel's users.

The rules, frozen: a hit is the first alarm of a changed user that ends in the 8 (or 4) weeks from
the change; an alarm before the change, or on an unchanged user, is false; an alarm later than that
is neither, the user is simply missed. Nothing is point-adjusted. Intervals come from a bootstrap
over base users: all copies of one real user, over all seeds, are drawn together.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from swerve.domain.candidate import Head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WEEK = pd.Timedelta(weeks=1)
_EPOCH = pd.Timestamp(0, tz="UTC")
HORIZON_WEEKS = 8
EARLY_WEEKS = 4
NAMED = 3
_DRAWS = 2_000
_SEED = 20_170_102


@dataclass(frozen=True, slots=True)
class Rate:
    """An estimate with its 95 % interval; `n` is what it was counted on."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, slots=True)
class Report:
    """All numbers of one budget over the panels given.

    Attributes
    ----------
    recall8, recall4 : dict
        Kind to share of changed users found within 8 and 4 weeks.
    false_per_1000 : Rate
        False alarms per 1,000 control user-weeks; `n` is the control user-weeks.
    ratio : Rate
        Realised over stated.
    slices : dict
        Ratio in activity quartiles and promotion weeks.
    delays : dict
        Kind to delays in weeks of the users found.
    named : Rate
        Share of hits on users whose interest changed that name a truly changed category among
        the three falling and three rising.
    """

    budget: float
    recall8: dict[str, Rate]
    recall4: dict[str, Rate]
    recall8_by_activity: dict[str, Rate]
    false_per_1000: Rate
    ratio: Rate
    slices: dict[str, Rate]
    false_by_head: dict[str, Rate]
    named: Rate
    delays: dict[str, list[int]] = field(default_factory=dict)

    def table(self) -> str:
        """Markdown: one row a kind, then the false alarms."""
        lines = [
            "| kind | n | recall@8 | recall@4 | median delay (weeks) |",
            "|---|---|---|---|---|",
        ]
        for kind, rate in self.recall8.items():
            delay = f"{np.median(self.delays[kind]):.0f}" if self.delays[kind] else "-"
            lines.append(f"| {kind} | {rate.n} | {rate} | {self.recall4[kind]} | {delay} |")
        lines += ["", "| slice | control user-weeks | false alarms / 1,000 | realised / stated |"]
        lines += ["|---|---|---|---|"]
        lines.append(f"| all | {self.ratio.n} | {self.false_per_1000} | {self.ratio} |")
        for name, rate in self.false_by_head.items():
            lines.append(f"| {name} head | {rate.n} | {rate} | |")
        for name, rate in self.slices.items():
            lines.append(f"| {name} | {rate.n} | | {rate} |")
        lines += ["", f"A truly changed category among those named: {self.named} of {self.named.n}"]
        return "\n".join(lines)


def evaluate(pairs: Sequence[tuple[Path, Path]], budget: float = 1.0) -> Report:
    """Score backtest runs against their panels, pooled.

    Parameters
    ----------
    pairs : sequence of (panel folder, run folder)
        A run folder has `alerts.jsonl` and `scores.csv.gz` of `swerve backtest --reveal`.
    budget : float
        The stated false alarms per 1,000 user-weeks.
    """
    users = pd.concat([outcomes(*pair) for pair in pairs], ignore_index=True)
    return summarise(users, budget)


def outcomes(panel: Path, run: Path) -> pd.DataFrame:
    """One row a user of the panel: hit or miss, false alarms, control user-weeks."""
    truth = pd.read_csv(
        panel / "truth.csv",
        dtype={"user_id": str, "source_user": str, "changed_categories": str},
    )
    about = json.loads((panel / "panel.json").read_text())
    scores = pd.read_csv(
        run / "scores.csv.gz", dtype={"subject": str}, usecols=["subject", "window_start"]
    ).drop_duplicates()
    days = _window_days(scores["window_start"])
    scores = _ends(scores, days).rename(columns={"subject": "user_id"})
    alerts = _ends(_user_alerts(run / "alerts.jsonl"), days)
    return outcomes_of(truth, scores, alerts, days, about.get("promotion_weeks", []))


def outcomes_of(
    truth: pd.DataFrame,
    scored: pd.DataFrame,
    alerts: pd.DataFrame,
    days: int,
    promotions: Sequence[str] = (),
) -> pd.DataFrame:
    """Join truth with scored windows and alarms.

    Parameters
    ----------
    truth : DataFrame
        Rows of truth.csv.
    scored : DataFrame
        user_id, end: every user-window past warm-up; `end` in weeks since 1970 (see `in_weeks`).
    alerts : DataFrame
        user_id, end, head, named (list of categories): alarms on users.
    days : int
        Length of a window.
    promotions : sequence of str
        Starts of weeks in which the whole shop moved.
    """
    starts = in_weeks(pd.Series(list(promotions), dtype=str))
    changes = pd.Series(
        in_weeks(truth["change_at"]).where(truth["kind"] != "none", np.inf).to_numpy(),
        index=truth["user_id"],
    )
    told = pd.DataFrame(index=pd.Index(truth["user_id"]))
    for name, rows in (("scored", scored), ("alarm", alerts)):
        control = rows[rows["end"] <= rows["user_id"].map(changes).astype(float)]
        promoted = control[_within(control["end"], starts, days)]
        told[f"{name}_control"] = control.groupby("user_id").size()
        told[f"{name}_promoted"] = promoted.groupby("user_id").size()
        if name == "alarm":
            for head in Head:
                told[f"alarm_{head}"] = control[control["head"] == head].groupby("user_id").size()
    told = told.fillna(0)
    for column in ("scored_control", "scored_promoted"):
        told[column] *= days / 7
    table = truth.merge(told, left_on="user_id", right_index=True)
    delay = np.ceil(alerts["end"] - alerts["user_id"].map(changes).astype(float))
    hits = alerts.assign(delay=delay)[(delay > 0) & (delay <= HORIZON_WEEKS)]
    hits = hits.sort_values("delay", kind="stable").drop_duplicates("user_id").set_index("user_id")
    table["delay"] = hits["delay"].reindex(table["user_id"]).to_numpy()
    changed = table["changed_categories"].fillna("").str.split("|")
    table["named"] = [
        isinstance(told, list) and not set(told).isdisjoint(truly)
        for told, truly in zip(hits["named"].reindex(table["user_id"]), changed, strict=True)
    ]
    table["nameable"] = table["delay"].notna() & (table["changed_categories"].fillna("") != "")
    quartile = pd.qcut(table["activity"].rank(method="first"), 4, labels=False)
    table["quartile"] = quartile + 1
    return table


def summarise(users: pd.DataFrame, budget: float) -> Report:
    """Turn outcome rows into rates with intervals."""
    draw = _Bootstrap(users["source_user"])
    changed = users[users["kind"] != "none"]
    kinds = sorted(changed["kind"].unique())
    false = users[[f"alarm_{head}" for head in Head]].sum(axis=1)
    weeks = users["scored_control"]
    slices = {
        f"activity quartile {number}": draw.rate(
            false.where(users["quartile"] == number, 0),
            weeks.where(users["quartile"] == number, 0),
            1000 / budget,
        )
        for number in range(1, 5)
    }
    if users["scored_promoted"].any():
        slices["promotion weeks"] = draw.rate(
            users["alarm_promoted"], users["scored_promoted"], 1000 / budget
        )
    hit8, hit4 = users["delay"].notna(), users["delay"] <= EARLY_WEEKS
    of_kind = {kind: users["kind"] == kind for kind in kinds}
    return Report(
        budget,
        {kind: draw.rate(hit8 & rows, rows) for kind, rows in of_kind.items()},
        {kind: draw.rate(hit4 & rows, rows) for kind, rows in of_kind.items()},
        {
            f"{kind}, quartile {number}": draw.rate(hit8 & rows, rows)
            for kind, of in of_kind.items()
            for number in range(1, 5)
            if (rows := of & (users["quartile"] == number)).any()
        },
        draw.rate(false, weeks, 1000),
        draw.rate(false, weeks, 1000 / budget),
        slices,
        {head: draw.rate(users[f"alarm_{head}"], weeks, 1000) for head in Head},
        draw.rate(users["named"] & users["nameable"], users["nameable"]),
        {
            kind: users.loc[rows & hit8, "delay"].astype(int).tolist()
            for kind, rows in of_kind.items()
        },
    )


def ratio_of_recalls(ours: pd.DataFrame, theirs: pd.DataFrame, kind: str) -> Rate:
    """Recall within 8 weeks over another detector's on the same users, drawn together."""
    both = pd.concat([ours.assign(side=1.0), theirs.assign(side=0.0)], ignore_index=True)
    both = both[both["kind"] == kind].reset_index(drop=True)
    draw = _Bootstrap(both["source_user"])
    hit = both["delay"].notna().astype(float)
    # Recalls of the two may stand on different numbers of copies: weigh each side by its own.
    weight = np.where(both["side"] == 1, 1 / len(ours), 1 / len(theirs))
    return draw.rate(hit * both["side"] * weight, hit * (1 - both["side"]) * weight)


def difference_of_recalls(ours: pd.DataFrame, theirs: pd.DataFrame, kind: str) -> Rate:
    """Recall within 8 weeks less another detector's on the same users, drawn together."""
    rows = (ours["kind"] == kind).to_numpy()
    gain = ours["delay"].notna().astype(float) - theirs["delay"].notna().astype(float).to_numpy()
    one = pd.Series(1.0, index=ours.index[rows])
    return _Bootstrap(ours["source_user"][rows]).rate(gain[rows], one)


def false_discoveries(pairs: Sequence[tuple[Path, Path]], q: float) -> tuple[Rate, int]:
    """Share of false ones among Benjamini-Hochberg discoveries of each window and head."""
    told = [_discovered(panel, run, q) for panel, run in pairs]
    found = pd.concat(told, ignore_index=True)
    draw = _Bootstrap(found["source_user"])
    rate = draw.rate(found["false"], pd.Series(1.0, index=found.index))
    return rate, len(found)


def _discovered(panel: Path, run: Path, q: float) -> pd.DataFrame:
    truth = pd.read_csv(panel / "truth.csv", dtype={"user_id": str, "source_user": str})
    scores = pd.read_csv(run / "scores.csv.gz", dtype={"subject": str})
    scores = _ends(scores, _window_days(scores["window_start"]))
    rank = scores.groupby(["window_start", "head"])["p_value"].rank(method="first")
    size = scores.groupby(["window_start", "head"])["p_value"].transform("size")
    below = scores["p_value"] <= q * rank / size
    last = rank.where(below, 0).groupby([scores["window_start"], scores["head"]]).transform("max")
    found = scores[rank <= last].merge(truth, left_on="subject", right_on="user_id")
    changed = (found["kind"] != "none") & (found["end"] > in_weeks(found["change_at"]))
    return pd.DataFrame({"source_user": found["source_user"], "false": ~changed})


class _Bootstrap:
    """Ratios of sums over users, resampled by base user."""

    def __init__(self, base: pd.Series) -> None:
        self.code, names = pd.factorize(base)
        self.count = len(names)
        rng = np.random.default_rng(_SEED)
        self.weight: NDArray[np.float64] = rng.multinomial(
            self.count, np.full(self.count, 1 / self.count), _DRAWS
        ).astype(float)

    def rate(self, part: pd.Series, whole: pd.Series, scale: float = 1.0) -> Rate:
        top = np.bincount(self.code, part.astype(float), self.count)
        bottom = np.bincount(self.code, whole.astype(float), self.count)
        if bottom.sum() == 0:
            return Rate(float("nan"), float("nan"), float("nan"), 0)
        below = self.weight @ bottom
        drawn = scale * (self.weight @ top)[below > 0] / below[below > 0]
        low, high = np.quantile(drawn, [0.025, 0.975])
        if top.sum() == 0:
            # No draw can show an alarm that never fell: the rule of three bounds it.
            high = scale * 3 / bottom.sum()
        value = scale * top.sum() / bottom.sum()
        return Rate(float(value), float(low), float(high), round(bottom.sum()))


def _user_alerts(path: Path) -> pd.DataFrame:
    rows = []
    for line in path.read_text().splitlines():
        alert = json.loads(line)
        if alert["level"] == "user" and alert.get("status") != "withdrawn":
            rows.append((alert["subject"], alert["window_start"], alert["head"], _named(alert)))
    return pd.DataFrame(rows, columns=["user_id", "window_start", "head", "named"])


def _named(alert: dict[str, object]) -> list[str]:
    """Names of the three falling and three rising categories of an alert."""
    sides = (alert.get("falling"), alert.get("rising"))
    shares = [share for side in sides if isinstance(side, list) for share in side[:NAMED]]
    return [share["category"] if isinstance(share, dict) else str(share) for share in shares]


def in_weeks(times: pd.Series) -> pd.Series:
    """Times, as text, in weeks since 1970."""
    return (pd.to_datetime(times, utc=True) - _EPOCH) / WEEK


def _window_days(starts: pd.Series) -> int:
    unique = in_weeks(starts.drop_duplicates()).sort_values()
    return round(7 * unique.diff().min())


def _ends(rows: pd.DataFrame, days: int) -> pd.DataFrame:
    return rows.assign(end=in_weeks(rows["window_start"]) + days / 7)


def _within(ends: pd.Series, starts: pd.Series, days: int) -> NDArray[np.bool_]:
    """Windows that overlap one of the weeks."""
    inside = np.zeros(len(ends), bool)
    for start in starts:
        inside |= ((ends > start) & (ends - days / 7 < start + 1)).to_numpy()
    return inside


def main() -> None:
    """Print the table of one or more runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pair", nargs="+", help="PANEL_FOLDER=RUN_FOLDER")
    parser.add_argument("--budget", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    pairs = [(Path(a), Path(b)) for a, b in (pair.split("=") for pair in asked.pair)]
    report = evaluate(pairs, asked.budget)
    print(report.table())  # noqa: T201 (a command)
    if asked.json:
        asked.json.write_text(json.dumps(asdict(report), indent=2) + "\n")


if __name__ == "__main__":
    main()
